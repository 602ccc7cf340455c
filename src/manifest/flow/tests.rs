use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::flow::{OnError, SCHEMA, Verb, Wait};

fn about() -> About<'static> {
    About { file: Path::new("playbooks/x.yaml"), name: "x", title: "X" }
}

fn loads(source: &str) -> Document {
    read(source, about())
        .unwrap_or_else(|faults| panic!("{}", faults.iter().map(|f| format!("{f}\n")).collect::<String>()))
}

fn faults(source: &str) -> Vec<String> {
    read(source, about()).expect_err("it has faults").iter().map(ToString::to_string).collect()
}

fn head(rest: &str) -> String {
    format!("apiVersion: flow/v1\nkind: Playbook\nmetadata: {{name: x, version: \"1\"}}\n{rest}")
}

const EVERYTHING: &str = include_str!("../../../tests/fixtures/flows/everything.yaml");

#[test]
fn a_document_with_every_verb_is_understood() {
    let document = loads(EVERYTHING);
    let flow = &document.flow;
    assert_eq!((flow.name.as_str(), flow.dialect), ("shop/everything", Dialect::Flow));
    let words: std::collections::BTreeSet<&str> = {
        fn walk<'a>(steps: &'a [crate::flow::Step], into: &mut std::collections::BTreeSet<&'a str>) {
            for step in steps {
                into.insert(step.verb.word());
                step.children().into_iter().for_each(|steps| walk(steps, into));
            }
        }
        let mut words = std::collections::BTreeSet::new();
        for list in [&flow.steps, &flow.on_error, &flow.finally] {
            walk(list, &mut words);
        }
        words
    };
    assert_eq!(words.into_iter().collect::<Vec<_>>(), {
        let mut all = step::VERBS;
        all.sort_unstable();
        all
    });
    // The form it is kept in is understood again, and is the same.
    let again = read_value(&document.value, about()).expect("it is read again");
    assert_eq!(again.hash, document.hash);
    let written = loads(&to_yaml(&document.value));
    assert_eq!(written.value, document.value);
}

#[test]
fn faults_name_the_place_and_what_was_meant() {
    for (body, expected) in [
        (
            "steps: [{id: a, lgo: {message: x}}]",
            vec!["4:17 unknown key \"lgo\", did you mean \"log\"?", "4:9 the step does nothing"],
        ),
        (
            "steps: [{id: a, log: {message: x}, set: {b: 1}}]",
            vec!["4:17 a step does one thing, not several (set, log)"],
        ),
        ("steps: [{log: {message: x}}]", vec!["4:9 the step has no \"id\""]),
        ("steps: [{id: a, log: {message: x}}, {id: a, log: {message: x}}]", vec!["4:42 there is a step \"a\" already"]),
        ("steps: [{id: a, timeout: 5 minutes, log: {message: x}}]", vec!["4:26 \"timeout\" is a time such as"]),
        (
            "inputs: {url: {type: string}}\nsteps: [{id: a, log: {message: \"to ${{ inputs.ulr }}\"}}]",
            vec!["5:40 there is no input \"ulr\", did you mean \"url\"?"],
        ),
        (
            "steps: [{id: a, if: \"${{ stesp.a.output }}\", log: {message: x}}]",
            vec!["4:26 there is no \"stesp\" in \"${{ stesp.a.output }}\", did you mean \"steps\"?"],
        ),
        (
            "steps: [{id: a, if: \"${{ 1 + }}\", log: {message: x}}]",
            vec!["4:26 in \"${{ 1 + }}\": unexpected end of input"],
        ),
        (
            "steps: [{id: a, if: true, log: {message: x}}]",
            vec!["4:21 \"if\" is one expression, as in \"${{ inputs.name }}\""],
        ),
        (
            "steps: [{id: a, say: {message: \"{{inputs.a}} ${{ vars.b }}\"}}]",
            vec!["4:32 \"message\" is written with \"{{ }}\" or with \"${{ }}\", not with both"],
        ),
        ("steps: [{id: a, say: {message: \"{{inptus.a}}\"}}]", vec!["did you mean \"inputs\"?"]),
        ("steps: [{id: a, use: http, with: {}}]", vec!["4:22 \"use\" is a connector and an action"]),
        (
            "steps: [{id: a, log: {message: x}, retry: {max_attempts: 3}}]",
            vec!["4:36 \"retry\" belongs to use, script, run and wait.poll, not to log"],
        ),
        (
            "steps: [{id: a, wait: {for: 1s, until: \"${{ now() }}\"}}]",
            vec!["4:23 \"wait\" has one of for, until, event and poll"],
        ),
        (
            "steps: [{id: a, compensate: frist}, {id: first, log: {message: x}}]",
            vec!["4:29 there is no step \"frist\", did you mean \"first\"?"],
        ),
        (
            "steps: [{id: a, switch: [{else: true, steps: []}, {when: \"${{ true }}\", steps: []}]}]",
            vec!["\"else\" is the last case"],
        ),
        ("steps: []", vec!["\"steps\" is empty"]),
        ("inputs: {n: {type: number}}\nsteps: [{id: a, log: {message: x}}]", vec!["4:20 unknown type \"number\""]),
        ("steps: [{id: a, script: {language: python, source: x}}]", vec!["unknown language \"python\""]),
    ] {
        let found = faults(&head(body));
        for expected in &expected {
            assert!(found.iter().any(|fault| fault.contains(expected)), "{body}\n{expected}\n{found:#?}");
        }
        assert!(found.iter().all(|fault| fault.starts_with("playbooks/x.yaml:")), "{found:?}");
    }
}

