//! From a place in a value to the place in the file where it is written.

use super::yaml::Place;

/// A walk through the written form of a scalar, one character of its value at a time.
pub(super) struct Cursor<'a> {
    source: &'a str,
    at: usize,
    quote: Option<char>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(source: &'a str, start: usize, text: &str) -> Self {
        let written = &source[start..];
        let quote = written.chars().next().filter(|c| matches!(c, '"' | '\'')).filter(|quote| {
            // A block scalar may begin with a quote of its own.
            !text.starts_with(*quote) || written[1..].starts_with(['\\', '\''])
        });
        Self { source, at: start + usize::from(quote.is_some()), quote }
    }

    fn peek(&self) -> Option<char> {
        self.source[self.at..].chars().next()
    }

    pub(super) fn skip_indentation(&mut self) {
        while let Some(c) = self.peek().filter(|c| c.is_whitespace()) {
            self.at += c.len_utf8();
        }
    }

    /// Moves behind what stands for `wanted`.
    pub(super) fn pass(&mut self, wanted: char) {
        while let Some(c) = self.peek() {
            match c {
                '\\' if self.quote == Some('"') => {
                    let escape = self.source[self.at + 1..].chars().next().unwrap_or(' ');
                    let more = match escape {
                        'x' => 2,
                        'u' => 4,
                        'U' => 8,
                        _ => 0,
                    };
                    self.at = (self.at + 1 + escape.len_utf8() + more).min(self.source.len());
                    while !self.source.is_char_boundary(self.at) {
                        self.at += 1;
                    }
                    if escape != '\n' {
                        return;
                    }
                }
                '\'' if self.quote == Some('\'') => {
                    self.at += 2;
                    return;
                }
                c if c == wanted => {
                    self.at += c.len_utf8();
                    return;
                }
                // A folded line: one blank or line end of the value stands for the whole run of them.
                c if c.is_whitespace() && wanted.is_whitespace() => {
                    self.skip_indentation();
                    return;
                }
                c if c.is_whitespace() => self.at += c.len_utf8(),
                _ => return,
            }
        }
    }

    pub(super) fn place(&self) -> Place {
        let before = &self.source[..self.at.min(self.source.len())];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let count = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
        (count(before.bytes().filter(|b| *b == b'\n').count()), count(before[line_start..].chars().count()))
    }
}
