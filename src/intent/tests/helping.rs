//! Did-you-mean and completion.

use super::building::{bot, command, say_to};
use crate::intent::{Index, RESERVED_BOT, Scope};
use crate::model::bot::Bot;
use crate::model::command::Command;

const EVERYONE: &dyn Fn(&Bot, &Command) -> bool = &|_, _| true;

fn index() -> Index {
    Index::build(&[
        bot(
            "ops",
            vec![
                command(
                    "deploy",
                    &["deploy {service} to {environment}"],
                    &["service", "environment:staging,prod", "dry_run:boolean"],
                ),
                command("deploy-status", &["deploy status"], &[]),
                command("on-call", &["who is on call"], &[]),
                command("rollback", &["rollback {service} [to {version}]"], &["service", "version"]),
                command("roll-back", &["Roll Back everything {why:rest}"], &["why"]),
                command("status", &["status of {service}", "how is {service}"], &["service:web,api,db"]),
            ],
        ),
        bot(RESERVED_BOT, vec![command("help", &["help", "help {topic:rest}"], &["topic?"])]),
        bot("secret", vec![command("launch", &["launch missiles"], &[])]),
    ])
}

fn suggested(index: &Index, text: &str) -> Vec<(String, String, i64)> {
    let suggestions = index.suggest(text, &Scope { bot: Some("ops") }, EVERYONE, 3);
    suggestions
        .into_iter()
        .map(|found| (found.command.name.clone(), found.text, (found.score * 100.0).round() as i64))
        .collect()
}

#[test]
fn mistyped_commands_are_suggested_with_their_own_arguments() {
    let index = index();
    let cases = [
        ("deplyo web to prod", "deploy", "deploy web to prod", 89),
        ("depoly status", "deploy-status", "deploy status", 92),
        ("whos on call", "on-call", "who is on call", 71),
        ("roll back web to v2", "rollback", "rollback web to v2", 92),
        ("rollback everythng \"it all\"", "roll-back", "Roll Back everything \"it all\"", 90),
        ("deplyo \"my web\" to prod --dry-run", "deploy", "deploy \"my web\" to prod --dry-run", 89),
        ("deplyo", "deploy", "deploy", 83),
        ("deploy to prod", "deploy", "deploy environment=prod", 100),
        ("satus of web", "status", "status of web", 89),
        ("hlep", "help", "help", 75),
    ];
    for (text, name, corrected, score) in cases {
        let found = suggested(&index, text);
        let expected = (name.to_owned(), corrected.to_owned(), score);
        assert!(found.first() == Some(&expected), "{text}: {found:?}");
    }
    assert_eq!(say_to(&index, "ops", "deploy environment=prod"), "ops/deploy environment=prod ?service");
}

#[test]
fn nothing_far_and_nothing_forbidden_is_suggested() {
    let index = index();
    for text in ["lunch anyone?", "good morning everyone, how did deploy number 5 go", "", "\"depoly\" status", "x"] {
        assert_eq!(suggested(&index, text), [], "{text}");
    }
    assert_eq!(suggested(&index, "lauch missiles")[0].0, "launch");
    let may = |bot: &Bot, _: &Command| bot.name != "secret";
    assert!(index.suggest("lauch missiles", &Scope::default(), &may, 3).is_empty());
    assert_eq!(index.suggest("depoly status", &Scope::default(), EVERYONE, 0).len(), 0);
    let long = format!("depoly status {}", "please ".repeat(500));
    assert_eq!(suggested(&index, &long), []);
}

/// `command | insert | tokens | slot: values`; a done token is in brackets, the next one is marked.
fn completed(index: &Index, bot: &str, text: &str) -> Vec<String> {
    let completions = index.complete(text, &Scope { bot: Some(bot) }, EVERYONE, 8);
    completions
        .into_iter()
        .map(|found| {
            let tokens: Vec<String> = found
                .tokens
                .iter()
                .map(|token| match (token.done, token.next) {
                    (true, _) => format!("[{}]", token.text),
                    (false, true) => format!(">{}", token.text),
                    (false, false) => token.text.clone(),
                })
                .collect();
            let slot =
                found.slot.map_or_else(String::new, |slot| format!(" | {}: {}", slot.name, slot.values.join(",")));
            format!("{} | {}| {}{slot}", found.command.name, found.insert, tokens.join(" "))
        })
        .collect()
}

