//! Regular-expression intents: `/…/i`, and texts that start with `^` and end with `$`.

use std::ops::Range;

use regex::{Regex, RegexBuilder};

use crate::model::name;
use crate::model::parameter::Parameter;

use super::parse::nearest;
use super::pattern::Fault;

/// What one compiled expression may take in memory, in bytes.
const SIZE_LIMIT: usize = 512 * 1024;

/// A regular expression as written; compiled by whoever needs it.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    source: String,
    /// Where the source stands in the intent.
    at: Range<usize>,
    ignore_case: bool,
    multi_line: bool,
    dot_all: bool,
    extended: bool,
    /// `^…$`: the whole text must match.
    whole: bool,
}

impl Expression {
    /// The expression that `text` is, or nothing when it is a word pattern.
    pub(super) fn recognise(text: &str) -> Result<Option<Self>, Fault> {
        let trimmed = text.trim();
        let offset = text.len() - text.trim_start().len();
        let mut expression = Self {
            source: trimmed.to_owned(),
            at: offset..offset + trimmed.len(),
            ignore_case: true,
            multi_line: false,
            dot_all: false,
            extended: false,
            whole: true,
        };
        if trimmed.len() >= 2 && trimmed.starts_with('^') && ends_unescaped(trimmed, '$') {
            return Ok(Some(expression));
        }
        let Some(end) = trimmed.rfind('/').filter(|end| trimmed.starts_with('/') && *end > 0) else { return Ok(None) };
        let flags = &trimmed[end + 1..];
        if !ends_unescaped(&trimmed[..=end], '/') || !flags.chars().all(char::is_alphanumeric) {
            return Ok(None);
        }
        expression.source = trimmed[1..end].to_owned();
        expression.at = offset + 1..offset + end;
        expression.whole = false;
        expression.ignore_case = false;
        for (at, flag) in flags.char_indices() {
            match flag {
                'i' => expression.ignore_case = true,
                'm' => expression.multi_line = true,
                's' => expression.dot_all = true,
                'x' => expression.extended = true,
                'u' => {}
                _ => {
                    let at = offset + end + 1 + at;
                    let why = format!("\"{flag}\" is no flag of a regular expression here; i, m, s, u and x are");
                    return Err(Fault::new(at..at + flag.len_utf8(), why));
                }
            }
        }
        Ok(Some(expression))
    }

    pub(super) fn compile(&self) -> Result<Regex, regex::Error> {
        let whole = if self.whole { format!(r"\A(?:{})\z", self.source) } else { String::new() };
        RegexBuilder::new(if self.whole { &whole } else { &self.source })
            .case_insensitive(self.ignore_case)
            .multi_line(self.multi_line)
            .dot_matches_new_line(self.dot_all)
            .ignore_whitespace(self.extended)
            .size_limit(SIZE_LIMIT)
            .dfa_size_limit(SIZE_LIMIT)
            .nest_limit(64)
            .build()
    }

    /// Whether it compiles, matches something, and fills only parameters that exist.
    pub(super) fn validate(&self, text: &str, parameters: &[Parameter]) -> Result<(), Fault> {
        let regex = self.compile().map_err(|error| self.explain(&error))?;
        if regex.is_match("") {
            return Err(Fault::new(
                self.at.clone(),
                "the regular expression matches the empty text, so it would match everything",
            ));
        }
        for group in regex.capture_names().flatten() {
            let folded = name::fold(group);
            if !parameters.iter().any(|parameter| name::fold(&parameter.name) == folded) {
                let at = text.find(&format!("<{group}>")).map_or(self.at.clone(), |at| at + 1..at + 1 + group.len());
                return Err(Fault::new(at, format!("the command has no parameter \"{group}\""))
                    .suggest(nearest(group, parameters.iter().map(|parameter| parameter.name.as_str()))));
            }
        }
        Ok(())
    }

    fn explain(&self, error: &regex::Error) -> Fault {
        let find = |needles: &[&str]| {
            needles.iter().find_map(|needle| {
                let at = self.at.start + self.source.find(needle)?;
                Some(at..at + needle.len())
            })
        };
        let linear = "because matching must take time linear in the text";
        let text = match error {
            regex::Error::CompiledTooBig(limit) => {
                let why = format!("the regular expression needs more than {limit} bytes when compiled");
                return Fault::new(self.at.clone(), why);
            }
            other => other.to_string(),
        };
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let (at, why) = if reason.contains("look-around") {
            (find(&["(?=", "(?!", "(?<=", "(?<!"]), format!("look-around is not supported, {linear}"))
        } else if reason.contains("backreferences") {
            let numbered: Vec<String> = (1..10).map(|n| format!("\\{n}")).collect();
            let needles: Vec<&str> = numbered.iter().map(String::as_str).chain(["\\k<"]).collect();
            (find(&needles), format!("back-references are not supported, {linear}"))
        } else {
            (None, format!("the regular expression is not valid: {reason}"))
        };
        Fault::new(at.unwrap_or_else(|| self.at.clone()), why)
    }

    /// A text that every match holds, folded by [`fold`]; none when there is no such text of two characters.
    pub(super) fn required(&self) -> Option<String> {
        if self.extended || self.source.contains("(?x") {
            return None;
        }
        let mut scan = Scan { rest: self.source.chars().collect(), at: 0 };
        let run = scan.sequence(0)?.filter(|run| run.len() >= 2)?;
        // An unbalanced source would leave something unread.
        (scan.at == scan.rest.len()).then(|| fold(&run))
    }
}

