use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::building::{
    PLACE, button, escaped, every_field, everything, far_too_large, form, form_field, message, typed,
};
use crate::model::action::{Action, FormState, Life};
use crate::model::message::Message;
use crate::render::discord::{self, Control, control};
use crate::render::{Place, Rendering};

fn length(value: &Value) -> usize {
    value.as_str().unwrap_or_default().encode_utf16().count()
}

fn within(value: &Value, least: usize, most: usize) {
    assert!((least..=most).contains(&length(value)), "{} is not within {least}..={most}: {value}", length(value));
}

/// What is left of Discord's Markdown that is not escaped: no mention and no address but those of links.
fn check_markdown(text: &str) {
    let mut rest = text;
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        if c == '\\' {
            // Whatever it is, it is only that.
            before = ' ';
            rest = after.chars().next().map_or("", |next| &after[next.len_utf8()..]);
            continue;
        }
        if let Some(code) = rest.strip_prefix("```") {
            let end = code.find("```").unwrap_or_else(|| panic!("an open fence in {text:?}"));
            rest = &code[end + 3..];
            continue;
        }
        if c == '`' {
            let fence = if after.starts_with('`') { "``" } else { "`" };
            let code = &rest[fence.len()..];
            let end = code.find(fence).unwrap_or_else(|| panic!("open code in {text:?}"));
            rest = &code[end + fence.len()..];
            continue;
        }
        if c == '<' {
            let is_link = before == '(' && ["http://", "https://", "mailto:"].iter().any(|s| after.starts_with(s));
            assert!(is_link, "a mention in {text:?}");
            rest = &after[after.find('>').unwrap_or_else(|| panic!("an open link in {text:?}"))..];
            before = '<';
            continue;
        }
        assert!(!(c == '@' && (after.starts_with("everyone") || after.starts_with("here"))), "{text:?}");
        assert!(!rest.starts_with("://"), "an address in {text:?}");
        before = c;
        rest = after;
    }
}

fn check_embed(embed: &Value) -> usize {
    let mut size = 0;
    let mut count = |value: &Value, least: usize, most: usize| {
        within(value, least, most);
        size += length(value);
    };
    if let Some(title) = embed.get("title") {
        count(title, 1, 256);
        check_markdown(title.as_str().unwrap());
    }
    if let Some(text) = embed.get("description") {
        count(text, 1, 4_096);
        check_markdown(text.as_str().unwrap());
    }
    let fields = embed["fields"].as_array().cloned().unwrap_or_default();
    assert!(fields.len() <= 25);
    for field in &fields {
        count(&field["name"], 1, 256);
        count(&field["value"], 1, 1_024);
        check_markdown(field["name"].as_str().unwrap());
        check_markdown(field["value"].as_str().unwrap());
    }
    if let Some(footer) = embed.get("footer") {
        count(&footer["text"], 1, 2_048);
    }
    if let Some(image) = embed.get("image") {
        assert!(image["url"].as_str().unwrap().starts_with("http"));
    }
    assert!(embed.as_object().unwrap().keys().any(|key| key != "color"), "an empty embed");
    size
}

fn check_row(row: &Value, ids: &mut HashSet<String>) {
    let controls = row["components"].as_array().unwrap();
    let is_select = controls[0]["type"] == 3;
    assert!((1..=if is_select { 1 } else { 5 }).contains(&controls.len()));
    for control in controls {
        if control["style"] == 5 {
            within(&control["url"], 1, 512);
        } else {
            within(&control["custom_id"], 1, 100);
            let id = control["custom_id"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "two controls are {id}");
        }
        if is_select {
            within(&control["placeholder"], 1, 150);
            let options = control["options"].as_array().unwrap();
            assert!((1..=25).contains(&options.len()));
            let mut values = HashSet::new();
            for option in options {
                within(&option["label"], 1, 100);
                within(&option["value"], 1, 100);
                assert!(values.insert(option["value"].as_str().unwrap()), "a value stands twice");
            }
        } else {
            within(&control["label"], 1, 80);
        }
    }
}

/// Every limit of Discord, for all messages of a rendering.
fn check(rendering: &Rendering) {
    assert!(!rendering.messages.is_empty());
    let mut ids = HashSet::new();
    for message in &rendering.messages {
        assert_eq!(message["allowed_mentions"], json!({ "parse": [] }));
        within(&message["content"], 0, 2_000);
        check_markdown(message["content"].as_str().unwrap());
        let embeds = message["embeds"].as_array().unwrap();
        assert!(embeds.len() <= 10 && (length(&message["content"]) > 0 || !embeds.is_empty()), "{message}");
        let size: usize = embeds.iter().map(check_embed).sum();
        assert!(size <= 6_000, "{size} characters");
        let rows = message["components"].as_array().unwrap();
        assert!(rows.len() <= 5);
        rows.iter().for_each(|row| check_row(row, &mut ids));
    }
}