#[test]
fn the_schema_admits_what_the_loader_admits() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let base = |step: Value| json!({ "apiVersion": "flow/v1", "kind": "Playbook", "metadata": { "name": "x", "version": "1" }, "steps": [step] });
    let log = json!({ "message": "x" });
    let mut documents = vec![loads(EVERYTHING).value];
    for step in [
        json!({ "id": "a", "log": log }),
        json!({ "id": "a", "use": "http.request", "with": { "url": "x" }, "effect": "once", "retry": { "max_attempts": 2, "jitter": "none" } }),
        json!({ "id": "a", "for_each": { "in": "${{ [1] }}", "as": "n", "concurrency": 3 }, "steps": [{ "id": "b", "log": log }] }),
        json!({ "id": "a", "while": { "cond": "${{ loop.index < 3 }}", "max": 5 }, "steps": [{ "id": "b", "log": log }] }),
        json!({ "id": "a", "parallel": { "branches": { "one": [{ "id": "b", "log": log }] } } }),
        json!({ "id": "a", "wait": { "event": { "topic": "t" }, "timeout": "5s" } }),
        json!({ "id": "a", "wait": { "poll": { "use": "a.b", "every": "1s", "until": "${{ result.x }}" } } }),
        json!({ "id": "a", "ask": { "message": "sure?", "approvers": { "quorum": 2, "not_requester": true } } }),
        json!({ "id": "a", "cancel": {} }),
        json!({ "id": "a", "on_error": "rollback", "steps": [] }),
        // And what neither admits.
        json!({ "id": "a" }),
        json!({ "log": log }),
        json!({ "id": "a", "log": log, "set": { "x": 1 } }),
        json!({ "id": "a", "logg": log }),
        json!({ "id": "1a", "log": log }),
        json!({ "id": "a", "timeout": "5 minutes", "log": log }),
        json!({ "id": "a", "if": "true", "log": log }),
        json!({ "id": "a", "use": "http" }),
        json!({ "id": "a", "use": "a.b", "effect": "twice" }),
        json!({ "id": "a", "use": "a.b", "retry": { "max_attempts": 0 } }),
        json!({ "id": "a", "use": "a.b", "retry": { "times": 3 } }),
        json!({ "id": "a", "use": "a.b", "probe": { "use": "a.c" } }),
        json!({ "id": "a", "for_each": { "in": "${{ [] }}" }, "steps": [] }),
        json!({ "id": "a", "while": { "cond": "${{ true }}" }, "steps": [] }),
        json!({ "id": "a", "parallel": { "branches": {} } }),
        json!({ "id": "a", "wait": {} }),
        json!({ "id": "a", "wait": { "for": "1s", "until": "${{ 1 }}" } }),
        json!({ "id": "a", "ask": { "approvers": {} } }),
        json!({ "id": "a", "ask": { "message": "x", "approvers": { "roles": ["boss"] } } }),
        json!({ "id": "a", "script": { "language": "ts", "source": "x" } }),
        json!({ "id": "a", "say": { "title": "x" } }),
        json!({ "id": "a", "on_error": "ignore", "log": log }),
        json!({ "id": "a", "switch": [{ "steps": [] }] }),
        json!({ "id": "a", "switch": [] }),
        json!({ "id": "a", "fail": {} }),
        json!({ "id": "a", "emit": {} }),
    ] {
        documents.push(base(step));
    }
    for (key, value) in [
        ("inputs", json!({ "a": { "type": "string", "enum": ["x"] } })),
        ("inputs", json!({ "a": {} })),
        ("inputs", json!({ "a": { "type": "text" } })),
        ("concurrency", json!({ "limit": 1, "on_conflict": "reject" })),
        ("concurrency", json!({ "key": "${{ inputs.a }}" })),
        ("timeout", json!("4h")),
        ("timeout", json!(5)),
        ("defaults", json!({ "retry": { "max_attempts": 3 }, "effect": "keyed" })),
        ("more", json!(1)),
        ("kind", json!("Flow")),
        ("steps", json!([])),
        ("metadata", json!({ "name": "Has Capitals", "version": "1" })),
        ("metadata", json!({ "name": "x" })),
        ("triggers", json!([{ "id": "t", "type": "cron", "cron": "0 2 * * *" }])),
        ("triggers", json!([{ "id": "t", "type": "moon" }])),
    ] {
        let mut document = base(json!({ "id": "z", "log": log }));
        document[key] = value;
        documents.push(document);
    }
    for document in documents {
        let read = read_value(&document, about()).err();
        let admitted = validator.validate(&document).err().map(|error| format!("{error} at {}", error.instance_path()));
        assert_eq!(read.is_none(), admitted.is_none(), "{document}\nloader: {read:?}\nschema: {admitted:?}");
    }
}

