//! A text as the matcher sees it: normalised, cut into tokens, trailing `name=value` pairs recognised.
//!
//! Everything here takes time linear in the text, whatever the text is.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

use crate::model::name;

/// A longer text, in characters, matches nothing.
pub const MAX_CHARACTERS: usize = 4_000;

/// So many `name=value` pairs at the end of a text are looked at; further ones to the left are ordinary words.
const MAX_PAIRS: usize = 64;

/// The text in the form that is matched: NFC, typographic quotes made plain, line ends as `\n`, invisible characters
/// and blanks at both ends taken off. `None` when it is longer than [`MAX_CHARACTERS`].
///
/// Blanks inside stay, so that a value keeps its line breaks and its indentation; tokens do not see them.
pub fn normalise(text: &str) -> Option<Cow<'_, str>> {
    if text.len() > MAX_CHARACTERS * 4 {
        return None;
    }
    if text.is_ascii() && !text.contains('\r') {
        let plain = text.trim();
        return (plain.len() <= MAX_CHARACTERS).then_some(Cow::Borrowed(plain));
    }
    let unified = text.replace("\r\n", "\n");
    let mapped = unified.chars().filter_map(|c| match c {
        '\r' => Some('\n'),
        '\u{2018}' | '\u{2019}' | '\u{201A}' | '\u{201B}' => Some('\''),
        '\u{201C}' | '\u{201D}' | '\u{201E}' | '\u{201F}' => Some('"'),
        '\u{200B}' | '\u{2060}' | '\u{FEFF}' => None,
        other => Some(other),
    });
    let plain: String = mapped.nfc().collect();
    (plain.chars().count() <= MAX_CHARACTERS).then(|| Cow::Owned(plain.trim().to_owned()))
}

/// The text with every run of blanks made one: a line break when the run holds one, else a space. What a regular
/// expression is tried on.
pub(super) fn collapse(plain: &str) -> Cow<'_, str> {
    let single = |c: char| c == ' ' || c == '\n';
    let mut previous_blank = false;
    let clean = plain.chars().all(|c| {
        let blank = c.is_whitespace();
        let ok = !blank || (single(c) && !previous_blank);
        previous_blank = blank;
        ok
    });
    if clean {
        return Cow::Borrowed(plain);
    }
    let mut collapsed = String::with_capacity(plain.len());
    let mut run: Option<char> = None;
    for c in plain.chars() {
        if c.is_whitespace() {
            let breaks = c == '\n' || run == Some('\n');
            run = Some(if breaks { '\n' } else { ' ' });
        } else {
            collapsed.extend(run.take());
            collapsed.push(c);
        }
    }
    collapsed.extend(run);
    Cow::Owned(collapsed)
}

/// What may stand at the end of a word without changing it: `help!` is `help`.
pub(super) fn trim_punctuation(word: &str) -> &str {
    let bare = word.trim_end_matches(['?', '!', '.', ',', ';', ':']);
    if bare.is_empty() { word } else { bare }
}

/// The form in which literal words compare, written into `buffer`: lower case, without punctuation at the end.
pub(super) fn fold_word<'b>(word: &str, buffer: &'b mut String) -> &'b str {
    let bare = trim_punctuation(word);
    buffer.clear();
    if bare.is_ascii() {
        buffer.push_str(bare);
        buffer.make_ascii_lowercase();
    } else {
        buffer.push_str(&bare.to_lowercase());
    }
    buffer
}

/// One token: a run without blanks, or a quoted run. Positions are bytes of the normalised text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) start: u32,
    pub(super) end: u32,
    /// Where the `=` of `name=value` stands, counted from the start of the token; 0 when there is none.
    equals: u32,
    /// Holds a quoted part or a backslash that takes the meaning from the next character.
    pub(super) quoted: bool,
}

/// A named value given at the end of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair<'t> {
    /// As typed, without dashes.
    pub(super) name: &'t str,
    pub(super) folded: String,
    pub(super) value: Cow<'t, str>,
}

/// A normalised text and its tokens.
#[derive(Debug)]
pub(super) struct Text<'t> {
    pub(super) plain: &'t str,
    pub(super) tokens: Vec<Token>,
    /// The pairs that the text ends with; the last token belongs to the last pair.
    pub(super) pairs: Vec<Pair<'t>>,
}

impl<'t> Text<'t> {
    /// Reads a text that [`normalise`] returned.
    pub(super) fn read(plain: &'t str) -> Self {
        let mut text = Text { plain, tokens: tokenise(plain, &mut Quotes::default()), pairs: Vec::new() };
        let trailing = text.tokens.iter().rev().take(MAX_PAIRS).map_while(|token| text.pair(*token));
        let mut pairs: Vec<Pair<'t>> = trailing.collect();
        pairs.reverse();
        text.pairs = pairs;
        text
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The token from which on only pairs follow.
    pub(super) fn first_pair(&self) -> usize {
        self.tokens.len() - self.pairs.len()
    }

    /// The pair that token `at` is; `at` must not be before [`Text::first_pair`].
    pub(super) fn pair_at(&self, at: usize) -> &Pair<'t> {
        &self.pairs[at - self.first_pair()]
    }

