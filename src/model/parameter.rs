//! A command's parameter: its type and rules, and the check that every door shares.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What a value must look like. Values stay text on the wire; the type says which texts are accepted and what a
/// template or a step sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "type")]
pub enum ParameterType {
    #[default]
    String,
    /// Like `string`, written over several lines in a form.
    Text,
    Integer,
    Number,
    Boolean,
    Choice {
        choices: Vec<String>,
    },
    Date,
    Datetime,
    Duration,
    Email,
    Url,
    User,
    Channel,
    Credential,
    File,
    Json,
    List,
}

impl ParameterType {
    /// Every name that may stand in a manifest.
    pub const NAMES: [&'static str; 17] = [
        "string",
        "text",
        "integer",
        "number",
        "boolean",
        "choice",
        "date",
        "datetime",
        "duration",
        "email",
        "url",
        "user",
        "channel",
        "credential",
        "file",
        "json",
        "list",
    ];

    /// The type of that name; none for `choice`, which needs its choices, and for names that are no type.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "string" => Self::String,
            "text" => Self::Text,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            "date" => Self::Date,
            "datetime" => Self::Datetime,
            "duration" => Self::Duration,
            "email" => Self::Email,
            "url" => Self::Url,
            "user" => Self::User,
            "channel" => Self::Channel,
            "credential" => Self::Credential,
            "file" => Self::File,
            "json" => Self::Json,
            "list" => Self::List,
            _ => return None,
        })
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Choice { .. } => "choice",
            Self::Date => "date",
            Self::Datetime => "datetime",
            Self::Duration => "duration",
            Self::Email => "email",
            Self::Url => "url",
            Self::User => "user",
            Self::Channel => "channel",
            Self::Credential => "credential",
            Self::File => "file",
            Self::Json => "json",
            Self::List => "list",
        }
    }
}

/// A regular expression that the whole value must match; compiled once, under a size limit, when the bot is loaded.
#[derive(Clone, Debug)]
pub struct ValuePattern {
    source: String,
    regex: Arc<regex::Regex>,
}

impl ValuePattern {
    /// Compiles `source`; the error is the regex crate's explanation in one line.
    pub fn new(source: &str) -> Result<Self, String> {
        let regex = regex::RegexBuilder::new(&format!(r"\A(?:{source})\z"))
            .size_limit(1 << 20)
            .dfa_size_limit(1 << 20)
            .nest_limit(64)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(limit) => {
                    format!("the pattern needs more than {limit} bytes when compiled")
                }
                regex::Error::Syntax(text) => {
                    text.lines().last().unwrap_or("syntax error").trim_start_matches("error: ").to_owned()
                }
                other => other.to_string(),
            })?;
        Ok(Self { source: source.to_owned(), regex: Arc::new(regex) })
    }

    pub fn as_str(&self) -> &str {
        &self.source
    }

    pub fn matches(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }
}

impl PartialEq for ValuePattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Serialize for ValuePattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}

impl<'de> Deserialize<'de> for ValuePattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = String::deserialize(deserializer)?;
        Self::new(&source).map_err(serde::de::Error::custom)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    pub name: String,
    #[serde(flatten)]
    pub kind: ParameterType,
    #[serde(default)]
    pub description: String,
    pub required: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<ValuePattern>,
    /// What a valid value looks like, in words; shown with a pattern fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_input: Option<String>,
    /// Shortest and longest value, in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_length: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// What to ask when the value is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Whether its values are never shown again: not in conversations, records or messages of ours.
    #[serde(default)]
    pub hidden: bool,
}

/// What stands where a hidden value would.
pub const HIDDEN: &str = "•••";

/// Why one value was refused. `code` is part of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueFault {
    pub code: &'static str,
    pub message: String,
}

impl Parameter {
    /// The value as it may be shown.
    pub fn shown<'v>(&self, value: &'v str) -> &'v str {
        if self.hidden { HIDDEN } else { value }
    }

    /// Checks a given value against every rule and returns the text to keep (choices in their written form, booleans
    /// as `true` or `false`, numbers trimmed). `command` is only for the message.
    pub fn check(&self, value: &str, command: &str) -> Result<String, ValueFault> {
        let name = &self.name;
        let fault = |code, why: String| ValueFault {
            code,
            message: format!(
                "Parameter '{name}' value of '{}' invalid in invocation to '{command}' {why}",
                if self.hidden { HIDDEN.to_owned() } else { shorten(value) }
            ),
        };
        let characters = value.chars().count();
        if let Some(least) = self.min_length
            && characters < least
        {
            return Err(fault("min_length", format!("with minimum length {least}")));
        }
        let most = self.max_length.unwrap_or(MAX_VALUE_CHARACTERS);
        if characters > most {
            return Err(fault("max_length", format!("with maximum length {most}")));
        }
        let kept = self.kind.accept(value).map_err(|expected| match &self.kind {
            ParameterType::Choice { choices } => fault("choice", format!("with choices '{}'", choices.join(", "))),
            _ => fault("type", format!("with type '{}': expected {expected}", self.kind.name())),
        })?;
        if let Some(pattern) = &self.pattern
            && !pattern.matches(&kept)
        {
            let hint = self.valid_input.as_ref().map(|text| format!(" ({text})")).unwrap_or_default();
            return Err(fault("pattern", format!("with pattern '{}'{hint}", pattern.as_str())));
        }
        Ok(kept)
    }
}

