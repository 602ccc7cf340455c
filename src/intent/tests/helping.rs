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
        bot(RESERVED_BOT, vec![command("help", &["help", "help {topic:rest}"], &["topic"])]),
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
