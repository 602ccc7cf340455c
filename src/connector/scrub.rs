//! Keeps opened secrets out of what is kept and shown.

use serde_json::Value;
use zeroize::Zeroizing;

/// Shorter ones would take ordinary words out of texts.
const SHORTEST: usize = 6;

/// The secrets that were opened for one call.
#[derive(Default)]
pub(super) struct Secrets {
    texts: Vec<Zeroizing<String>>,
}

impl Secrets {
    pub(super) fn add(&mut self, text: &str) {
        if text.len() >= SHORTEST {
            self.texts.push(Zeroizing::new(text.to_owned()));
        }
    }

    pub(super) fn scrub(&self, text: String) -> String {
        self.texts.iter().fold(text, |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), "[secret]") } else { text }
        })
    }

    /// The same for every text in a value, names included.
    pub(super) fn scrub_value(&self, value: Value) -> Value {
        if self.texts.is_empty() {
            return value;
        }
        match value {
            Value::String(text) => Value::String(self.scrub(text)),
            Value::Array(items) => items.into_iter().map(|item| self.scrub_value(item)).collect(),
            Value::Object(members) => {
                let members = members.into_iter().map(|(name, member)| (self.scrub(name), self.scrub_value(member)));
                Value::Object(members.collect())
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_opened_is_found_in_every_text() {
        let mut secrets = Secrets::default();
        secrets.add("hunter22");
        secrets.add("abc");
        let value = json!({"a": ["x hunter22 y", 1], "hunter22": {"b": "abc"}});
        assert_eq!(secrets.scrub_value(value), json!({"a": ["x [secret] y", 1], "[secret]": {"b": "abc"}}));
    }
}
