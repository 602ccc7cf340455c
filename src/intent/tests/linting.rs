//! What is said about bots before they are used, and about texts when people ask why.

use super::building::{bot, command, example, parameter, say_to};
use crate::intent::{
    Class, Criterion, Index, Level, Lint, RESERVED_BOT, Scope, Subject, lint_all, lint_between, lint_bot,
};
use crate::model::command::Command;

fn told(lints: &[Lint]) -> Vec<String> {
    lints
        .iter()
        .map(|lint| format!("{:?} {}/{} {:?}: {}", lint.level, lint.bot, lint.command, lint.subject, lint.message))
        .collect()
}

fn shown(name: &str, intents: &[&str], parameters: &[&str], say: &str) -> Command {
    Command { examples: vec![example(say, &[])], ..command(name, intents, parameters) }
}

#[test]
fn equal_and_hidden_intents_are_found() {
    let found = lint_bot(&bot(
        "ops",
        vec![
            shown("first", &["restart {box}", "reboot"], &["box"], "restart x"),
            shown("second", &["restart {vm}", "[please] reboot", "boot {vm}"], &["vm"], "boot x"),
            shown("numbers", &["take {n:number}", "take {i:int}"], &["n", "i"], "take 1"),
            shown("people", &["tell {who:user}", "tell {what}"], &["who", "what"], "tell ann"),
            shown("word", &["go left", "go {way:choice(left)}", "go {way:choice(left,right)}"], &["way"], "go left"),
            shown("fine", &["open {id:int}", "open {address:email}", "[now] open up"], &["id", "address"], "open 1"),
            shown("again", &["say it", "SAY it!"], &[], "say it"),
            Command { priority: 1, ..shown("higher", &["boot {it}"], &["it"], "boot y") },
        ],
    ));
    assert_eq!(
        told(&found),
        [
            "Error ops/second Intent(0): command \"first\" has the same intent \"restart {box}\": neither may win",
            "Error ops/second Intent(1): command \"first\" has the same intent \"reboot\": neither may win",
            "Warning ops/second Intent(2): never wins: \"boot {it}\" of command \"higher\" takes every text it matches",
            "Warning ops/numbers Intent(1): never wins: \"take {n:number}\" of command \"numbers\" takes every text it matches",
            "Warning ops/people Intent(1): never wins: \"tell {who:user}\" of command \"people\" takes every text it matches",
            "Warning ops/word Intent(1): never wins: \"go left\" of command \"word\" takes every text it matches",
            "Warning ops/again Intent(1): never wins: \"say it\" of command \"again\" takes every text it matches",
            "Error ops/second Example(0): \"boot x\" runs command \"higher\"",
        ]
    );
}

#[test]
fn every_example_is_run() {
    let mut deploy = command("deploy", &["deploy {service} to {env=staging}"], &["service", "env:staging,prod"]);
    deploy.parameters.push(crate::model::parameter::Parameter {
        default: Some("none".to_owned()),
        required: false,
        ..parameter("reason")
    });
    deploy.examples = vec![
        example("deploy web to prod", &[("service", "web"), ("Env", "prod"), ("reason", "none")]),
        example("deploy web to", &[("env", "staging")]),
        example("deploy web to prod", &[("env", "staging")]),
        example("deploy web to mars", &[]),
        example("ship web", &[]),
        example("status", &[]),
        example("deploy web to prod", &[("zone", "1")]),
        example("stat", &[]),
    ];
    let status = Command { examples: Vec::new(), ..command("stat-of", &["status", "stat {x}"], &["x"]) };
    let found = lint_bot(&bot("ops", vec![deploy, status]));
    assert_eq!(
        told(&found),
        [
            "Error ops/deploy Example(2): \"deploy web to prod\" gives \"prod\" for \"env\", not \"staging\"",
            "Error ops/deploy Example(3): \"deploy web to mars\" is understood only in part: \"mars\" is no valid \"env\"",
            "Error ops/deploy Example(4): \"ship web\" matches none of the command's intents",
            "Error ops/deploy Example(5): \"status\" runs command \"stat-of\"",
            "Error ops/deploy Example(6): the example expects \"zone\", which is no parameter of the command",
            "Error ops/deploy Example(7): \"stat\" is understood only in part by command \"stat-of\": \"x\" is missing",
            "Error ops/stat-of Command: the command has no example; give one thing that people say to run it",
        ]
    );
}