    pub(super) fn raw(&self, token: Token) -> &'t str {
        &self.plain[token.start as usize..token.end as usize]
    }

    /// What the token says: quotes and backslashes resolved. A pair that is taken as an ordinary word stays as typed.
    pub(super) fn value(&self, token: Token) -> Cow<'t, str> {
        let raw = self.raw(token);
        if !token.quoted || token.equals > 0 { Cow::Borrowed(raw) } else { unquote(raw) }
    }

    /// The text of tokens `from..to` as typed; one quoted token loses its quotes.
    pub(super) fn span(&self, from: usize, to: usize) -> Cow<'t, str> {
        if to - from == 1 {
            return self.value(self.tokens[from]);
        }
        Cow::Borrowed(&self.plain[self.tokens[from].start as usize..self.tokens[to - 1].end as usize])
    }

    fn pair(&self, token: Token) -> Option<Pair<'t>> {
        let raw = self.raw(token);
        let (name, value) = if token.equals > 0 {
            let (name, value) = raw.split_at(token.equals as usize);
            let value = &value[1..];
            (undashed(name).unwrap_or(name), if token.quoted { unquote(value) } else { Cow::Borrowed(value) })
        } else {
            let name = undashed(raw).filter(|name| name::is_name(name))?;
            (name, Cow::Borrowed("true"))
        };
        Some(Pair { name, folded: name::fold(name), value })
    }
}

/// The part behind the dashes of an option; phones turn `--` into one long dash.
fn undashed(raw: &str) -> Option<&str> {
    raw.strip_prefix("--").or_else(|| raw.strip_prefix('\u{2014}')).or_else(|| raw.strip_prefix('\u{2013}'))
}

fn is_quote(byte: u8) -> bool {
    byte == b'"' || byte == b'\''
}

/// The length in bytes of the blank at `at`, 0 when there is none.
fn blank_at(text: &str, at: usize) -> usize {
    match text.as_bytes().get(at) {
        None => 0,
        Some(byte) if byte.is_ascii() => usize::from(char::from(*byte).is_whitespace()),
        Some(_) => text[at..].chars().next().filter(|c| c.is_whitespace()).map_or(0, char::len_utf8),
    }
}

fn step(text: &str, at: usize) -> usize {
    if text.as_bytes()[at].is_ascii() { 1 } else { text[at..].chars().next().map_or(1, char::len_utf8) }
}

fn tokenise(text: &str, quotes: &mut Quotes) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::with_capacity(16);
    let mut at = 0;
    while at < bytes.len() {
        let blank = blank_at(text, at);
        if blank > 0 {
            at += blank;
            continue;
        }
        let start = at;
        let (mut quoted, mut equals, mut equals_seen) = (false, 0, false);
        while at < bytes.len() && blank_at(text, at) == 0 {
            let byte = bytes[at];
            let opens = at == start || (equals > 0 && at == start + equals + 1);
            if is_quote(byte)
                && opens
                && let Some(close) = quotes.closing(text, at)
            {
                quoted = true;
                at = close + 1;
                continue;
            }
            if byte == b'\\' && bytes.get(at + 1).is_some_and(|next| is_quote(*next) || *next == b' ') {
                quoted = true;
                at += 2;
                continue;
            }
            if byte == b'=' && !equals_seen {
                equals_seen = true;
                let before = &text[start..at];
                if name::is_name(undashed(before).unwrap_or(before)) {
                    equals = at - start;
                }
            }
            at += step(text, at);
        }
        tokens.push(Token { start: start as u32, end: at as u32, equals: equals as u32, quoted });
    }
    tokens
}

/// The search for closing quotes. Where one of a kind was looked for in vain, none is looked for further on, so that
/// all searches together pass over the text three times at most.
#[derive(Debug, Default)]
struct Quotes {
    single_ended: bool,
    double_ended: bool,
    /// Bytes passed over: the measure of the work.
    passed: usize,
}

impl Quotes {
    /// Where the quote opened at `open` ends: the next same quote that a blank or the end of the text follows, so that
    /// an apostrophe inside does not end it.
    fn closing(&mut self, text: &str, open: usize) -> Option<usize> {
        let bytes = text.as_bytes();
        let quote = bytes[open];
        let ended = if quote == b'"' { &mut self.double_ended } else { &mut self.single_ended };
        if *ended {
            return None;
        }
        let mut at = open + 1;
        while at < bytes.len() {
            self.passed += 1;
            if bytes[at] == b'\\' && bytes.get(at + 1).is_some_and(|next| *next == quote || *next == b'\\') {
                at += 2;
                continue;
            }
            if bytes[at] == quote && (at + 1 == bytes.len() || blank_at(text, at + 1) > 0) {
                return Some(at);
            }
            at += 1;
        }
        *ended = true;
        None
    }
}