/// The form in which required texts are looked for: lower case, with the one lower-case letter that only equals an
/// ASCII letter when case is ignored written as that letter.
pub(super) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.to_lowercase().replace('ſ', "s")
}

fn ends_unescaped(text: &str, end: char) -> bool {
    text.strip_suffix(end).is_some_and(|before| (before.len() - before.trim_end_matches('\\').len()).is_multiple_of(2))
}

/// Walks an expression's source for runs of characters that stand in every match. It understands just enough to be
/// sure: whatever it does not know ends a run.
struct Scan {
    rest: Vec<char>,
    at: usize,
}

/// The longest run of a part; the outer `None` means that the part could not be understood.
type Run = Option<Option<String>>;

impl Scan {
    fn sequence(&mut self, depth: usize) -> Run {
        let (mut best, mut run, mut alternation) = (String::new(), String::new(), false);
        if depth > 16 {
            return None;
        }
        while let Some(&c) = self.rest.get(self.at) {
            self.at += 1;
            let mut ends = true;
            match c {
                ')' if depth > 0 => {
                    self.at -= 1;
                    break;
                }
                ')' => return None,
                '|' => alternation = true,
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => {
                    keep(&mut best, &mut run);
                    if let Some(inner) = self.group(depth)?
                        && !self.optional()
                    {
                        keep(&mut best, &mut inner.clone());
                    }
                }
                '*' | '?' => _ = run.pop(),
                '{' => {
                    run.pop();
                    let close = self.rest[self.at..].iter().position(|c| *c == '}')?;
                    self.at += close + 1;
                }
                '+' | '^' | '$' | '.' => {}
                literal if literal.is_ascii() => {
                    run.push(literal);
                    ends = false;
                }
                _ => {}
            }
            if ends {
                keep(&mut best, &mut run);
            }
        }
        keep(&mut best, &mut run);
        Some((!alternation && !best.is_empty()).then_some(best))
    }

    /// Whether the part just read may be left out.
    fn optional(&self) -> bool {
        matches!(self.rest.get(self.at), Some('*' | '?' | '{'))
    }

    fn escape(&mut self) -> Option<()> {
        let escaped = *self.rest.get(self.at)?;
        // These take characters behind them that look like literals.
        if matches!(escaped, 'x' | 'u' | 'U' | 'p' | 'P') {
            return None;
        }
        self.at += 1;
        Some(())
    }

    fn class(&mut self) -> Option<()> {
        let mut depth = 1;
        let mut first = true;
        while depth > 0 {
            let c = *self.rest.get(self.at)?;
            self.at += 1;
            match c {
                '^' if first => continue,
                ']' if first => {}
                ']' => depth -= 1,
                '[' => {
                    depth += 1;
                    first = true;
                    continue;
                }
                '\\' => self.at += 1,
                _ => {}
            }
            first = false;
        }
        Some(())
    }

    fn group(&mut self, depth: usize) -> Run {
        if self.rest.get(self.at) == Some(&'?') {
            // `?:`, `?<name>`, `?P<name>`, `?flags:`; flags for the rest of the sequence end with a bracket.
            let head = self.rest[self.at..].iter().position(|c| matches!(c, ':' | '>' | ')'))?;
            self.at += head;
            if self.rest[self.at] != ')' {
                self.at += 1;
            }
        }
        let inner = self.sequence(depth + 1)?;
        if self.rest.get(self.at) != Some(&')') {
            return None;
        }
        self.at += 1;
        Some(inner)
    }
}

fn keep(best: &mut String, run: &mut String) {
    if run.len() > best.len() {
        best.clone_from(run);
    }
    run.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn required(source: &str) -> Option<String> {
        Expression::recognise(source).unwrap().unwrap().required()
    }

    #[test]
    fn required_texts_are_found_only_where_every_match_has_them() {
        let cases = [
            (r"/INC-\d{4}/i", Some("inc-")),
            (r"/deploy (\w+) to (\w+)/", Some("deploy ")),
            (r"^(?:deploy\s+web)(?:\s+--(?:a|b)=x)*$", Some("deploy")),
            (r"^[\s\S]*hello[\s\S]*$", Some("hello")),
            (r"/colou?r/", Some("colo")),
            (r"/abc+de/", Some("abc")),
            (r"/(deploy|ship) it/", Some(" it")),
            (r"/deploy|ship/", None),
            (r"/(?:status)?/", None),
            (r"/ab{0}/", None),
            (r"/\x41bcdef/", None),
            (r"/[]abc]+/", None),
            (r"/(?<word>hel+o) you/", Some(" you")),
            (r"/(?i)status/", Some("status")),
            (r"/straße/", Some("stra")),
        ];
        for (source, expected) in cases {
            assert_eq!(required(source).as_deref(), expected, "{source}");
        }
    }

    #[test]
    fn whatever_matches_holds_the_required_text() {
        let cases = [
            (r"/SUNK/i", "ſunK"),
            (r"/(?i)kilo(gram)?s/", "KILOS"),
            (r"/a(b(cde)+)f/", "abcdecdef"),
            (r"^ops (\w+)$", "OPS x"),
        ];
        for (source, text) in cases {
            let expression = Expression::recognise(source).unwrap().unwrap();
            assert!(expression.compile().unwrap().is_match(text), "{source} {text}");
            assert!(fold(text).contains(&expression.required().unwrap()), "{source} {text}");
        }
    }
}