#[test]
fn every_part_has_its_place() {
    let rendering = discord::message(&everything(), &PLACE);
    check(&rendering);
    assert!(!rendering.is_cut);
    insta::assert_json_snapshot!("discord_everything", rendering.messages);
    // Nothing but text is content, as a person would write it.
    let words = discord::message(&Message::text("**Done**, see [it](/x).\n\n- one"), &PLACE);
    check(&words);
    assert_eq!(words.messages[0]["content"], "**Done**, see [it](<https://parlour.example/x>).\n\n- one");
    assert_eq!(words.messages[0]["embeds"], json!([]));
}

#[test]
fn what_is_far_too_large_is_split_cut_and_read_elsewhere() {
    let large = far_too_large();
    let rendering = discord::message(&large, &PLACE);
    check(&rendering);
    assert!(rendering.is_cut && rendering.attachment.is_none());
    let shown = Value::from(rendering.messages.clone()).to_string();
    assert!(shown.contains("[… full output](<https://parlour.example/c/1#m1>)"), "{shown}");
    assert!(shown.contains("a_many.9") && shown.contains("a_cancel"), "{shown}");
    let alone = discord::message(&large, &Place { full_url: None, ..PLACE });
    check(&alone);
    assert!(alone.attachment.expect("the whole as a file").contains("value") || alone.is_cut);

    let words = discord::message(&Message::text("word ".repeat(3_000)), &PLACE);
    check(&words);
    assert_eq!(words.messages.len(), 3, "text goes on in further messages, up to three");
    assert!(words.is_cut);
}

#[test]
fn a_form_of_five_is_a_modal_and_comes_back() {
    let mut fields = every_field();
    fields.truncate(5);
    let five = form(fields, FormState::Open);
    insta::assert_json_snapshot!(
        "discord_modal",
        discord::modal(&five, "Book a room for very many people, if you please")
    );
    let submitted = json!({ "components": [
        { "type": 1, "components": [{ "type": 4, "custom_id": "service", "value": "api" }] },
        { "type": 1, "components": [{ "type": 4, "custom_id": "why", "value": "" }] },
        { "type": 18, "component": { "type": 3, "custom_id": "environment", "value": "prod" } },
    ] });
    let values = discord::submitted(&submitted);
    assert_eq!(
        values,
        [("service", "api"), ("environment", "prod")].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    );
    let six = (0..6).map(|at| form_field(&format!("f{at}"), "string")).collect();
    assert!(discord::modal(&form(six, FormState::Open), "x").is_none(), "asked question by question");
}

#[test]
fn what_needs_another_step_says_so() {
    let Action::Button { id, label, style, life, .. } = button("a_go", "Go") else { panic!("a button") };
    let asking = Action::Button { id, label, style, confirm: Some("Really, @everyone?".into()), life };
    let day = Action::Date {
        id: "a_day".into(),
        label: "When?".into(),
        min: Some("2026-11-23".into()),
        max: None,
        life: Life::default(),
    };
    let said = Message { actions: vec![asking.clone(), day.clone()], ..Message::text("Go?") };
    let rendering = discord::message(&said, &PLACE);
    let ids: Vec<_> = rendering.messages[0]["components"][0]["components"].as_array().unwrap().iter().collect();
    assert_eq!(control(ids[0]["custom_id"].as_str().unwrap()), Some(Control::Ask("a_go")));
    assert_eq!(control(ids[1]["custom_id"].as_str().unwrap()), Some(Control::Day("a_day")));
    assert_eq!(control("a_where.3"), Some(Control::Take("a_where")));
    assert_eq!(control("dismiss"), Some(Control::Dismiss));
    let question = discord::question(&asking).expect("a question");
    check_markdown(question["content"].as_str().unwrap());
    let go = &question["components"][0]["components"][0];
    assert_eq!(control(go["custom_id"].as_str().unwrap()), Some(Control::Take("a_go")));
    let modal = discord::day_modal(&day).expect("a modal");
    assert_eq!(modal["components"][0]["components"][0]["placeholder"], "from 2026-11-23 on");
    let sent = json!({ "components": [{ "components": [{ "custom_id": "day", "value": "2026-12-01" }] }] });
    assert_eq!(discord::submitted_day(&sent).as_deref(), Some("2026-12-01"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_message_is_within_every_limit(message in message()) {
        check(&discord::message(&message, &PLACE));
        check(&discord::message(&message, &Place::default()));
    }

    #[test]
    fn what_a_person_typed_is_only_text(text in typed()) {
        let rendering = discord::message(&Message::text(format!("said {}.", escaped(&text))), &PLACE);
        check(&rendering);
        let content: String = rendering.messages.iter().filter_map(|message| message["content"].as_str()).collect();
        // Without escapes and gaps it is what was typed, and no mark was left unescaped.
        let mut seen = String::new();
        let mut rest = content.chars();
        while let Some(c) = rest.next() {
            match c {
                '\\' => seen.extend(rest.next()),
                '*' | '_' | '~' | '`' | '|' | '<' | '>' | '[' | ']' => prop_assert!(false, "{} in {}", c, content),
                '\u{200b}' => {}
                _ => seen.push(c),
            }
        }
        let squeeze = |text: &str| {
            text.chars().filter(|c| !c.is_whitespace() && !c.is_control() && *c != '\u{202e}').collect::<String>()
        };
        prop_assert_eq!(squeeze(&seen), squeeze(&format!("said {text}.")));
    }
}
