#![expect(clippy::result_large_err, reason = "a fault is what the core itself hands on")]
use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::manifest::flow::{About, read};

const START: Millis = 1_790_000_000_000;

/// A run without a database: a worker that answers what it is told to.
struct Run {
    flow: Flow,
    journal: Journal,
    now: Millis,
    /// What was called, in its order: path and input.
    calls: Vec<(String, Value)>,
    said: Vec<String>,
    questions: Vec<Question>,
    children: Vec<Child>,
    ended: Option<Ended>,
}

type Worker<'a> = dyn FnMut(&str, &Value, usize) -> Result<Value, Fault> + 'a;

impl Run {
    fn new(body: &str, inputs: Value) -> Self {
        let source = format!("apiVersion: flow/v1\nkind: Playbook\nmetadata: {{name: x, version: \"1\"}}\n{body}");
        let about = About { file: Path::new("x.yaml"), name: "x", title: "X" };
        let flow = read(&source, about).unwrap_or_else(|faults| panic!("{faults:?}")).flow;
        let journal = Journal { execution: "e".into(), inputs, started_at: START, ..Journal::default() };
        Self {
            flow,
            journal,
            now: START,
            calls: Vec::new(),
            said: Vec::new(),
            questions: Vec::new(),
            children: Vec::new(),
            ended: None,
        }
    }

    fn advance(&mut self, outcomes: Outcomes) -> Effects {
        let effects = advance(&self.flow, &mut self.journal, outcomes, self.now);
        self.said.extend(effects.sayings.iter().map(|saying| saying.message.text.clone()));
        self.questions.extend(effects.questions.iter().cloned());
        self.children.extend(effects.children.iter().cloned());
        self.ended = effects.ended.clone();
        effects
    }

    fn ready(&self) -> Vec<String> {
        let ready = self
            .journal
            .rows
            .values()
            .filter(|row| row.status == StepStatus::Ready && row.ready_at.is_some_and(|at| at <= self.now));
        ready.map(|row| row.path.clone()).collect()
    }

    /// Goes on until the run has ended or nothing but somebody else can bring it further.
    fn go(&mut self, worker: &mut Worker<'_>) -> Option<Ended> {
        self.advance(Outcomes::new());
        for _ in 0..10_000 {
            if self.ended.is_some() {
                break;
            }
            if let Some(path) = self.ready().first().cloned() {
                let row = self.journal.rows.get_mut(&path).expect("a row");
                row.status = StepStatus::Running;
                row.intent = Some(row.fence);
                let input = row.input.clone();
                let count = self.calls.iter().filter(|(known, _)| *known == path).count();
                let outcome = worker(&path, &input, count);
                self.calls.push((path.clone(), input));
                self.advance(Outcomes::from([(path, outcome)]));
                continue;
            }
            let rows = self.journal.rows.values().filter(|row| !row.status.is_final());
            let next = rows.flat_map(|row| [row.ready_at, row.deadline]).flatten().filter(|at| *at > self.now).min();
            let Some(next) = next else { break };
            self.now = next;
            self.advance(Outcomes::new());
        }
        self.ended.clone()
    }

    fn status(&self, path: &str) -> &'static str {
        self.journal.rows.get(path).map_or("none", |row| row.status.as_str())
    }

    fn called(&self) -> Vec<&str> {
        self.calls.iter().map(|(path, _)| path.as_str()).collect()
    }
}

fn echo(_: &str, input: &Value, _: usize) -> Result<Value, Fault> {
    Ok(input["with"].clone())
}

fn failing(code: &str) -> Result<Value, Fault> {
    Err(Fault { retryable: true, ..Fault::new(code, "no") })
}

