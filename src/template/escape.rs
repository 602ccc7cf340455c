//! How a value is written so that it stays a value.

use crate::model::message::escape_markdown;

/// Escapes a value for Markdown. Besides the characters that are markup anywhere, this covers what is markup only at
/// the start of a line, because a value may bring its own lines.
pub(super) fn markdown(value: &str) -> String {
    let escaped = escape_markdown(value);
    if !escaped.contains(['-', '=', '.']) {
        return escaped;
    }
    let mut out = String::with_capacity(escaped.len() + 4);
    for line in escaped.split_inclusive('\n') {
        let text = line.trim_start();
        out.push_str(&line[..line.len() - text.len()]);
        match marker(text) {
            Some(at) => {
                out.push_str(&text[..at]);
                out.push('\\');
                out.push_str(&text[at..]);
            }
            None => out.push_str(text),
        }
    }
    out
}

/// Where the character stands that makes `line` a list item, a rule or the underline of a heading.
fn marker(line: &str) -> Option<usize> {
    let blank_or_end = |rest: &str| rest.chars().next().is_none_or(char::is_whitespace);
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    if digits > 0 {
        return line[digits..].strip_prefix('.').filter(|rest| blank_or_end(rest)).map(|_| digits);
    }
    let first = line.chars().next().filter(|c| matches!(c, '-' | '='))?;
    let ruled = line.trim_end().chars().all(|c| c == first || c.is_whitespace());
    (ruled || (first == '-' && blank_or_end(&line[1..]))).then_some(0)
}

/// Escapes a value as the inside of a JSON string.
pub(super) fn json(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use super::{json, markdown};

    #[test]
    fn a_value_stays_a_value() {
        for (given, escaped) in [
            ("World", "World"),
            ("*all* of `it` <b>", "\\*all\\* of \\`it\\` \\<b\\>"),
            ("[x](http://e.example)", "\\[x\\]\\(http://e.example\\)"),
            ("2026-11-23", "2026-11-23"),
            ("-5", "-5"),
            ("- one\n- two", "\\- one\n\\- two"),
            ("1. one\n  2. two", "1\\. one\n  2\\. two"),
            ("title\n---\nmore", "title\n\\---\nmore"),
            ("title\n===", "title\n\\==="),
            ("v1.2", "v1.2"),
            ("1.5 GB", "1.5 GB"),
        ] {
            assert_eq!(markdown(given), escaped, "{given:?}");
        }
        assert_eq!(json("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