#[test]
fn bots_are_checked_against_each_other() {
    let ops = bot(
        "ops",
        vec![
            shown("aid", &["help", "help {what:rest}", "help {what}"], &["what"], "help x"),
            shown(
                "restart",
                &["restart {box}", "stop {a:int}", "page {x:choice(a,b)}"],
                &["box", "a", "x"],
                "restart x",
            ),
        ],
    );
    let vms = bot(
        "vms",
        vec![shown(
            "restart",
            &["restart {vm}", "stop {b:email}", "page {y:choice(b,c)}"],
            &["vm", "b", "y"],
            "restart x",
        )],
    );
    let parlour = bot(RESERVED_BOT, vec![shown("help", &["help", "help {topic:rest}"], &["topic"], "help")]);
    let bots = [ops, parlour, vms];
    let same = "has the same intent: outside a conversation with one of the two, people are asked which they mean";
    let expected = [
        "Error ops/aid Intent(0): these words are reserved for the built-in command \"help\"".to_owned(),
        "Error ops/aid Intent(1): these words are reserved for the built-in command \"help\"".to_owned(),
        format!("Warning vms/restart Intent(0): command \"restart\" of bot \"ops\" {same}"),
        format!("Warning vms/restart Intent(2): command \"restart\" of bot \"ops\" {same}"),
    ];
    assert_eq!(told(&lint_between(&bots)), expected);
    assert_eq!(told(&lint_all(&bots)), expected, "each bot by itself is fine");
}

#[test]
fn an_explanation_names_what_decided() {
    let index = Index::build(&[
        bot(
            "ops",
            vec![
                command("status", &["deploy status", "/deploy/"], &[]),
                command("deploy", &["deploy {service}", "deploy {service} {env}"], &["service", "env:a,b"]),
                command("ship", &["ship {box}"], &["box"]),
                command("aid", &["help"], &[]),
            ],
        ),
        bot(
            "two",
            vec![
                command("ship", &["ship {crate}"], &["crate"]),
                Command { priority: 2, ..command("up", &["up"], &[]) },
                command("more", &["up", "ops/help"], &[]),
            ],
        ),
        bot(RESERVED_BOT, vec![command("help", &["help"], &[])]),
    ]);
    let cases = [
        ("ops", "deploy status", Criterion::Token(1)),
        ("ops", "deploy web", Criterion::Form),
        ("ops", "deploy web c", Criterion::Completeness),
        ("ops", "ship it", Criterion::Scope),
        ("none", "ship it", Criterion::Tie),
        ("ops", "up", Criterion::Priority),
        ("ops", "help", Criterion::Reserved),
        ("ops", "lunch anyone?", Criterion::Nothing),
        ("two", "ops/help", Criterion::Alone),
    ];
    for (bot, text, decided_by) in cases {
        let explanation = index.explain(text, &Scope { bot: Some(bot) });
        assert_eq!(explanation.decided_by, decided_by, "{text}: {explanation:#?}");
        let chosen: Vec<String> = explanation
            .candidates
            .iter()
            .filter(|candidate| candidate.chosen)
            .map(|candidate| format!("{}/{}", candidate.bot, candidate.command))
            .collect();
        let resolved = say_to(&index, bot, text);
        let names = resolved.split(" | ").filter(|told| *told != "-").map(|told| told.split(' ').next().unwrap());
        assert_eq!(chosen, names.collect::<Vec<_>>(), "{text}");
    }
    let explanation = index.explain("deploy status", &Scope::default());
    assert_eq!(explanation.tokens, ["deploy", "status"]);
    assert_eq!(explanation.candidates[0].classes, [Class::Literal, Class::Literal]);
    assert_eq!(explanation.candidates[1].classes, [Class::Literal, Class::Untyped]);
    assert_eq!(explanation.candidates[1].written, "deploy {service}");
}

#[test]
fn levels_and_subjects_can_be_told_apart() {
    let found = lint_bot(&bot("ops", vec![command("quiet", &["hush"], &[]), command("by-name", &[], &[])]));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].level, found[0].subject), (Level::Error, Subject::Command));
}