#[test]
fn steps_see_what_was_before_them_and_outputs_are_handed_on() {
    let mut run = Run::new(
        r#"
inputs: {n: {type: integer}}
steps:
  - {id: a, use: x.y, with: {n: "${{ inputs.n + 1 }}"}, output: {twice: "${{ result.n * 2 }}"}}
  - {id: keep, set: {total: "${{ steps.a.output.twice }}"}}
  - {id: route, switch: [{when: "${{ vars.total > 100 }}", steps: [{id: big, log: {message: big}}]}, {else: true, steps: [{id: small, use: x.y, with: {v: "${{ vars.total }}"}}]}]}
  - {id: skipped, if: "${{ not steps.big.skipped }}", log: {message: never}}
  - {id: tell, say: {message: "**{{vars.total}}** and {{steps.small.output.v}}"}}
outputs: {total: "${{ vars.total }}", skipped: "${{ steps.skipped.skipped }}"}
"#,
        json!({ "n": 4 }),
    );
    let ended = run.go(&mut echo).expect("it ends");
    assert_eq!((ended.status, ended.output), (ExecutionStatus::Completed, json!({ "total": 10, "skipped": true })));
    assert_eq!(run.called(), ["a", "route.small"]);
    assert_eq!(run.said, ["**10** and 10"]);
    let shown: Vec<(String, &str)> =
        outline(&run.flow, &run.journal).iter().map(|line| (line.path.clone(), line.status().shown())).collect();
    let expected = ["a", "keep", "route", "route.small", "skipped", "tell"];
    assert_eq!(shown.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), expected);
    assert_eq!(shown[4].1, "skipped");
}

#[test]
fn loops_run_as_many_at_once_as_they_may_and_end_as_they_say() {
    let body = |on_error: &str, rest: &str| {
        format!(
            "steps:\n  - id: all\n    for_each: {{in: \"${{{{ [1,2,3,4] }}}}\", as: n, concurrency: 2, on_error: {on_error}}}\n    steps:\n      - {{id: call, use: x.y, with: {{n: \"${{{{ n }}}}\"}}}}\n{rest}"
        )
    };
    let mut run = Run::new(&body("fail_fast", ""), json!({}));
    run.advance(Outcomes::new());
    assert_eq!(run.ready(), ["all[0].call", "all[1].call"], "two at once");
    let ended = run.go(&mut echo).expect("it ends");
    assert_eq!(
        ended.output["all"],
        json!([{ "call": { "n": 1 } }, { "call": { "n": 2 } }, { "call": { "n": 3 } }, { "call": { "n": 4 } }])
    );

    let odd = |_: &str, input: &Value, _: usize| {
        if input["with"]["n"].as_i64().is_some_and(|n| n % 2 == 1) { failing("odd") } else { Ok(Value::Null) }
    };
    let mut run = Run::new(&body("fail_fast", ""), json!({}));
    let ended = run.go(&mut { odd }).expect("it ends");
    assert_eq!(ended.error.map(|fault| (fault.code, fault.step)), Some(("odd".into(), "all[0].call".into())));
    assert_eq!((run.status("all[1].call"), run.status("all[2]")), ("cancelled", "none"));

    let mut run = Run::new(&body("collect", ""), json!({}));
    let ended = run.go(&mut { odd }).expect("it ends");
    assert_eq!((ended.status, run.called().len()), (ExecutionStatus::Failed, 4), "every item is tried");

    let handled = "    on_error: [{id: tell, say: {message: \"{{n}}: {{error.code}}\"}}]\n  - {id: after, log: {message: \"${{ steps.all.errors | length }} failed\"}}\n";
    let mut run = Run::new(&body("collect", handled), json!({}));
    let ended = run.go(&mut { odd }).expect("it ends");
    assert_eq!(
        (ended.status, run.said.clone()),
        (ExecutionStatus::Completed, vec!["1: odd".to_owned(), "3: odd".to_owned()])
    );
    assert_eq!(ended.output["after"]["message"], "2 failed");

    let mut run = Run::new(
        "steps:\n  - {id: count, while: {cond: \"${{ loop.index < 3 }}\", max: 10}, use: x.y, with: {n: \"${{ loop.index }}\"}}\n  - {id: endless, while: {cond: \"${{ true }}\", max: 4}, set: {x: 1}}\n",
        json!({}),
    );
    let ended = run.go(&mut echo).expect("it ends");
    assert_eq!(run.called(), ["count[0]", "count[1]", "count[2]"]);
    assert_eq!(ended.error.map(|fault| fault.code).as_deref(), Some("loop_limit"));
}