/// Takes quotes and backslashes off a token that was marked as quoted.
fn unquote(raw: &str) -> Cow<'_, str> {
    let quote = raw.bytes().next().filter(|byte| is_quote(*byte)).map(char::from);
    let enclosed = quote.and_then(|quote| raw[1..].strip_suffix(quote));
    let inner = enclosed.unwrap_or(raw);
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let takes_meaning = |next: char| match (enclosed, quote) {
        (Some(_), Some(quote)) => next == quote || next == '\\',
        _ => next == '"' || next == '\'' || next == ' ',
    };
    let mut value = String::with_capacity(inner.len());
    let mut characters = inner.chars().peekable();
    while let Some(c) = characters.next() {
        match characters.peek() {
            Some(next) if c == '\\' && takes_meaning(*next) => value.extend(characters.next()),
            _ => value.push(c),
        }
    }
    Cow::Owned(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<String> {
        let plain = normalise(text).unwrap();
        let read = Text::read(&plain);
        read.tokens.iter().map(|token| read.value(*token).into_owned()).collect()
    }

    fn pairs(text: &str) -> Vec<(String, String)> {
        let plain = normalise(text).unwrap();
        let read = Text::read(&plain);
        read.pairs.iter().map(|pair| (pair.folded.clone(), pair.value.clone().into_owned())).collect()
    }

    #[test]
    fn quotes_make_one_token_and_apostrophes_do_not() {
        let cases: &[(&str, &[&str])] = &[
            ("deploy  web\tto\u{a0}prod ", &["deploy", "web", "to", "prod"]),
            ("say \"two words\" 'and  two'", &["say", "two words", "and  two"]),
            ("say “two words”", &["say", "two words"]),
            ("who's on bob's call", &["who's", "on", "bob's", "call"]),
            ("who’s on call", &["who's", "on", "call"]),
            ("say 'it's fine' now", &["say", "it's fine", "now"]),
            ("say \"never closed", &["say", "\"never", "closed"]),
            ("say 'a 'b 'c", &["say", "'a", "'b", "'c"]),
            (r#"say "a \"b\" c\\""#, &["say", r#"a "b" c\"#]),
            (r"open C:\temp\new", &["open", r"C:\temp\new"]),
            (r"open my\ file \'x", &["open", "my file", "'x"]),
            (r#"set {"a":1} x"#, &["set", r#"{"a":1}"#, "x"]),
            ("say \"\"", &["say", ""]),
        ];
        for (text, expected) in cases {
            assert_eq!(values(text), *expected, "{text}");
        }
    }

    #[test]
    fn pairs_are_read_from_the_end_only() {
        let cases: &[(&str, &[(&str, &str)])] = &[
            (
                "run a=1 b=\"two words\" --c='x y' --Dry-Run",
                &[("a", "1"), ("b", "two words"), ("c", "x y"), ("dryrun", "true")],
            ),
            ("run a=1 now", &[]),
            ("run —force", &[("force", "true")]),
            ("open https://x.org/?a=b", &[]),
            ("run a= b==c", &[("a", ""), ("b", "=c")]),
            ("run a=\"open", &[("a", "\"open")]),
            (r#"run a="say \"hi\"""#, &[("a", "say \"hi\"")]),
        ];
        for (text, expected) in cases {
            let found = pairs(text);
            let found: Vec<(&str, &str)> = found.iter().map(|(name, value)| (&**name, &**value)).collect();
            assert_eq!(found, *expected, "{text}");
        }
    }

    #[test]
    fn unclosed_quotes_are_looked_for_once() {
        for unit in ["'a ", "a='b ", "\"a 'b ", "'a' \"b ", "\\' '"] {
            let text = unit.repeat(1_000);
            let mut quotes = Quotes::default();
            tokenise(&text, &mut quotes);
            assert!(quotes.passed <= 3 * text.len(), "{unit}: {} of {}", quotes.passed, text.len());
        }
    }

    #[test]
    fn long_texts_are_refused_and_equal_texts_become_equal() {
        assert_eq!(normalise(&"a ".repeat(32 * 1024)), None);
        assert_eq!(normalise(&"a".repeat(MAX_CHARACTERS)).map(|text| text.len()), Some(MAX_CHARACTERS));
        assert_eq!(normalise(&"é".repeat(MAX_CHARACTERS + 1)), None);
        assert_eq!(normalise("cafe\u{301}\r\n"), normalise("caf\u{e9}"));
        assert_eq!(collapse("a \t b\n\n  c"), "a b\nc");
        let mut buffer = String::new();
        assert_eq!(fold_word("Étage?!", &mut buffer), "étage");
        assert_eq!(fold_word("?", &mut buffer), "?");
    }
}
