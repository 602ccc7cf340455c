use std::time::Duration;

use serde_json::{Value, json};

use super::{Budget, Compiled, Names};
use crate::model::action::{Action, Choice, Life, Style};
use crate::model::command::Reply;
use crate::model::message::{Field, Key, Message, Part, PostMode, ProgressState, Tone};
use crate::model::offer::{Deed, Offer};

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
            "collapsible": {"title": "More of {{parameters.service}}", "text": "_{{parameters.service}}_"},
            "progress": {"label": "Rollout", "step": "{{stats.runs}}", "total": 7, "state": "{{#if true}}done{{/if}}"},
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
            Part::Collapsible { title: "More of a*b".into(), text: "_a\\*b_".into() },
            Part::Progress { label: "Rollout".into(), step: 3, total: 7, state: ProgressState::Done },
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
        "actions": {"label": "x"},
        "files": [],
        "progress": {"label": "x", "step": "one", "total": 3, "state": "runing"},
        "collapsible": {"title": "x"},
        "ttl": "soon",
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
            "reply.actions: a list is expected here",
            "reply.files: \"files\" is not supported by this version",
            "reply.progress.step: \"one\" is not a whole number",
            "reply.progress.state: unknown state \"runing\", did you mean \"running\"?",
            "reply.collapsible: \"text\" is missing",
            "reply.parts[0].quot: unknown key \"quot\", did you mean \"quote\"?",
            "reply.list: a list is expected here",
            "reply.ttl: \"soon\" is not a duration such as 90s, 15m or 2d",
            "reply.ttl: \"ttl\" says what becomes of an earlier message of the same \"id\": give it one",
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
    let progress = json!({"text": "", "progress": {"label": "x", "step": "{{parameters.service}}", "total": "3"}});
    let link = json!({"text": "", "actions": [{"label": "Open", "url": "{{parameters.service}}"}]});
    let named = json!({"text": "", "id": "{{parameters.service}}", "ttl": "{{parameters.reason}}"});
    let style = json!({"text": "", "actions": [{"label": "x", "command": "c", "style": "{{parameters.service}}"}]});
    let days = json!({"text": "", "actions": [{"label": "x", "command": "c", "date": {"parameter": "d",
        "min": "2026-02-01", "max": "{{parameters.service}}"}}]});
    let options = json!({"text": "", "actions": [{"label": "x", "command": "c", "select": {"parameter": "d",
        "options": "{{json stats}}"}}]});
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
        (
            &image,
            json!({"parameters": {"service": "/sign-in?token=x.png"}}),
            "reply.image: \"/sign-in?token=x.png\" is not a picture of this installation",
        ),
        (
            &image,
            json!({"parameters": {"service": "//elsewhere.org/x.png"}}),
            "reply.image: \"//elsewhere.org/x.png\" is not a picture of this installation",
        ),
        (&progress, json!({"parameters": {"service": "half"}}), "reply.progress.step: \"half\" is not a whole number"),
        (&progress, json!({"parameters": {"service": "-1"}}), "reply.progress.step: \"-1\" is not a whole number"),
        (
            &link,
            json!({"parameters": {"service": "javascript:alert(1)"}}),
            "reply.actions[0].url: \"javascript:alert(1)\" is not a web address: it begins with https:// or http://",
        ),
        (
            &link,
            json!({"parameters": {"service": "https:///x"}}),
            "reply.actions[0].url: \"https:///x\" is not a web address: it begins with https:// or http://",
        ),
        (
            &named,
            json!({"parameters": {"service": "x".repeat(201)}}),
            "reply.id: an id is one line of at most 200 characters",
        ),
        (
            &named,
            json!({"parameters": {"service": "x", "reason": "0s"}}),
            "reply.ttl: \"0s\" is not a duration such as 90s, 15m or 2d",
        ),
        (
            &style,
            json!({"parameters": {"service": "loud"}}),
            "reply.actions[0].style: \"loud\" is not a style (plain, primary, danger)",
        ),
        (
            &days,
            json!({"parameters": {"service": "2026-01-31"}}),
            "reply.actions[0].date.max: the last day 2026-01-31 is before the first, 2026-02-01",
        ),
        (
            &days,
            json!({"parameters": {"service": "2026-02-30"}}),
            "reply.actions[0].date.max: \"2026-02-30\" is not a day such as 2026-11-23",
        ),
        (
            &options,
            json!({"data": {"stats": [{"label": "x"}]}}),
            "reply.actions[0].select.options: an option is a text, or an object with a value and a label",
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
    // Time enough for a busy machine: this is about length.
    let budget = || Budget::new(Duration::from_secs(60), crate::template::limit::OUTPUT_BYTES);
    let render = |service: String| reply.render_within(&json!({"parameters": {"service": service}}), budget());
    assert!(render(half.clone()).is_ok());
    let fault = render(format!("{half}x")).unwrap_err();
    assert_eq!(fault.to_string(), "reply.quote: the text becomes longer than 256 KiB");
}

