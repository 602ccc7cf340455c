//! Texts of a reply that mean one of a few things, or a number, or a time.

use jiff::{SignedDuration, Span, SpanRelativeTo};

use crate::model::action::Style;
use crate::model::message::{PostMode, ProgressState, Tone};
use crate::model::place::Address;

/// The words that can stand in one place, with what they mean.
pub(super) struct Words<T: 'static> {
    /// What one of them is called.
    pub(super) what: &'static str,
    known: &'static [(&'static str, T)],
}

impl<T: Copy> Words<T> {
    pub(super) fn find(&self, word: &str) -> Option<T> {
        self.known.iter().find(|(known, _)| *known == word).map(|(_, meaning)| *meaning)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.known.iter().map(|(word, _)| *word)
    }
}

pub(super) const TONES: Words<Tone> = Words {
    what: "tone",
    known: &[
        ("info", Tone::Info),
        ("success", Tone::Success),
        ("warning", Tone::Warning),
        ("error", Tone::Error),
        ("question", Tone::Question),
    ],
};

pub(super) const STATES: Words<ProgressState> = Words {
    what: "state",
    known: &[("running", ProgressState::Running), ("done", ProgressState::Done), ("failed", ProgressState::Failed)],
};

pub(super) const STYLES: Words<Style> =
    Words { what: "style", known: &[("plain", Style::Plain), ("primary", Style::Primary), ("danger", Style::Danger)] };

pub(super) const POST_MODES: Words<PostMode> = Words {
    what: "post",
    known: &[("ttl", PostMode::Ttl), ("always", PostMode::Always), ("update_only", PostMode::UpdateOnly)],
};

/// Something that is read from a text: what it means, or why it means nothing.
pub(super) type Reading<T> = fn(&str) -> Result<T, String>;

/// A whole number from 0 on.
pub(super) fn count(text: &str) -> Result<u32, String> {
    text.trim().parse().map_err(|_| format!("\"{}\" is not a whole number", text.trim()))
}

/// The milliseconds of a duration such as `90s`, `15m` or `2d`.
pub(super) fn duration(text: &str) -> Result<i64, String> {
    let trimmed = text.trim();
    let exact = trimmed.parse::<SignedDuration>().ok();
    let of_days = || trimmed.parse::<Span>().ok()?.to_duration(SpanRelativeTo::days_are_24_hours()).ok();
    let millis = exact.or_else(of_days).and_then(|duration| i64::try_from(duration.as_millis()).ok());
    // Ten years are as good as for ever, and leave room to add them to a time.
    let longest = 10 * 366 * 24 * 60 * 60 * 1000;
    millis
        .filter(|millis| (1..=longest).contains(millis))
        .ok_or_else(|| format!("\"{trimmed}\" is not a duration such as 90s, 15m or 2d"))
}

/// A day as it is kept.
pub(super) fn day(text: &str) -> Result<String, String> {
    let trimmed = text.trim();
    match trimmed.parse::<jiff::civil::Date>() {
        Ok(date) => Ok(date.to_string()),
        Err(_) => Err(format!("\"{trimmed}\" is not a day such as 2026-11-23")),
    }
}

/// A web address that people may follow.
pub(super) fn web_address(text: &str) -> Result<String, String> {
    let trimmed = text.trim();
    let rest = trimmed.strip_prefix("https://").or_else(|| trimmed.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    if host.is_empty() || trimmed.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!("\"{trimmed}\" is not a web address: it begins with https:// or http://"));
    }
    Ok(trimmed.to_owned())
}

/// Where a message goes.
pub(super) fn address(text: &str) -> Result<String, String> {
    Address::parse(text).map(|_| text.trim().to_owned())
}

/// The address of a picture: on the web, or a picture file of this installation such as `/favicon.svg`.
pub(super) fn picture_address(text: &str) -> Result<String, String> {
    let trimmed = text.trim();
    if trimmed.starts_with('/') {
        let is_file = trimmed.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-_.".contains(&b));
        let is_picture = [".svg", ".png", ".jpg", ".jpeg", ".gif", ".webp"].iter().any(|end| trimmed.ends_with(end));
        if is_file && is_picture && !trimmed.contains("//") && !trimmed.contains("..") {
            return Ok(trimmed.to_owned());
        }
        return Err(format!("\"{trimmed}\" is not a picture of this installation"));
    }
    web_address(trimmed).map_err(|_| format!("\"{trimmed}\" is not a web address"))
}