/// The longest value a parameter without `max_length` takes, in characters.
pub const MAX_VALUE_CHARACTERS: usize = 16 * 1024;

fn shorten(value: &str) -> String {
    match value.char_indices().nth(80) {
        Some((at, _)) => format!("{}…", &value[..at]),
        None => value.to_owned(),
    }
}

impl ParameterType {
    /// The text to keep for `value`, or what would have been accepted.
    pub fn accept(&self, value: &str) -> Result<String, &'static str> {
        let trimmed = value.trim();
        let when = |ok: bool, expected| if ok { Ok(trimmed.to_owned()) } else { Err(expected) };
        match self {
            Self::String | Self::Text | Self::User | Self::Channel | Self::Credential | Self::File => {
                Ok(value.to_owned())
            }
            Self::Integer => when(trimmed.parse::<i64>().is_ok(), "a whole number"),
            Self::Number => when(trimmed.parse::<f64>().is_ok_and(f64::is_finite), "a number"),
            Self::Boolean => match trimmed.to_ascii_lowercase().as_str() {
                "true" | "yes" | "y" | "on" | "1" => Ok("true".to_owned()),
                "false" | "no" | "n" | "off" | "0" => Ok("false".to_owned()),
                _ => Err("yes or no"),
            },
            Self::Choice { choices } => choices
                .iter()
                .find(|choice| choice.to_lowercase() == trimmed.to_lowercase())
                .cloned()
                .ok_or("one of its choices"),
            Self::Date => when(trimmed.parse::<jiff::civil::Date>().is_ok(), "a date such as 2026-11-23"),
            Self::Datetime => when(
                trimmed.parse::<jiff::Timestamp>().is_ok() || trimmed.parse::<jiff::civil::DateTime>().is_ok(),
                "a date and time such as 2026-11-23T14:00:00Z",
            ),
            Self::Duration => when(
                trimmed.parse::<jiff::SignedDuration>().is_ok() || trimmed.parse::<jiff::Span>().is_ok(),
                "a duration such as 90s, 15m or 2h",
            ),
            Self::Email => when(is_email(trimmed), "an e-mail address"),
            Self::Url => when(is_url(trimmed), "a web address such as https://example.com/"),
            Self::Json => when(serde_json::from_str::<serde_json::Value>(trimmed).is_ok(), "JSON"),
            Self::List => Ok(value.to_owned()),
        }
    }
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    !local.is_empty()
        && local.len() <= 64
        && domain.contains('.')
        && !text.contains(char::is_whitespace)
        && domain.split('.').all(|label| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b >= 0x80)
        })
}

fn is_url(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else { return false };
    !text.contains(char::is_whitespace) && rest.split(['/', '?', '#']).next().is_some_and(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(kind: ParameterType) -> Parameter {
        Parameter { name: "p".into(), kind, required: true, ..Parameter::default() }
    }

    #[test]
    fn every_type_takes_what_it_says_and_refuses_the_rest() {
        let choice = ParameterType::Choice { choices: vec!["Staging".into(), "prod".into()] };
        let cases: &[(ParameterType, &str, Option<&str>)] = &[
            (ParameterType::Integer, " 12 ", Some("12")),
            (ParameterType::Integer, "12abc", None),
            (ParameterType::Number, "1.5", Some("1.5")),
            (ParameterType::Number, "NaN", None),
            (ParameterType::Boolean, "Yes", Some("true")),
            (ParameterType::Boolean, "off", Some("false")),
            (ParameterType::Boolean, "maybe", None),
            (choice.clone(), "staging", Some("Staging")),
            (choice, "mars", None),
            (ParameterType::Date, "2026-11-23", Some("2026-11-23")),
            (ParameterType::Date, "2026-02-30", None),
            (ParameterType::Duration, "15m", Some("15m")),
            (ParameterType::Duration, "soon", None),
            (ParameterType::Email, "ann@example.com", Some("ann@example.com")),
            (ParameterType::Email, "ann@", None),
            (ParameterType::Url, "https://example.com/x", Some("https://example.com/x")),
            (ParameterType::Url, "example.com", None),
            (ParameterType::Json, "{\"a\":1}", Some("{\"a\":1}")),
            (ParameterType::Json, "{", None),
        ];
        for (kind, given, kept) in cases {
            assert_eq!(parameter(kind.clone()).check(given, "c").ok().as_deref(), *kept, "{kind:?} {given}");
        }
    }

    #[test]
    fn every_name_is_a_type_and_every_type_has_its_name() {
        for name in ParameterType::NAMES {
            match ParameterType::named(name) {
                Some(kind) => assert_eq!(kind.name(), name),
                None => assert_eq!(name, "choice"),
            }
        }
        assert!(ParameterType::named("strng").is_none());
    }

    #[test]
    fn a_pattern_holds_for_the_whole_value_and_words_follow_the_reference() {
        let mut service = parameter(ParameterType::String);
        service.pattern = Some(ValuePattern::new("[a-z-]{2,30}").unwrap());
        assert!(service.check("web", "deploy").is_ok());
        let fault = service.check("web!", "deploy").unwrap_err();
        assert_eq!(fault.code, "pattern");
        assert_eq!(
            fault.message,
            "Parameter 'p' value of 'web!' invalid in invocation to 'deploy' with pattern '[a-z-]{2,30}'"
        );
        assert!(ValuePattern::new("(a{1000}){1000}").is_err(), "a pattern that would need much memory is refused");
    }
}