fn action_life() -> (String, Life) {
    (String::new(), Life::default())
}

#[test]
fn actions_become_offers_and_what_comes_out_empty_is_none() {
    let message = render(
        json!({
            "text": "-",
            "actions": [
                {"label": "Go {{parameters.service}}", "command": "deploy", "style": "primary", "confirm": "Really {{parameters.service}}?",
                    "single_use": true, "ttl": "15m", "parameters": {"service": "{{parameters.service}}", "reason": "{{parameters.reason}}", "count": 3}},
                {"label": "Open", "url": "https://example.com/{{parameters.service}}"},
                {"label": "Which?", "command": "ops/status", "select": {"parameter": "bot", "options": "{{json stats.bots}}"}},
                {"label": "One", "command": "c", "parameters": {"x": "1"}, "select": {"parameter": "y", "options": [
                    "b", {"value": "v", "label": "The {{upper \"v\"}}"}, {"value": "{{parameters.reason}}", "label": "none"}, "b"]}},
                {"label": "From when?", "command": "c", "date": {"parameter": "day", "min": "2026-11-01", "max": "{{parameters.reason}}"}},
                {"label": "Fill in", "form": "deploy", "parameters": {"service": "{{parameters.service}}"}},
                {"label": "{{#if parameters.reason}}Why{{/if}}", "command": "c"},
                {"label": "Nothing to choose", "command": "c", "select": {"parameter": "y", "options": "{{json stats.none}}"}},
            ],
        }),
        &json!({
            "parameters": {"service": "a*b"},
            "data": {"stats": {"bots": ["hello", {"value": 2, "label": "Two"}, {"value": "hello", "label": "again"}], "none": []}},
        }),
    );
    let (id, life) = action_life();
    let strings =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let choice = |value: &str, label: &str| Choice { value: value.into(), label: label.into() };
    let run = |bot: Option<&str>, command: &str, parameters: &[(&str, &str)], taken: Option<&str>| Deed::Run {
        bot: bot.map(str::to_owned),
        command: command.into(),
        parameters: strings(parameters),
        parameter_name: taken.map(str::to_owned),
    };
    let select = |label: &str, options: Vec<Choice>| Action::Select {
        id: id.clone(),
        label: label.into(),
        options,
        life: life.clone(),
    };
    let expected = vec![
        Offer {
            single_use: true,
            ttl: Some(15 * 60 * 1000),
            ..Offer::new(
                Action::Button {
                    id: id.clone(),
                    label: "Go a*b".into(),
                    style: Style::Primary,
                    confirm: Some("Really a*b?".into()),
                    life: life.clone(),
                },
                run(None, "deploy", &[("service", "a*b"), ("count", "3")], None),
            )
        },
        Offer::link("Open", "https://example.com/a*b"),
        Offer::new(
            select("Which?", vec![choice("hello", "hello"), choice("2", "Two")]),
            run(Some("ops"), "status", &[], Some("bot")),
        ),
        Offer::new(
            select("One", vec![choice("b", "b"), choice("v", "The V")]),
            run(None, "c", &[("x", "1")], Some("y")),
        ),
        Offer::new(
            Action::Date {
                id: id.clone(),
                label: "From when?".into(),
                min: Some("2026-11-01".into()),
                max: None,
                life,
            },
            run(None, "c", &[], Some("day")),
        ),
        Offer::button(
            "Fill in",
            Style::Plain,
            Deed::Form { bot: None, command: "deploy".into(), parameters: strings(&[("service", "a*b")]) },
        ),
    ];
    assert_eq!(message.offers, expected);
    assert!(message.actions.is_empty(), "ids are given where it is said");
}

