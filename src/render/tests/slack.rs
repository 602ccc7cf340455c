use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::building::{PLACE, escaped, every_field, everything, far_too_large, form, form_field, message, typed};
use crate::model::action::FormState;
use crate::model::message::Message;
use crate::render::{Place, Rendering, action_id, slack};

fn length(value: &Value) -> usize {
    value.as_str().expect("a text").encode_utf16().count()
}

/// Every text in a value, with the key it stands under.
fn strings<'v>(value: &'v Value, key: &'v str, into: &mut Vec<(&'v str, &'v str)>) {
    match value {
        Value::String(text) => into.push((key, text)),
        Value::Array(items) => items.iter().for_each(|item| strings(item, key, into)),
        Value::Object(map) => map.iter().for_each(|(key, value)| strings(value, key, into)),
        _ => {}
    }
}

fn within(value: &Value, least: usize, most: usize) {
    assert!((least..=most).contains(&length(value)), "{} is not within {least}..={most}: {value}", length(value));
}

fn check_text(object: &Value, most: usize) {
    within(&object["text"], 1, most);
    if object["type"] == "mrkdwn" {
        assert_eq!(object["verbatim"], true, "{object}");
        check_mrkdwn(object["text"].as_str().unwrap());
    }
}

/// In mrkdwn, `<` begins nothing but a link.
fn check_mrkdwn(text: &str) {
    for (at, _) in text.match_indices('<') {
        let inner = &text[at + 1..];
        let is_link = ["http://", "https://", "mailto:"].iter().any(|scheme| inner.starts_with(scheme));
        assert!(is_link, "a mention in {text:?}");
        assert!(inner.find('>').is_some_and(|end| inner[..end].contains('|')), "an open link in {text:?}");
    }
}

fn check_elements(elements: &Value) {
    for element in elements.as_array().unwrap() {
        match element["type"].as_str().unwrap() {
            "text" => within(&element["text"], 1, usize::MAX),
            "link" => assert!(element["url"].as_str().unwrap().contains(':')),
            "rich_text_section" | "rich_text_quote" | "rich_text_preformatted" | "rich_text_list" => {
                assert!(!element["elements"].as_array().unwrap().is_empty());
                check_elements(&element["elements"]);
            }
            other => panic!("{other} in rich text"),
        }
    }
}

fn check_block(block: &Value) {
    match block["type"].as_str().unwrap() {
        "header" => {
            assert_eq!(block["text"]["type"], "plain_text");
            within(&block["text"]["text"], 1, 150);
        }
        "section" => {
            if let Some(fields) = block["fields"].as_array() {
                assert!((1..=10).contains(&fields.len()));
                fields.iter().for_each(|field| check_text(field, 2_000));
            } else {
                check_text(&block["text"], 3_000);
            }
        }
        "rich_text" => {
            assert!(!block["elements"].as_array().unwrap().is_empty());
            check_elements(&block["elements"]);
        }
        "context" => {
            let elements = block["elements"].as_array().unwrap();
            assert!((1..=10).contains(&elements.len()));
            elements.iter().for_each(|element| check_text(element, 2_000));
        }
        "image" => {
            within(&block["image_url"], 1, 3_000);
            within(&block["alt_text"], 1, 2_000);
        }
        "table" => {
            let rows = block["rows"].as_array().unwrap();
            assert!((1..=100).contains(&rows.len()));
            for row in rows {
                assert_eq!(row.as_array().unwrap().len(), rows[0].as_array().unwrap().len());
                assert!(row.as_array().unwrap().len() <= 20);
            }
        }
        "actions" => {
            let elements = block["elements"].as_array().unwrap();
            assert!((1..=25).contains(&elements.len()));
            elements.iter().for_each(check_control);
        }
        "divider" => {}
        other => panic!("{other} is not ours"),
    }
}

fn check_control(control: &Value) {
    within(&control["action_id"], 1, 255);
    match control["type"].as_str().unwrap() {
        "button" => {
            within(&control["text"]["text"], 1, 75);
            if let Some(confirm) = control.get("confirm") {
                within(&confirm["title"]["text"], 1, 100);
                within(&confirm["text"]["text"], 1, 300);
                within(&confirm["confirm"]["text"], 1, 30);
                within(&confirm["deny"]["text"], 1, 30);
            }
            assert_eq!(action_id(control["action_id"].as_str().unwrap()).is_none(), control.get("url").is_some());
        }
        "static_select" => {
            within(&control["placeholder"]["text"], 1, 150);
            let options = control["options"].as_array().unwrap();
            assert!((1..=100).contains(&options.len()));
            let mut values = HashSet::new();
            for option in options {
                within(&option["text"]["text"], 1, 75);
                within(&option["value"], 1, 75);
                assert!(values.insert(option["value"].as_str().unwrap()), "a value stands twice");
            }
        }
        "datepicker" => within(&control["placeholder"]["text"], 1, 150),
        other => panic!("{other} is not ours"),
    }
}

