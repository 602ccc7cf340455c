use serde_json::{Value, json};

use super::{Compiled, Names};
use crate::model::command::Reply;
use crate::model::message::{Field, Message, Part, Tone};

fn names() -> Names {
    Names {
        parameters: ["service".to_owned(), "reason".to_owned()].into(),
        mapped: ["requester".to_owned()].into(),
        data: ["stats".to_owned()].into(),
    }
}

fn compile(message: Value) -> Result<Compiled, Vec<String>> {
    let reply = Reply { message, ..Reply::default() };
    Compiled::new(&reply, names()).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn render(message: Value, values: &Value) -> Message {
    compile(message).unwrap().render(values).unwrap()
}

#[test]
fn every_part_becomes_what_it_says_in_the_order_written() {
    let message = render(
        json!({
            "title": "About {{parameters.service}}",
            "text": "**{{parameters.service}}** is fine",
            "tone": "success",
            "fields": [{"name": "Runs", "value": "{{stats.runs}}", "short": true}],
            "divider": true,
            "table": {"columns": ["Bot", "Runs"], "rows": "{{json stats.by_bot}}"},
            "code": {"lang": "sh", "text": "echo {{parameters.service}}"},
            "list": ["one", "{{upper parameters.service}}"],
            "quote": "as {{mapped.requester}} said",
            "image": {"url": "https://example.com/{{stats.runs}}.png", "alt": "a graph"},
            "context": "just now",
            "parts": [{"markdown": "more"}, "and more"],
            "suggestions": ["status of {{parameters.service}}"],
        }),
        &json!({
            "parameters": {"service": "a*b"},
            "mapped": {"requester": "_ann_"},
            "data": {"stats": {"runs": 3, "by_bot": [["op_s", 2], ["hello", 1]]}},
        }),
    );
    let expected = Message {
        text: "**a\\*b** is fine".into(),
        title: Some("About a*b".into()),
        tone: Some(Tone::Success),
        parts: vec![
            Part::Fields { fields: vec![Field { name: "Runs".into(), value: "3".into(), short: true }] },
            Part::Divider,
            Part::Table {
                columns: vec!["Bot".into(), "Runs".into()],
                rows: vec![vec!["op\\_s".into(), "2".into()], vec!["hello".into(), "1".into()]],
            },
            Part::Code { lang: "sh".into(), text: "echo a*b".into() },
            Part::List { items: vec!["one".into(), "A\\*B".into()] },
            Part::Quote { text: "as \\_ann\\_ said".into() },
            Part::Image { url: "https://example.com/3.png".into(), alt: "a graph".into() },
            Part::Context { texts: vec!["just now".into()] },
            Part::Markdown { text: "more".into() },
            Part::Markdown { text: "and more".into() },
        ],
        suggestions: vec!["status of a*b".into()],
        ..Message::default()
    };
    assert_eq!(message, expected);
}

#[test]
fn lists_can_come_as_json_and_values_in_them_stay_values() {
    let stats = json!({
        "people": [{"name": "ann", "since": "12:03"}, {"name": "b]\"ob", "since": "9:00"}],
        "facts": [{"name": "a", "value": 1, "short": true}],
        "words": ["x", "*y*"],
    });
    let message = render(
        json!({
            "text": "-",
            "table": {"columns": ["Name", "Since"], "rows": "{{json stats.people}}"},
            "fields": "{{json stats.facts}}",
            "list": "[\"first\", \"{{parameters.service}}\"]",
            "context": ["{{stats.words.[1]}}"],
            "suggestions": "{{json stats.words}}",
        }),
        &json!({"parameters": {"service": "\", \"second"}, "data": {"stats": stats}}),
    );
    assert_eq!(
        message.parts,
        [
            Part::Table {
                columns: vec!["Name".into(), "Since".into()],
                rows: vec![vec!["ann".into(), "12:03".into()], vec!["b\\]\"ob".into(), "9:00".into()]],
            },
            Part::Fields { fields: vec![Field { name: "a".into(), value: "1".into(), short: true }] },
            Part::List { items: vec!["first".into(), "\", \"second".into()] },
            Part::Context { texts: vec!["\\*y\\*".into()] },
        ]
    );
    assert_eq!(message.suggestions, ["x", "*y*"]);
}

#[test]
fn a_tone_may_be_chosen_by_the_values() {
    let tone = json!({"text": "", "tone": "{{#if parameters.reason}}warning{{/if}}"});
    assert_eq!(render(tone.clone(), &json!({"parameters": {"reason": "x"}})).tone, Some(Tone::Warning));
    assert_eq!(render(tone, &json!({})).tone, None);
}

#[test]
fn what_comes_out_empty_is_left_out() {
    let message = render(
        json!({
            "text": "No runs.\n\n",
            "table": {"columns": ["Bot"], "rows": "{{json stats}}"},
            "fields": "{{json stats}}",
            "quote": "{{#if parameters.reason}}because {{parameters.reason}}{{/if}}",
            "list": ["{{#if parameters.reason}}a{{/if}}", "b"],
            "suggestions": ["{{parameters.reason}}", "go on"],
        }),
        &json!({"data": {"stats": []}}),
    );
    let list = Part::List { items: vec!["b".into()] };
    assert_eq!(message, Message { suggestions: vec!["go on".into()], ..Message::text("No runs.").part(list) });
}

#[test]
fn every_fault_is_reported_with_its_place_in_the_reply() {
    let faults = compile(json!({
        "titel": "x",
        "tone": "sucess",
        "text": "{{parameters.servce}} {{#if stats}}",
        "table": {"columns": ["A"], "rows": [["1", "2"]], "width": 3},
        "fields": [{"name": "x"}],
        "actions": [],
        "parts": [{"quot": "x"}],
        "list": {"a": 1},
    }))
    .unwrap_err();
    assert_eq!(
        faults,
        [
            "reply.titel: unknown key \"titel\", did you mean \"title\"?",
            "reply.tone: unknown tone \"sucess\", did you mean \"success\"?",
            "reply.text: at 1:23: {{#if}} is not closed",
            "reply.table.width: unknown key \"width\"",
            "reply.table.rows[0]: the row has 2 cells for 1 columns",
            "reply.fields[0]: \"value\" is missing",
            "reply.actions: \"actions\" is not supported by this version",
            "reply.parts[0].quot: unknown key \"quot\", did you mean \"quote\"?",
            "reply.list: a list is expected here",
        ]
    );
    assert_eq!(
        compile(json!({"title": "x"})).unwrap_err(),
        ["reply: a reply needs a \"text\": it is what is read where nothing else can be shown"]
    );
}

#[test]
fn what_only_values_can_tell_is_reported_when_rendered() {
    let table = json!({"text": "", "table": {"columns": ["A", "B"], "rows": "{{json stats.rows}}"}});
    let image = json!({"text": "", "image": "{{parameters.service}}"});
    let cases = [
        (&table, json!({"data": {"stats": {"rows": [[1]]}}}), "reply.table.rows: a row has 1 cells for 2 columns"),
        (&table, json!({"data": {"stats": {"rows": {}}}}), "reply.table.rows: the text is JSON, but not a list"),
        (
            &table,
            json!({"data": {"stats": {"row": []}}}),
            "reply.table.rows: at 1:1: \"stats.rows\" has no value, did you mean \"stats.row\"?",
        ),
        (
            &image,
            json!({"parameters": {"service": "javascript:alert(1)"}}),
            "reply.image: \"javascript:alert(1)\" is not a web address",
        ),
    ];
    for (message, values, expected) in cases {
        let fault = compile(message.clone()).unwrap().render(&values).unwrap_err();
        assert_eq!(fault.to_string(), expected);
    }
}

#[test]
fn one_budget_serves_all_texts_of_a_message() {
    let half = "x".repeat(crate::template::limit::OUTPUT_BYTES / 2);
    let reply = compile(json!({"text": "{{parameters.service}}", "quote": "{{parameters.service}}"})).unwrap();
    assert!(reply.render(&json!({"parameters": {"service": half}})).is_ok());
    let fault = reply.render(&json!({"parameters": {"service": format!("{half}x")}})).unwrap_err();
    assert_eq!(fault.to_string(), "reply.quote: the text becomes longer than 256 KiB");
}