#[test]
fn faults_of_actions_are_reported_where_they_are() {
    let action = |action: Value| compile(json!({"text": "", "actions": [action]})).unwrap_err().join("; ");
    for (written, expected) in [
        (json!("deploy"), "reply.actions[0]: an action is a map such as {label: Deploy, command: deploy}"),
        (json!({"label": "x"}), "reply.actions[0]: an action needs a \"command\", a \"form\" or a \"url\""),
        (json!({"command": "c"}), "reply.actions[0]: \"label\" is missing"),
        (
            json!({"label": "x", "url": "ftp://x"}),
            "reply.actions[0].url: \"ftp://x\" is not a web address: it begins with https:// or http://",
        ),
        (
            json!({"label": "x", "url": "https://x.org", "form": "c"}),
            "reply.actions[0]: an action does one thing, not several (url, form)",
        ),
        (
            json!({"label": "x", "url": "https://x.org", "style": "primary"}),
            "reply.actions[0].style: \"style\" has no place in this kind of action",
        ),
        (
            json!({"label": "x", "command": "c", "stile": "danger"}),
            "reply.actions[0].stile: unknown key \"stile\", did you mean \"style\"?",
        ),
        (
            json!({"label": "x", "command": "c", "style": "dangr"}),
            "reply.actions[0].style: unknown style \"dangr\", did you mean \"danger\"?",
        ),
        (
            json!({"label": "x", "command": "{{parameters.service}}"}),
            "reply.actions[0].command: the name of a command is written here, or bot/command; a template cannot choose it",
        ),
        (
            json!({"label": "x", "command": "c", "ttl": "0"}),
            "reply.actions[0].ttl: \"0\" is not a duration such as 90s, 15m or 2d",
        ),
        (
            json!({"label": "x", "command": "c", "single_use": "once"}),
            "reply.actions[0].single_use: \"single_use\" is true or false",
        ),
        (
            json!({"label": "x", "command": "c", "parameters": {"a": "{{parameters.servce}}"}}),
            "reply.actions[0].parameters.a: at 1:3: there is no parameter \"servce\", did you mean \"service\"?",
        ),
        (
            json!({"label": "x", "command": "c", "select": {"parameter": "a"}}),
            "reply.actions[0].select: a select needs \"options\"",
        ),
        (
            json!({"label": "x", "command": "c", "select": {"options": ["a"]}}),
            "reply.actions[0].select: \"parameter\" is missing: the one that takes what is chosen",
        ),
        (
            json!({"label": "x", "command": "c", "select": {"parameter": "a", "options": []}}),
            "reply.actions[0].select.options: a select needs at least one of \"options\"",
        ),
        (
            json!({"label": "x", "command": "c", "parameters": {"a": "1"}, "date": {"parameter": "a"}}),
            "reply.actions[0].parameters.a: \"a\" takes what is chosen: it cannot have a value as well",
        ),
        (
            json!({"label": "x", "command": "c", "date": {"parameter": "a", "max": "today"}}),
            "reply.actions[0].date.max: \"today\" is not a day such as 2026-11-23",
        ),
    ] {
        assert_eq!(action(written.clone()), expected, "{written}");
    }
    let many: Vec<Value> = (0..26).map(|n| json!({"label": n, "command": "c"})).collect();
    let faults = compile(json!({"text": "", "actions": many})).unwrap_err();
    assert_eq!(faults, ["reply.actions: a message has at most 25 actions"]);
}

