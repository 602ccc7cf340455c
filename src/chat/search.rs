//! Finding what was said before, by any part of its text, whatever the case of its letters.

use super::Hub;
use crate::model::conversation::{Conversation, Millis};
use crate::model::message::{Post, unescape_markdown};
use crate::model::principal::Principal;
use crate::model::{Error, Result};

/// The longest text that is looked for, in characters.
const LONGEST: usize = 200;
/// Messages read from the log at a time, and how many times for one answer.
const BATCH: i64 = 200;
const BATCHES: usize = 10;
/// The length of an excerpt in characters, and how much of it stands before what was found.
const EXCERPT: usize = 240;
const LEAD: usize = 60;

/// A message that holds what was looked for.
#[derive(Debug)]
pub struct Hit {
    pub conversation: Conversation,
    pub seq: i64,
    pub post: Post,
    /// The text around the place.
    pub excerpt: String,
}

/// A page of hits, newest first.
#[derive(Debug)]
pub struct Hits {
    pub hits: Vec<Hit>,
    /// Where to look on; `None` when everything was looked through. A page may be short and still have more behind it.
    pub next: Option<(Millis, String)>,
}

impl Hub {
    /// Looks through the caller's own conversations, or through one of them.
    pub async fn search(
        &self,
        principal: &Principal,
        conversation: Option<&str>,
        text: &str,
        after: Option<(Millis, String)>,
        limit: usize,
    ) -> Result<Hits> {
        let needle = folded(text.trim());
        if needle.is_empty() || needle.len() > LONGEST {
            let error = Error::invalid(format!("q has 1 to {LONGEST} characters"));
            return Err(error.details(serde_json::json!({ "field": "q" })));
        }
        let word = word(&needle);
        let mut hits = Vec::new();
        let mut place = after;
        for _ in 0..BATCHES {
            let after = place.as_ref().map(|(at, id)| (*at, id.as_str()));
            let candidates = self.store().messages_holding(&principal.id, conversation, &word, after, BATCH).await?;
            let is_last = candidates.len() < usize::try_from(BATCH).unwrap_or_default();
            for candidate in candidates {
                if hits.len() == limit {
                    return Ok(Hits { hits, next: place });
                }
                place = Some((candidate.created_at, candidate.post.message_id.clone()));
                if let Some(excerpt) = excerpt(&candidate.post, &needle) {
                    let (conversation, seq, post) = (candidate.conversation, candidate.seq, candidate.post);
                    hits.push(Hit { conversation, seq, post, excerpt });
                }
            }
            if is_last {
                return Ok(Hits { hits, next: None });
            }
        }
        Ok(Hits { hits, next: place })
    }
}

/// A text as it is compared: lower case, character by character.
fn folded(text: &str) -> Vec<char> {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// The longest word of plain letters and digits: every message that holds the text holds that, in whatever form the
/// log writes the rest.
fn word(needle: &[char]) -> String {
    let words = needle.split(|c| !c.is_ascii_alphanumeric());
    words.max_by_key(|word| word.len()).unwrap_or_default().iter().collect()
}

/// The text around the first place where a message holds the needle.
fn excerpt(post: &Post, needle: &[char]) -> Option<String> {
    let content = if post.format == "markdown" { unescape_markdown(&post.content) } else { post.content.clone() };
    let parts = post.parts.iter().flat_map(|part| part.texts());
    let texts = std::iter::once(content.as_str()).chain(post.title.as_deref()).chain(parts);
    texts.into_iter().find_map(|text| {
        let at = find(text, needle)?;
        let start = if at + needle.len() <= EXCERPT { 0 } else { at - LEAD };
        Some(text.chars().skip(start).take(EXCERPT).collect())
    })
}

/// The first character of `text` from which on it reads as the needle.
fn find(text: &str, needle: &[char]) -> Option<usize> {
    let folded: Vec<(usize, char)> =
        text.chars().enumerate().flat_map(|(at, c)| c.to_lowercase().map(move |lower| (at, lower))).collect();
    let mut places = folded.windows(needle.len());
    places.find(|window| window.iter().map(|(_, c)| c).eq(needle)).map(|window| window[0].0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_does_not_matter_in_any_script() {
        assert_eq!(find("Größe ÄNDERN", &folded("ändern")), Some(6));
        assert_eq!(find("ПРИВЕТ мир", &folded("привет")), Some(0));
        assert_eq!(find("İstanbul", &folded("stan")), Some(1), "one character may fold to two");
        assert_eq!(find("abc", &folded("abcd")), None);
    }

    #[test]
    fn the_word_for_the_database_is_in_every_form_of_the_text() {
        let of = |text: &str| word(&folded(text));
        assert_eq!(of("say \"Deploy_web\""), "deploy");
        assert_eq!(of("100%"), "100");
        assert_eq!(of("привет"), "");
    }
}