/// Every limit of Slack, for all messages of a rendering.
fn check(rendering: &Rendering) {
    assert!(!rendering.messages.is_empty());
    for message in &rendering.messages {
        within(&message["text"], 1, 40_000);
        check_mrkdwn(message["text"].as_str().unwrap());
        let blocks = message["blocks"].as_array().unwrap();
        assert!(blocks.len() <= 50, "{} blocks", blocks.len());
        assert!(blocks.iter().filter(|block| block["type"] == "table").count() <= 1, "one table a message");
        blocks.iter().for_each(check_block);
        let mut texts = Vec::new();
        strings(&message["blocks"], "", &mut texts);
        let size: usize = texts.iter().filter(|(key, _)| *key != "type").map(|(_, text)| text.len()).sum();
        assert!(size <= 4 * 12_000, "{size} bytes");
        let size: usize =
            texts.iter().filter(|(key, _)| *key != "type").map(|(_, text)| text.encode_utf16().count()).sum();
        assert!(size <= 12_000, "{size} characters");
        let mut ids = HashSet::new();
        for (key, text) in texts {
            assert!(key != "action_id" || ids.insert(text), "two controls are {text}");
        }
    }
}

#[test]
fn every_part_has_its_block() {
    let rendering = slack::message(&everything(), &PLACE);
    check(&rendering);
    assert!(!rendering.is_cut);
    insta::assert_json_snapshot!("slack_everything", rendering.messages);
}

#[test]
fn what_is_far_too_large_is_split_cut_and_read_elsewhere() {
    let large = far_too_large();
    let rendering = slack::message(&large, &PLACE);
    check(&rendering);
    assert!(rendering.is_cut && rendering.attachment.is_none());
    let shown = Value::from(rendering.messages.clone()).to_string();
    assert!(shown.contains("<https://parlour.example/c/1#m1|… full output>"), "{shown}");
    // What can be done is never cut off, not even the last page of a long choice.
    assert!(shown.contains("a_many.") && shown.contains("value-300") && shown.contains("a_form"), "{shown}");

    let alone = slack::message(&large, &Place { full_url: None, ..PLACE });
    check(&alone);
    let whole = alone.attachment.expect("the whole as a file");
    assert!(whole.contains("cell") && whole.matches("a line of a log & its <end>").count() == 2_000);
}

#[test]
fn a_form_is_a_view_and_comes_back() {
    let every = form(every_field(), FormState::Open);
    let view = slack::view(&every, "Book a room for many people", "{\"m\":1}").expect("a view");
    insta::assert_json_snapshot!("slack_view", view);
    let values = json!({
        "service": { "value": { "type": "plain_text_input", "value": "api" } },
        "why": { "value": { "type": "plain_text_input", "value": null } },
        "environment": { "value": { "type": "static_select", "selected_option": { "value": "staging" } } },
        "restart": { "value": { "selected_option": { "value": "false" } } },
        "day": { "value": { "type": "datepicker", "selected_date": "2026-12-01" } },
        "count": { "value": { "value": "3" } },
        "stranger": { "value": { "value": "x" } },
    });
    let values = slack::submitted(&every, values.as_object().unwrap());
    let expected =
        [("service", "api"), ("environment", "staging"), ("restart", "false"), ("day", "2026-12-01"), ("count", "3")];
    assert_eq!(values, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());

    let many = (0..101).map(|at| form_field(&format!("f{at}"), "string")).collect();
    assert!(slack::view(&form(many, FormState::Open), "x", "").is_none(), "asked question by question");
}

/// The text that readers see: mrkdwn and rich text without their marks.
fn seen(messages: &[Value]) -> String {
    let mut out = String::new();
    for block in messages.iter().flat_map(|message| message["blocks"].as_array().unwrap()) {
        let mut texts = Vec::new();
        strings(block, "", &mut texts);
        for (_, text) in texts.into_iter().filter(|(key, _)| *key == "text") {
            let is_mrkdwn = block["type"] == "section";
            let read = || text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
            out.push_str(&if is_mrkdwn { read() } else { text.to_owned() });
        }
        out.push('\n');
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_message_is_within_every_limit(message in message()) {
        check(&slack::message(&message, &PLACE));
        check(&slack::message(&message, &Place::default()));
    }

    #[test]
    fn what_a_person_typed_is_only_text(text in typed()) {
        let rendering = slack::message(&Message::text(format!("said {}.", escaped(&text))), &PLACE);
        check(&rendering);
        let json = Value::from(rendering.messages.clone()).to_string();
        prop_assert!(!json.contains("\"link\""), "a link in {json}");
        let squeeze = |text: &str| text.split_whitespace().collect::<String>();
        let seen = seen(&rendering.messages);
        prop_assert_eq!(squeeze(&seen), squeeze(&format!("said {text}.")));
        // Where a section carries it, Slack finds no mark in it.
        for block in rendering.messages[0]["blocks"].as_array().unwrap() {
            if block["type"] == "section" {
                let shown = block["text"]["text"].as_str().unwrap();
                prop_assert!(!shown.contains(['*', '~', '`', '<']), "{}", shown);
            }
        }
    }
}