#[test]
fn a_message_has_the_name_its_values_give_it() {
    let key = |ttl: &str, post: &str| {
        let reply = json!({"text": "", "id": " card-{{parameters.service}} ", "ttl": ttl, "post": post});
        render(reply, &json!({"parameters": {"service": "web"}})).key
    };
    let expected = |ttl_ms, post| Some(Key { id: "card-web".into(), ttl_ms, post });
    assert_eq!(key("90s", "always"), expected(Some(90_000), PostMode::Always));
    assert_eq!(key("2d", "update_only"), expected(Some(2 * 86_400_000), PostMode::UpdateOnly));
    assert_eq!(key("{{parameters.reason}}", "{{parameters.reason}}"), expected(None, PostMode::Ttl));
    assert_eq!(render(json!({"text": "", "id": "{{parameters.reason}}"}), &json!({})).key, None);
}

#[test]
fn progress_never_goes_beyond_its_end_and_of_nothing_is_left_out() {
    let progress = |step: &str, total: &str| {
        let part = json!({"text": "", "progress": {"label": "x", "step": step, "total": total}});
        render(part, &json!({})).parts
    };
    let part = |step, total| Part::Progress { label: "x".into(), step, total, state: ProgressState::Running };
    assert_eq!(progress("9", "7"), [part(7, 7)]);
    assert_eq!(progress(" 0 ", "7"), [part(0, 7)]);
    assert_eq!(progress("0", "0"), []);
}

#[test]
fn the_commands_that_actions_run_are_known_before_anything_is_rendered() {
    let reply = compile(json!({"text": "", "actions": [
        {"label": "x", "command": "shop/deploy", "parameters": {"a": "1", "b": "{{parameters.service}}"},
            "select": {"parameter": "c", "options": ["u", {"value": "v"}]}},
        {"label": "x", "form": "c"},
    ]}))
    .unwrap();
    let told: Vec<_> = reply
        .references()
        .iter()
        .map(|to| {
            let values = |given: &super::Given| given.values.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>();
            let given: Vec<_> = to.given.iter().map(|given| (given.name.as_str(), values(given))).collect();
            (to.bot.as_deref(), to.command.as_str(), given)
        })
        .collect();
    let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        told,
        [
            (Some("shop"), "deploy", vec![("a", values(&["1"])), ("b", values(&[])), ("c", values(&["u", "v"]))]),
            (None, "c", vec![]),
        ]
    );
}

#[test]
fn a_reply_without_values_is_known_before_it_is_rendered() {
    let plain = json!({"text": "Hello\n", "tone": "success", "suggestions": ["help", " "]});
    let compiled = compile(plain).unwrap();
    let expected = Message::text("Hello").tone(Tone::Success).suggest(vec!["help".to_owned()]);
    assert_eq!(compiled.fixed(), Some(&expected));
    assert_eq!(compiled.render(&json!({})).unwrap(), expected);
    for tagged in [
        json!({"text": "Hello {{user.name}}"}),
        json!({"text": "Hello", "title": "{{user.name}}"}),
        json!({"text": "Hello", "suggestions": ["{{user.name}}"]}),
        json!({"text": "Hello", "quote": "{{user.name}}"}),
        json!({"text": "Hello", "actions": [{"label": "Go", "command": "c", "parameters": {"x": "{{user.name}}"}}]}),
    ] {
        assert_eq!(compile(tagged.clone()).unwrap().fixed(), None, "{tagged}");
    }
}