#[test]
fn branches_run_side_by_side() {
    let body = |fail_fast: bool| {
        format!(
            "steps:\n  - id: both\n    parallel: {{fail_fast: {fail_fast}, branches: {{a: [{{id: one, use: x.y}}, {{id: two, use: x.y}}], b: [{{id: other, use: x.y}}]}}}}\n  - {{id: after, log: {{message: \"${{{{ steps.two.status }}}}\"}}}}\n"
        )
    };
    let mut run = Run::new(&body(true), json!({}));
    run.advance(Outcomes::new());
    assert_eq!(run.ready(), ["both.a.one", "both.b.other"]);
    let ended = run.go(&mut echo).expect("it ends");
    assert_eq!(ended.output["after"]["message"], "completed");
    let mut worker = |path: &str, _: &Value, _: usize| if path == "both.b.other" { failing("x") } else { Ok(json!(1)) };
    let mut run = Run::new(&body(false), json!({}));
    assert_eq!(run.go(&mut worker).expect("it ends").status, ExecutionStatus::Failed);
    assert_eq!(run.status("both.a.two"), "succeeded", "the others are done all the same");
}

#[test]
fn a_cancelled_run_is_undone_when_that_is_wanted() {
    let body = "steps:
  - {id: one, use: x.y, undo: {use: x.undo, with: {what: \"${{ result.id }}\"}}}
  - id: many
    parallel:
      branches:
        a: [{id: begun, use: x.y, undo: {use: x.undo, with: {what: begun}}}]
        b: [{id: blind, use: x.y, undo: {use: x.undo, with: {what: \"${{ result.id }}\"}}}]
        c: [{id: not_begun, use: x.y, undo: {use: x.undo, with: {what: never}}}]
on_error: [{id: caught, use: x.y}]
finally: [{id: last, use: x.y}]
";
    let cancelled = |debug: bool| {
        let mut run = Run::new(body, json!({}));
        run.journal.debug = debug;
        run.advance(Outcomes::new());
        run.advance(Outcomes::from([("one".to_owned(), Ok(json!({ "id": 7 })))]));
        run.journal.wish = Wish::Run;
        run.advance(Outcomes::new());
        for path in ["many.a.begun", "many.b.blind"] {
            let row = run.journal.rows.get_mut(path).expect("it is ready");
            (row.status, row.intent) = (StepStatus::Running, Some(1));
        }
        assert_eq!(run.ready(), ["many.c.not_begun"]);
        cancel_below(&mut run.journal, "", run.now, &mut Effects::default());
        run.journal.halted = Some(Fault::new(UNDOING, "cancelled by ann"));
        run
    };
    for debug in [false, true] {
        let mut run = cancelled(debug);
        let ended = run.go(&mut |_, _, _| Ok(Value::Null)).expect("it ends");
        assert_eq!(run.called(), ["many.a.begun~undo", "one~undo"], "newest first, what may have happened");
        assert_eq!(run.calls[1].1["with"], json!({ "what": 7 }));
        let fault = ended.error.expect("why");
        assert_eq!(
            (ended.status, fault.code.as_str(), fault.message.as_str()),
            (ExecutionStatus::Cancelled, "cancelled", "cancelled by ann")
        );
    }
    let mut run = cancelled(false);
    let ended = run.go(&mut |_, _, _| Err(Fault::new("down", "it is down"))).expect("it ends");
    let fault = ended.error.expect("why");
    assert_eq!(ended.status, ExecutionStatus::Cancelled);
    assert_eq!(fault.message, "cancelled by ann; many.a.begun could not be undone: it is down");
}

#[test]
fn failures_are_tried_again_handled_undone_or_told() {
    let mut run = Run::new(
        "steps:\n  - {id: a, use: x.y, effect: pure, retry: {max_attempts: 3, backoff: exponential, initial: 10s, jitter: none}}\n",
        json!({}),
    );
    let ended =
        run.go(&mut |_: &str, _: &Value, count: usize| if count < 2 { failing("http_503") } else { Ok(json!("ok")) });
    assert_eq!((ended.expect("it ends").status, run.now - START), (ExecutionStatus::Completed, 30_000));
    let mut run = Run::new(
        "steps:\n  - {id: a, use: x.y, effect: pure, retry: {max_attempts: 3, retry_on: [timeout]}}\n",
        json!({}),
    );
    run.go(&mut |_: &str, _: &Value, _: usize| failing("http_503"));
    assert_eq!(run.called().len(), 1, "only what is named is tried again");
    let mut run = Run::new(
        "steps:\n  - {id: a, use: x.y, retry: {max_attempts: 5, initial: 1s, if: \"${{ error.code == 'again' }}\"}}\n",
        json!({}),
    );
    run.go(&mut |_: &str, _: &Value, count: usize| failing(if count < 2 { "again" } else { "enough" }));
    assert_eq!(run.called().len(), 3);

    let mut run = Run::new(
        r#"
steps:
  - {id: one, use: x.y, undo: {use: x.undo, with: {what: "${{ result.id }}"}}}
  - {id: two, use: x.y, undo: {use: x.undo, with: {what: second}}}
  - {id: soft, use: x.y, on_error: continue}
  - {id: caught, use: x.y, on_error: [{id: note, say: {message: "{{error.message}}"}}], finally: [{id: swept, log: {message: swept}}]}
  - {id: hard, use: x.y, on_error: rollback}
  - {id: never, use: x.y}
on_error: [{id: told, say: {message: "run: {{error.code}}"}}]
finally: [{id: last, log: {message: "${{ execution.status }}"}}]
"#,
        json!({}),
    );
    let mut worker = |path: &str, _: &Value, _: usize| match path {
        "soft" | "caught" | "hard" => Err(Fault::new(path, format!("{path} failed"))),
        _ => Ok(json!({ "id": 7 })),
    };
    let ended = run.go(&mut worker).expect("it ends");
    assert_eq!(run.called(), ["one", "two", "soft", "caught", "hard", "two~undo", "one~undo"], "newest first");
    assert_eq!(run.calls[6].1["with"], json!({ "what": 7 }));
    assert_eq!(run.said, ["caught failed", "run: hard"]);
    assert_eq!(ended.error.map(|fault| fault.code).as_deref(), Some("hard"));
    assert_eq!(run.journal.rows["finally.last"].output["message"], "failed");
    assert_eq!((run.status("caught.finally.swept"), run.status("never")), ("succeeded", "none"));

    let mut run = Run::new(
        "steps:\n  - id: each\n    for_each: {in: \"${{ ['a','b'] }}\", as: it, on_error: collect}\n    steps: [{id: up, use: x.y, undo: {use: x.undo, with: {it: \"${{ it }}\"}}}, {id: then, use: x.y}]\n    on_error: [{id: back, compensate: each}]\n",
        json!({}),
    );
    run.go(&mut |path: &str, _: &Value, _: usize| if path.ends_with("[1].then") { failing("x") } else { Ok(json!(1)) });
    assert_eq!(run.called().last(), Some(&"each[1].up~undo"), "only what this item did");
}

#[test]
fn what_may_have_happened_is_found_out_or_asked() {
    let body = |rest: &str| format!("steps:\n  - {{id: pay, use: x.pay, effect: once{rest}}}\n");
    let lost = || Err(Fault { uncertain: true, retryable: true, ..Fault::new(leaf::WORKER_LOST, "lost") });
    for (happened, expected) in [(true, vec!["pay", "pay"]), (false, vec!["pay", "pay", "pay"])] {
        let mut run = Run::new(&body(", probe: {use: x.look, ok: \"${{ result.there }}\"}"), json!({}));
        let ended = run.go(&mut |_: &str, input: &Value, count: usize| match (input["action"].as_str(), count) {
            (Some("pay"), 0) => lost(),
            (Some("look"), _) => Ok(json!({ "there": happened })),
            _ => Ok(json!("paid")),
        });
        assert_eq!(
            (ended.expect("it ends").status, run.called()),
            (ExecutionStatus::Completed, expected),
            "{happened}"
        );
        assert_eq!(run.calls[1].1["action"], "look");
    }
    let mut run = Run::new(&body(""), json!({}));
    assert_eq!(run.go(&mut |_: &str, _: &Value, _: usize| lost()), None);
    assert_eq!((run.status("pay"), run.journal.wish, run.called().len()), ("uncertain", Wish::Pause, 1));
    // Somebody says that it happened.
    run.journal.wish = Wish::Run;
    let effects = run.advance(Outcomes::from([("pay".to_owned(), Ok(json!({ "by": "ann" })))]));
    assert_eq!(effects.ended.map(|ended| ended.output), Some(json!({ "pay": { "by": "ann" } })));
    // What may be repeated is repeated.
    let mut run = Run::new("steps:\n  - {id: put, use: x.put, effect: keyed}\n", json!({}));
    let ended = run.go(&mut |_: &str, _: &Value, count: usize| if count == 0 { lost() } else { Ok(json!(1)) });
    assert_eq!((ended.expect("it ends").status, run.called().len()), (ExecutionStatus::Completed, 2));
}

#[test]
fn waits_end_by_time_event_answer_and_limit() {
    let mut run = Run::new(
        r#"
steps:
  - {id: nap, wait: {for: 1h}}
  - {id: until, wait: {until: "${{ now() + 5000 }}"}}
  - {id: poll, wait: {poll: {use: x.y, every: 10s, until: "${{ result > 2 }}"}, timeout: 5m}}
  - {id: ask, ask: {message: "go on, {{inputs.who}}?", timeout: 8h, on_timeout: {decision: reject}}}
  - {id: heard, wait: {event: {topic: "t.${{ inputs.who }}"}, timeout: 1m}, on_error: continue}
  - {id: child, run: {workflow: other, with: {a: 1}}}
"#,
        json!({ "who": "ann" }),
    );
    assert_eq!(run.go(&mut |_: &str, _: &Value, count: usize| Ok(json!(count))), None);
    assert_eq!(run.called().len(), 4, "three looks too early");
    assert_eq!(run.questions[0].ask.message, "go on, ann?");
    assert_eq!(run.journal.rows["ask"].output, json!({ "decision": "reject" }), "nobody answered");
    assert_eq!((run.status("heard"), run.status("child")), ("failed", "waiting"));
    let slept = 3_600_000 + 5000 + 30_000 + 8 * 3_600_000 + 60_000;
    assert_eq!(run.now - START, slept);
    assert_eq!((run.children[0].workflow.as_str(), run.children[0].inputs["a"].clone()), ("other", json!(1)));
    run.journal.rows.get_mut("child").expect("a row").signal = json!({ "status": "completed", "output": { "x": 2 } });
    run.advance(Outcomes::new());
    assert_eq!(run.ended.clone().map(|ended| ended.output["child"].clone()), Some(json!({ "x": 2 })));
    let mut run = Run::new("steps:\n  - {id: slow, timeout: 5s, steps: [{id: nap, wait: {for: 1h}}]}\n", json!({}));
    let ended = run.go(&mut echo).expect("it ends");
    assert_eq!((ended.error.map(|fault| fault.code), run.status("slow.nap")), (Some("timeout".into()), "cancelled"));
}

#[test]
fn a_paused_run_starts_nothing_and_a_cancelled_document_ends_in_order() {
    let mut run = Run::new("steps:\n  - {id: a, use: x.y}\n  - {id: b, use: x.y}\n", json!({}));
    run.advance(Outcomes::new());
    run.journal.wish = Wish::Pause;
    let effects = run.advance(Outcomes::from([("a".to_owned(), Ok(json!(1)))]));
    assert_eq!((run.status("a"), run.status("b"), effects.next.as_deref()), ("succeeded", "none", Some("b")));
    run.journal.wish = Wish::Run;
    run.advance(Outcomes::new());
    assert_eq!(run.ready(), ["b"]);
    let mut run = Run::new(
        "steps:\n  - {id: stop, steps: [{id: now, cancel: {reason: enough}}]}\n  - {id: never, use: x.y}\nfinally: [{id: last, log: {message: \"${{ execution.status }}\"}}]\n",
        json!({}),
    );
    let ended = run.go(&mut echo).expect("it ends");
    assert_eq!(
        (ended.status, ended.error.map(|fault| fault.message)),
        (ExecutionStatus::Cancelled, Some("enough".into()))
    );
    assert_eq!(
        (run.journal.rows["finally.last"].output["message"].clone(), run.called().len()),
        (json!("cancelled"), 0)
    );
    let mut run = Run::new("steps:\n  - {id: a, use: x.y}\n  - {id: b, use: x.y}\n", json!({}));
    run.journal.debug = true;
    run.go(&mut echo);
    assert_eq!((run.called(), run.journal.wish), (vec!["a"], Wish::Pause), "it pauses after each step");
}

/// Documents of all shapes, as YAML flow maps; `x.y` calls get numbers as ids.
fn step(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        3 => Just("use: x.y".to_owned()),
        1 => Just("use: x.y, retry: {max_attempts: 3, initial: 1s}".to_owned()),
        1 => Just("use: x.y, undo: {use: x.undo}".to_owned()),
        1 => Just("set: {v: 1}".to_owned()),
        1 => Just("wait: {for: 5s}".to_owned()),
        1 => Just("if: \"${{ false }}\", use: x.y".to_owned()),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let list = prop::collection::vec(step(depth - 1), 1..3);
    let many = move |head: &'static str| {
        list.clone().prop_map(move |steps| {
            format!(
                "{head}: [{}]",
                steps.iter().map(|step| format!("{{id: ID, {step}}}")).collect::<Vec<_>>().join(", ")
            )
        })
    };
    prop_oneof![
        3 => leaf,
        1 => many("steps"),
        1 => many("on_error: continue, steps"),
        1 => many("on_error: rollback, steps"),
        1 => many("for_each: {in: \"${{ [1,2,3] }}\", as: n, concurrency: 2}, steps"),
        1 => many("for_each: {in: \"${{ [1,2] }}\", as: n, on_error: collect}, steps"),
        1 => (many("a"), many("b")).prop_map(|(a, b)| format!("parallel: {{branches: {{{a}, {b}}}}}")),
        1 => many("steps").prop_map(|steps| format!("switch: [{{else: true, {steps}}}]")),
    ]
    .boxed()
}

fn numbered(body: &str) -> String {
    let mut out = String::new();
    for (index, part) in body.split("id: ID").enumerate() {
        if index > 0 {
            out.push_str(&format!("id: s{index}"));
        }
        out.push_str(part);
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever a document looks like and whichever calls fail: a run ends, nothing that ended changes, no call is made
    /// twice after it succeeded, and looking again without news changes nothing.
    #[test]
    fn every_run_ends_and_nothing_that_ended_changes(steps in prop::collection::vec(step(2), 1..4), failures in prop::collection::vec(any::<bool>(), 8)) {
        let body = steps.iter().map(|step| format!("{{id: ID, {step}}}")).collect::<Vec<_>>().join(", ");
        let mut run = Run::new(&numbered(&format!("steps: [{body}]\n")), json!({}));
        let mut succeeded: std::collections::BTreeSet<String> = Default::default();
        let mut settled: BTreeMap<String, (StepStatus, Value)> = BTreeMap::new();
        run.advance(Outcomes::new());
        for turn in 0..2000 {
            let quiet = advance(&run.flow, &mut run.journal.clone(), Outcomes::new(), run.now);
            prop_assert!(quiet.touched.is_empty(), "nothing new changes nothing: {:?}", quiet.touched);
            for row in run.journal.rows.values().filter(|row| row.status.is_final()) {
                let known = settled.entry(row.path.clone()).or_insert_with(|| (row.status, row.output.clone()));
                prop_assert_eq!(&(row.status, row.output.clone()), &*known, "{} changed after its end", &row.path);
            }
            if run.ended.is_some() {
                break;
            }
            let ready = run.ready();
            if let Some(path) = ready.get(turn % ready.len().max(1)).cloned() {
                prop_assert!(!succeeded.contains(&path), "{path} is called again");
                run.journal.rows.get_mut(&path).expect("a row").status = StepStatus::Running;
                let fails = failures[turn % failures.len()] && !path.ends_with("~undo");
                if !fails {
                    succeeded.insert(path.clone());
                }
                let outcome = if fails { failing("x") } else { Ok(json!(turn)) };
                run.advance(Outcomes::from([(path, outcome)]));
                continue;
            }
            let rows = run.journal.rows.values().filter(|row| !row.status.is_final());
            let next = rows.flat_map(|row| [row.ready_at, row.deadline]).flatten().filter(|at| *at > run.now).min();
            prop_assert!(next.is_some(), "it is stuck: {:?}", run.journal.rows.values().map(|row| (&row.path, row.status)).collect::<Vec<_>>());
            run.now = next.unwrap_or(run.now);
            run.advance(Outcomes::new());
        }
        prop_assert!(run.ended.is_some(), "it ends");
        let open: Vec<&String> = run.journal.rows.values().filter(|row| !row.status.is_final()).map(|row| &row.path).collect();
        prop_assert!(open.is_empty(), "rows are left open: {open:?}");
    }
}
