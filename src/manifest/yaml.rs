//! YAML as a tree that knows where everything stands.
//!
//! A manifest is read into this tree first and understood afterwards, so that one look at it can report every fault, and
//! every fault can name its line and column down to a place inside a string.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::MergeKeyPolicy;
use serde_saphyr::{Location, Spanned};

use super::cursor::Cursor;

/// One node of the tree.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// Where it is written, counted from 1 in characters; for an alias, where the alias is.
    pub(super) at: Place,
    /// The byte offset where its text begins.
    start: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Empty,
    /// A scalar as it is written: `012` stays `012`.
    Scalar {
        text: String,
        plain: Plain,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// What a scalar is when nothing else is known about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plain {
    Text,
    Flag(bool),
    Number,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_at: Place,
    pub(super) value: Node,
}

/// Line and column.
pub(super) type Place = (u32, u32);

/// Why a text is not a tree.
#[derive(Debug)]
pub(super) struct SyntaxFault {
    pub(super) at: Place,
    pub(super) message: String,
}

/// Reads `source`. What could cost more than its length suggests is bounded: aliases, depth, number of nodes.
pub(super) fn parse(source: &str) -> Result<Node, SyntaxFault> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        reject_unsupported_tags: true,
        merge_keys: MergeKeyPolicy::Error,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: 32,
            flow_nesting_limit: 32,
            max_nodes: 200_000,
            max_events: 500_000,
            max_documents: 1,
            max_aliases: 256,
            max_anchors: 256,
            max_recorded_anchor_events: 20_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 20_000,
            max_replay_stack_depth: 8,
            max_alias_expansions_per_anchor: 256,
        },
    };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(source, options) {
        Ok(raw) => Ok(Node::from_raw(raw, source)),
        Err(error) => {
            let error = error.without_snippet();
            let at = error.location().map_or((1, 1), |location| place(&location));
            Err(SyntaxFault { at, message: in_words(&error.to_string()) })
        }
    }
}

/// The parser's message without its own idea of the place and without talk of its options.
fn in_words(message: &str) -> String {
    let message = message.rfind(" at line ").map_or(message, |at| &message[..at]);
    if let Some(rest) = message.strip_prefix("duplicate mapping key: ") {
        let key = rest.split(", set DuplicateKeyPolicy").next().unwrap_or(rest);
        return format!("key \"{key}\" is written twice");
    }
    if message.starts_with("multiple YAML documents") || message.contains("Documents {") {
        return "a manifest is one YAML document".to_owned();
    }
    if message.starts_with("YAML merge keys") {
        return "merge keys (<<) are not read: write the keys out".to_owned();
    }
    if message.starts_with("budget breached")
        || message.starts_with("recursion limit")
        || message.starts_with("alias ") && message.contains("limit")
    {
        return "the file nests or unfolds further than a manifest may".to_owned();
    }
    format!("this is not valid YAML: {}", message.lines().next().unwrap_or_default())
}

fn place(location: &Location) -> Place {
    let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).max(1);
    (number(location.line()), number(location.column()))
}

