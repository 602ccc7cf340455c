//! From what a directory says about somebody to who they are here.

use serde_json::Value;

use crate::config;
use crate::model::principal::Role;

/// The longest name that is shown, in characters.
const LONGEST_NAME: usize = 100;

/// What is said about somebody: by the signed token first, by the userinfo endpoint where that is silent.
pub(super) struct Claims {
    pub(super) token: Value,
    pub(super) userinfo: Value,
}

impl Claims {
    /// The claim at a JSON pointer; the empty pointer names none.
    fn at(&self, pointer: &str) -> Option<&Value> {
        let found = |claims: &'_ Value| claims.pointer(pointer).is_some_and(|value| !value.is_null());
        let source = [&self.token, &self.userinfo].into_iter().find(|claims| found(claims));
        source.filter(|_| !pointer.is_empty())?.pointer(pointer)
    }

    fn text(&self, name: &str) -> Option<&str> {
        let text = |claims: &'_ Value| claims.get(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        [&self.token, &self.userinfo].into_iter().find(|claims| text(claims))?.get(name)?.as_str()
    }

    /// Whether the token leaves something open that the userinfo endpoint may tell.
    pub(super) fn is_incomplete(&self, settings: &config::Oidc) -> bool {
        let is_silent = |pointer: &str| !pointer.is_empty() && self.at(pointer).is_none();
        is_silent(&settings.roles_claim)
            || is_silent(&settings.groups_claim)
            || self.text("name").is_none()
            || self.text("email").is_none()
    }

    /// The name that people read; who has none is called by the subject.
    pub(super) fn name(&self, subject: &str) -> String {
        let known = ["name", "preferred_username", "email"].into_iter().find_map(|claim| self.text(claim));
        let shown = known.unwrap_or(subject).chars().filter(|letter| !letter.is_control());
        shown.take(LONGEST_NAME).collect::<String>().trim().to_owned()
    }

    /// A claim that people read as one line.
    pub(super) fn line(&self, name: &str) -> Option<String> {
        let shown = self.text(name)?.chars().filter(|letter| !letter.is_control()).take(LONGEST_NAME);
        Some(shown.collect::<String>().trim().to_owned()).filter(|text| !text.is_empty())
    }

    pub(super) fn email(&self) -> Option<String> {
        self.text("email").map(str::to_owned)
    }

    /// Whether the directory has checked the address, said by who said the address.
    pub(super) fn email_verified(&self) -> bool {
        let says = |claims: &Value| claims.get("email").and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        let source = [&self.token, &self.userinfo].into_iter().find(|claims| says(claims));
        // Some write it as a text.
        source.and_then(|claims| claims.get("email_verified")).is_some_and(|value| *value == true || *value == "true")
    }

    pub(super) fn groups(&self, settings: &config::Oidc) -> Vec<String> {
        self.at(&settings.groups_claim).map(values).unwrap_or_default()
    }

    /// The roles that the claim gives, or else the one that everybody has.
    pub(super) fn roles(&self, settings: &config::Oidc) -> Vec<Role> {
        let given = self.at(&settings.roles_claim).map(values).unwrap_or_default();
        let means = |value: &String| match settings.role_map.get(value) {
            None if settings.role_map.is_empty() => Role::parse(value),
            role => role.copied(),
        };
        let mut roles: Vec<Role> = given.iter().filter_map(means).collect();
        if roles.is_empty() {
            roles.extend(settings.default_role);
        }
        Role::ALL.into_iter().filter(|role| roles.contains(role)).collect()
    }
}

/// The values of a claim in any of the shapes that directories use: an array of texts, an object's keys, a text with commas.
fn values(claim: &Value) -> Vec<String> {
    match claim {
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::Object(fields) => fields.keys().cloned().collect(),
        Value::String(text) => {
            text.split(',').map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::{Config, Overrides};

    fn settings(roles_claim: &str, map: &[(&str, Role)]) -> config::Oidc {
        let oidc = Config::load(None, &Overrides::default()).unwrap().oidc;
        let role_map = map.iter().map(|(value, role)| ((*value).to_owned(), *role)).collect();
        config::Oidc { roles_claim: roles_claim.to_owned(), role_map, ..oidc }
    }

    fn claims(token: Value) -> Claims {
        Claims { token, userinfo: Value::Null }
    }

    #[test]
    fn roles_come_from_a_claim_of_any_shape() {
        let map = [("staff", Role::User), ("ops", Role::Admin)];
        for (pointer, token, expected) in [
            ("/roles", json!({ "roles": ["ops", "staff", 7] }), vec![Role::Admin, Role::User]),
            ("/realm/roles", json!({ "realm": { "roles": ["staff"] } }), vec![Role::User]),
            ("/urn:x:roles", json!({ "urn:x:roles": { "ops": { "1": "a" } } }), vec![Role::Admin]),
            ("/roles", json!({ "roles": "staff, ops,," }), vec![Role::Admin, Role::User]),
            ("/roles", json!({ "roles": ["admin"] }), vec![]),
            ("/roles", json!({ "roles": true }), vec![]),
            ("/roles", json!({}), vec![]),
            ("", json!({ "": ["ops"] }), vec![]),
        ] {
            assert_eq!(claims(token.clone()).roles(&settings(pointer, &map)), expected, "{pointer} {token}");
        }
    }

    #[test]
    fn without_a_map_the_names_count_and_nobody_gets_a_role_for_nothing() {
        let plain = settings("/roles", &[]);
        assert_eq!(claims(json!({ "roles": ["admin", "Admin", "x"] })).roles(&plain), [Role::Admin]);
        assert_eq!(claims(json!({ "roles": ["x"] })).roles(&plain), []);
        let kind = config::Oidc { default_role: Some(Role::Readonly), ..plain };
        assert_eq!(claims(json!({ "roles": ["x"] })).roles(&kind), [Role::Readonly]);
        assert_eq!(claims(json!({ "roles": ["user"] })).roles(&kind), [Role::User]);
    }

    #[test]
    fn userinfo_speaks_only_where_the_token_is_silent() {
        let settings = settings("/roles", &[]);
        let both = Claims {
            token: json!({ "roles": [], "name": "Ann" }),
            userinfo: json!({ "roles": ["admin"], "name": "Bob", "groups": ["CN=a,OU=b"], "email": "a@example.com" }),
        };
        assert_eq!(both.roles(&settings), [], "the token gives none, and the token counts");
        assert_eq!((both.name("s"), both.groups(&settings)), ("Ann".to_owned(), vec!["CN=a,OU=b".to_owned()]));
        assert_eq!(both.email().as_deref(), Some("a@example.com"));
        assert!(!both.is_incomplete(&settings));
        assert!(claims(json!({ "roles": [], "groups": [], "name": "Ann" })).is_incomplete(&settings));
        assert_eq!(claims(json!({ "name": "\u{202e}\nA" })).name("s"), "\u{202e}A");
        assert_eq!(claims(json!({ "name": "" })).name("subject"), "subject");
    }
}
