//! What stands for a choice outside, and how it is understood when it comes back.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::model::action::Choice;

/// The longest value that goes out as it is; the least of what the chats take.
const LONGEST_VALUE: usize = 75;

/// What stands for a value in a chat outside: the value itself, or its hash where it is too long or empty.
pub fn choice_key(value: &str) -> String {
    if !value.is_empty() && !value.starts_with('~') && super::fit::length(value) <= LONGEST_VALUE {
        return value.to_owned();
    }
    format!("~{}", BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(value)[..16]))
}

/// The value among `options` that `key` stands for.
pub fn chosen<'o>(options: &'o [Choice], key: &str) -> Option<&'o str> {
    options.iter().map(|option| option.value.as_str()).find(|value| choice_key(value) == key)
}

/// The `page`th of several controls for one action, since their ids must differ.
pub(super) fn paged_id(id: &str, page: usize) -> String {
    if page == 0 { id.to_owned() } else { format!("{id}.{page}") }
}

/// The action behind the id of a control; links have none.
pub fn action_id(control: &str) -> Option<&str> {
    let id = control.split('.').next().unwrap_or(control);
    (!id.is_empty() && id != "link").then_some(id)
}

/// Options that a chat takes together: without repeated values, at most `most`, and at most `longest` long in all.
pub(super) fn pages(options: &[Choice], most: usize, longest: usize) -> Vec<Vec<&Choice>> {
    let mut seen = std::collections::HashSet::new();
    let mut pages: Vec<Vec<&Choice>> = Vec::new();
    let mut size = 0;
    for option in options.iter().filter(|option| seen.insert(option.value.as_str())) {
        let length = option.label.len().min(LONGEST_VALUE * 4) + option.value.len().min(LONGEST_VALUE * 4);
        let fits = pages.last().is_some_and(|page| page.len() < most && size + length <= longest);
        if !fits {
            pages.push(Vec::new());
            size = 0;
        }
        size += length;
        if let Some(page) = pages.last_mut() {
            page.push(option);
        }
    }
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_back_as_itself() {
        let values = ["prod", "", "~x", "é", &"long ".repeat(40)];
        let options: Vec<_> = values.iter().map(|value| Choice { value: (*value).into(), label: "x".into() }).collect();
        for value in values {
            let key = choice_key(value);
            assert!((1..=LONGEST_VALUE).contains(&key.len()), "{key}");
            assert_eq!(chosen(&options, &key), Some(value));
        }
        assert_eq!(chosen(&options, "staging"), None);
        assert_eq!(action_id(&paged_id("a_1", 3)), Some("a_1"));
        assert_eq!(action_id("link.2"), None);
    }
}