#[test]
fn a_text_is_completed_word_by_word_and_slot_by_slot() {
    let index = index();
    let cases: &[(&str, &[&str])] = &[
        (
            "dep",
            &[
                "deploy | deploy | [deploy] >service to environment dry_run= | service: ",
                "deploy-status | deploy status| [deploy] >status",
            ],
        ),
        ("Deploy w", &["deploy | Deploy w| [deploy] >service to environment dry_run= | service: "]),
        (
            "deploy s",
            &[
                "deploy-status | deploy status| [deploy] [status]",
                "deploy | deploy s| [deploy] >service to environment dry_run= | service: ",
            ],
        ),
        (
            "deploy web ",
            &["deploy | deploy web to | [deploy] [service] >to environment dry_run= | environment: staging,prod"],
        ),
        (
            "deploy web to p",
            &[
                "deploy | deploy web to prod dry_run=| [deploy] [service] [to] >environment dry_run= | environment: prod",
            ],
        ),
        ("deploy web to mars ", &[]),
        (
            "deploy web to prod ",
            &[
                "deploy | deploy web to prod dry_run=| [deploy] [service] [to] [environment] >dry_run= | dry_run: true,false",
            ],
        ),
        (
            "deploy web to prod dry_run=t",
            &[
                "deploy | deploy web to prod dry_run=true| [deploy] [service] [to] [environment] >dry_run= | dry_run: true",
            ],
        ),
        (
            "deploy web to prod --dry",
            &[
                "deploy | deploy web to prod dry_run=| [deploy] [service] [to] [environment] >dry_run= | dry_run: true,false",
            ],
        ),
        ("how is ", &["status | how is | [how] [is] >service | service: web,api,db"]),
        (
            "roll back everything it is ",
            &["roll-back | roll back everything it is | [Roll] [Back] [everything] >why | why: "],
        ),
        ("hel", &["help | help| [help]"]),
        ("zzz", &[]),
    ];
    for (text, expected) in cases {
        assert_eq!(completed(&index, "ops", text), *expected, "{text}");
    }
}

#[test]
fn an_empty_text_lists_the_commands_in_order() {
    let index = index();
    let listed: Vec<String> =
        index.complete("", &Scope { bot: Some("ops") }, EVERYONE, 20).into_iter().map(|found| found.insert).collect();
    assert_eq!(
        listed,
        ["deploy ", "deploy status", "who is on call", "rollback ", "Roll Back everything ", "status of ", "help"]
    );
    let may = |bot: &Bot, command: &Command| bot.name == "ops" && command.name != "deploy";
    let some = index.complete(" ", &Scope { bot: Some("ops") }, &may, 2);
    assert_eq!(some.iter().map(|found| &*found.command.name).collect::<Vec<_>>(), ["deploy-status", "on-call"]);
    assert_eq!(index.complete("", &Scope::default(), EVERYONE, 20).len(), 8);
    assert_eq!(completed(&index, "ops", "launch ")[0], "launch | launch missiles| [launch] >missiles");
}

#[test]
fn what_an_intent_lacks_is_completed_by_name() {
    let say_this = "type this in chat to invoke the command";
    let index = Index::build(&[bot("hello", vec![command("MyCommandName", &[say_this], &["parameter_name_1"])])]);
    let words = "[type] >this in chat to invoke the command parameter_name_1=";
    assert_eq!(
        completed(&index, "hello", "ty"),
        [format!("MyCommandName | {say_this} parameter_name_1=| {words} | parameter_name_1: ")]
    );
    let insert = &index.complete(&format!("{say_this} p"), &Scope::default(), EVERYONE, 1)[0].insert;
    assert_eq!(*insert, format!("{say_this} parameter_name_1="));
    let insert = &index.complete(&format!("{say_this} parameter_name_1=Wor"), &Scope::default(), EVERYONE, 1)[0].insert;
    assert_eq!(*insert, format!("{say_this} parameter_name_1=Wor"));
}