/// The tree as the parser gives it.
enum Raw {
    Empty,
    Flag(bool),
    Number,
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any YAML")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Empty)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Empty)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Raw, E> {
        Ok(Raw::Flag(flag))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

impl Node {
    fn from_raw(raw: Spanned<Raw>, source: &str) -> Self {
        let at = place(&raw.referenced);
        let span = raw.defined.span();
        let offset = |n: Option<u64>| n.and_then(|n| usize::try_from(n).ok());
        let start = offset(span.byte_offset()).unwrap_or(0).min(source.len());
        let end = start.saturating_add(offset(span.byte_len()).unwrap_or(0)).min(source.len());
        let written = || source.get(start..end).unwrap_or_default().to_owned();
        let kind = match raw.value {
            Raw::Empty => Kind::Empty,
            Raw::Flag(flag) => Kind::Scalar { text: written(), plain: Plain::Flag(flag) },
            Raw::Number => Kind::Scalar { text: written(), plain: Plain::Number },
            Raw::Text(text) => Kind::Scalar { text, plain: Plain::Text },
            Raw::List(items) => Kind::List(items.into_iter().map(|item| Self::from_raw(item, source)).collect()),
            Raw::Map(entries) => Kind::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| Entry {
                        key_at: place(&key.referenced),
                        key: key.value,
                        value: Self::from_raw(value, source),
                    })
                    .collect(),
            ),
        };
        Self { kind, at, start }
    }

    /// A node that nobody wrote, in the place of one that stands there.
    pub(super) fn made(kind: Kind, at: Place) -> Self {
        Self { kind, at, start: usize::MAX }
    }

    /// A text that nobody wrote so.
    pub(super) fn text(text: impl Into<String>, at: Place) -> Self {
        Self::made(Kind::Scalar { text: text.into(), plain: Plain::Text }, at)
    }

    /// A tree without places.
    pub(super) fn from_value(value: &serde_json::Value) -> Self {
        use serde_json::Value;
        let at = (1, 1);
        let scalar = |text: String, plain| Self::made(Kind::Scalar { text, plain }, at);
        match value {
            Value::Null => Self::made(Kind::Empty, at),
            Value::Bool(flag) => scalar(flag.to_string(), Plain::Flag(*flag)),
            Value::Number(number) => scalar(number.to_string(), Plain::Number),
            Value::String(text) => scalar(text.clone(), Plain::Text),
            Value::Array(items) => Self::made(Kind::List(items.iter().map(Self::from_value).collect()), at),
            Value::Object(members) => {
                let entry =
                    |(key, value): (&String, _)| Entry { key: key.clone(), key_at: at, value: Self::from_value(value) };
                Self::made(Kind::Map(members.iter().map(entry).collect()), at)
            }
        }
    }

    /// The tree as JSON. A number that JSON cannot write stays as it is written.
    pub(super) fn value(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.kind {
            Kind::Empty => Value::Null,
            Kind::Scalar { plain: Plain::Flag(flag), .. } => Value::Bool(*flag),
            Kind::Scalar { text, plain: Plain::Number } => {
                serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()))
            }
            Kind::Scalar { text, plain: Plain::Text } => Value::String(text.clone()),
            Kind::List(items) => items.iter().map(Self::value).collect(),
            Kind::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), entry.value.value())).collect(),
        }
    }

    /// The value of a key, when the node is a map that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// Where a byte offset of the scalar's text stands in `source`, through quotes, escapes, folded lines and
    /// indentation.
    pub(super) fn locate(&self, source: &str, offset: usize) -> Place {
        let Kind::Scalar { text, .. } = &self.kind else { return self.at };
        if self.start > source.len() {
            return self.at;
        }
        let mut at = Cursor::new(source, self.start, text);
        for (position, c) in text.char_indices() {
            if position >= offset {
                if !c.is_whitespace() {
                    at.skip_indentation();
                }
                break;
            }
            at.pass(c);
        }
        at.place()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_value_is_a_place_in_the_file() {
        let source = concat!(
            "a: plain X\n",
            "b: \"quo\\\"ted \\u00e9 X\"\n",
            "c: 'it''s X'\n",
            "d: |\n  one\n    two X\n",
            "e: >-\n  one\n  two\n\n  three X\n",
            "f: folded\n  plain X\n",
            "g: \"over \\\n  lines X\"\n",
            "h: |\n  \"X\"\n",
            "ü: \"ö X\"\n",
            "i: X\n",
        );
        let tree = parse(source).unwrap();
        for (key, expected) in [
            ("a", (1, 10)),
            ("b", (2, 21)),
            ("c", (3, 11)),
            ("d", (6, 9)),
            ("e", (11, 9)),
            ("f", (13, 9)),
            ("g", (15, 9)),
            ("h", (17, 4)),
            ("ü", (18, 7)),
            ("i", (19, 4)),
        ] {
            let node = tree.get(key).unwrap();
            let Kind::Scalar { text, .. } = &node.kind else { panic!("{key} is a scalar") };
            assert_eq!(node.locate(source, text.find('X').unwrap()), expected, "{key}");
        }
    }

    #[test]
    fn scalars_stay_as_written() {
        let tree = parse("[012, 1.50, no, true, ~, 1_000, 0x1F]").unwrap();
        let Kind::List(items) = tree.kind else { panic!("a list") };
        let written: Vec<_> = items
            .iter()
            .map(|item| match &item.kind {
                Kind::Scalar { text, plain } => (text.as_str(), *plain),
                _ => ("", Plain::Text),
            })
            .collect();
        let number = Plain::Number;
        assert_eq!(
            written,
            [
                ("012", number),
                ("1.50", number),
                ("no", Plain::Text),
                ("true", Plain::Flag(true)),
                ("", Plain::Text),
                ("1_000", number),
                ("0x1F", number)
            ]
        );
    }

    #[test]
    fn what_is_not_a_manifest_or_costs_too_much_is_refused_with_its_place() {
        let bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned()
            + &('b'..='j')
                .map(|c| {
                    let before = char::from(c as u8 - 1);
                    let all = vec![format!("*{before}"); 9].join(", ");
                    format!("{c}: &{c} [{all}]\n")
                })
                .collect::<String>();
        let deep = "[".repeat(10_000);
        for (source, expected) in [
            ("a: 1\nb: 2\na: 3\n", "3:1 key \"a\" is written twice"),
            ("a: [1\nb: 2\n", "2:2 this is not valid YAML: illegal placement of ':' indicator"),
            ("a: 1\n---\nb: 2\n", "2:1 a manifest is one YAML document"),
            ("a: &x {k: 1}\n<<: *x\n", "2:1 merge keys (<<) are not read: write the keys out"),
            ("a: *nope\n", "1:4 this is not valid YAML: alias references unknown anchor"),
            (&bomb, "5:12 the file nests or unfolds further than a manifest may"),
            (&deep, "1:33 the file nests or unfolds further than a manifest may"),
        ] {
            let fault = parse(source).unwrap_err();
            assert_eq!(format!("{}:{} {}", fault.at.0, fault.at.1, fault.message), expected);
        }
    }
}