#[test]
fn a_playbook_of_the_toolbox_loads_as_it_is() {
    let document = loads(include_str!("../../../tests/fixtures/flows/module_upgrade.yaml"));
    let flow = &document.flow;
    assert_eq!(
        (flow.title.as_str(), flow.version.as_str(), flow.dialect),
        ("Module Upgrade", "1.0", Dialect::Playbook)
    );
    assert_eq!(flow.labels["domain"], "gateway");
    let url = &flow.inputs[0];
    assert_eq!((url.name.as_str(), url.required), ("gateway_url", true));
    let login = &flow.steps[0];
    assert_eq!((login.id.as_str(), login.title(), login.timeout), ("login", "Login to Gateway", Some(30_000)));
    let retry = login.retry.as_ref().expect("it is tried again");
    assert_eq!((retry.max_attempts, retry.pause(1, 0.3)), (3, 5000));
    let Verb::Use(call) = &login.verb else { panic!("{:?}", login.verb) };
    assert_eq!((call.connector.as_str(), call.action.as_str()), ("gateway", "login"));
    assert_eq!((call.connection.as_deref(), &call.with), (Some("gateway_admin"), &json!({})));
    assert!(matches!(flow.steps[1].verb, Verb::Wait(Wait::For(2000))));
    assert!(matches!(&flow.steps[2].verb, Verb::Set(set) if set["target"] == "${{ inputs.gateway_url | string }}"));
    assert!(matches!(flow.steps[3].on_error, OnError::Continue));
    assert!(matches!(&flow.steps[4].verb, Verb::Run(run) if run.workflow == "gateway/backup.yaml"));
    assert!(matches!(flow.steps[5].on_error, OnError::Rollback));
    // As this form it is the same document.
    let exported = loads(&to_yaml(&document.value));
    assert_eq!((exported.hash, exported.flow.dialect), (document.hash, Dialect::Flow));
    let wrong = "name: X\nsteps:\n  - {id: a, type: utility.log, parameter: {message: x}}\n";
    assert!(
        faults(wrong)[0].contains("3:32 unknown key \"parameter\", did you mean \"parameters\"?"),
        "{:?}",
        faults(wrong)
    );
}

#[test]
fn a_workflow_of_the_integration_layer_loads_as_it_is() {
    let documented = json!({ "steps": [
        { "name": "step1", "type": "http_request", "config": { "method": "GET", "url": "https://api.example.com/data" } },
    ] });
    let document = read_value(&documented, about()).expect("it loads");
    assert_eq!(document.flow.dialect, Dialect::Workflow);
    assert!(
        matches!(&document.flow.steps[0].verb, Verb::Use(call) if call.connector == "http" && call.with["method"] == "GET")
    );

    let document = loads(include_str!("../../../tests/fixtures/flows/order.json"));
    let ids: Vec<&str> = document.flow.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(
        ids,
        ["fetch_data", "decide", "each", "pause", "sum"],
        "in the order of their positions, held ones apart"
    );
    let [fetch, decide, each, pause, sum] = document.flow.steps.as_slice() else { panic!("five") };
    assert!(matches!(&fetch.on_error, OnError::Steps(steps) if steps[0].id == "told"));
    let Verb::Switch(cases) = &decide.verb else { panic!("{:?}", decide.verb) };
    assert_eq!(cases[0].when.as_deref(), Some("inputs.amount > 100 and steps.fetch_data.output.data.ok == true"));
    assert!(
        matches!(&cases[0].steps[0].verb, Verb::Use(call) if call.connector == "slack" && call.connection.as_deref() == Some("cred_123") && call.with == json!({ "channel": "#general", "text": "Order ${{ steps.fetch_data.output.data.name }}" }))
    );
    assert_eq!(each.for_each.as_ref().map(|each| each.items.as_str()), Some("(inputs.lines)[:50]"));
    assert!(matches!(pause.verb, Verb::Wait(Wait::For(1500))));
    assert!(matches!(&sum.verb, Verb::Script { source } if source.contains("return")));
    let exported = loads(&to_yaml(&document.value));
    assert_eq!(exported.hash, document.hash);

    let python =
        json!({ "steps": [{ "name": "p", "type": "custom_code", "config": { "language": "python", "code": "x" } }] });
    let refused = read_value(&python, about()).expect_err("it is refused");
    assert!(refused[0].message.contains("python does not run here"), "{refused:?}");
}
