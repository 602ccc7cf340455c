//! Which command wins, when two do, and what a near miss keeps.

use super::building::{bot, command, index, say, say_to};
use crate::intent::{Index, RESERVED_BOT, Resolution, Scope};
use crate::model::command::Command;

#[test]
fn tokens_decide_from_left_to_right() {
    let index = index(&[
        ("pack install {packs:rest}", &["packs"]),
        ("pack install {pack}", &["pack"]),
        ("copy {a} {b} {c}", &["a", "b", "c"]),
        ("copy {a} {b} {c} {d}", &["a", "b", "c", "d"]),
        ("deploy {service}", &["service"]),
        ("deploy status", &[]),
        ("deploy {service} {environment}", &["service", "environment:staging,prod"]),
        ("deploy {service} {where}", &["service", "where"]),
        ("deploy {service} {count:int}", &["service", "count"]),
        ("open the door", &[]),
        ("open the {thing}", &["thing"]),
        ("/open the .*/", &[]),
        ("set {key}", &["key", "value"]),
        ("set {key} {rest:rest}", &["key", "rest"]),
    ]);
    let cases = [
        ("pack install vsphere", "ops/pack install {pack} pack=vsphere"),
        ("pack install vsphere aws", "ops/pack install {packs:rest} packs=vsphere aws"),
        ("copy 1 2 3 4", "ops/copy {a} {b} {c} {d} a=1 b=2 c=3 d=4"),
        ("deploy status", "ops/deploy status"),
        ("deploy \"status\"", "ops/deploy {service} service=status"),
        ("deploy status=5", "ops/deploy {service} service=status=5"),
        ("deploy web prod", "ops/deploy {service} {environment} environment=prod service=web"),
        ("deploy web 5", "ops/deploy {service} {count:int} count=5 service=web"),
        ("deploy web mars", "ops/deploy {service} {where} service=web where=mars"),
        ("open the door", "ops/open the door"),
        ("open the window", "ops/open the {thing} thing=window"),
        ("open the big window", "ops//open the .*/"),
        ("set a value=1", "ops/set {key} key=a value=1"),
        ("set a other=1", "ops/set {key} {rest:rest} key=a rest=other=1"),
    ];
    for (text, expected) in cases {
        assert_eq!(say(&index, text), expected, "{text}");
    }
}

#[test]
fn near_misses_keep_what_was_understood() {
    let index = index(&[
        ("deploy {service} to {environment}", &["service", "environment:staging,prod", "reason"]),
        ("reset goals", &["force:boolean"]),
        ("open ticket {title:rest}", &["title"]),
        ("{n:int} plus {m:int}", &["n", "m"]),
        ("who is on call", &[]),
        ("close {id:int} now", &["id"]),
    ]);
    let deploy = "ops/deploy {service} to {environment}";
    let cases = [
        ("deploy", format!("{deploy} ?service ?environment")),
        ("deploy web", format!("{deploy} service=web ?environment")),
        ("deploy web to", format!("{deploy} service=web ?environment")),
        ("deploy web to mars", format!("{deploy} environment=mars service=web !environment")),
        ("deploy web to Prod", format!("{deploy} environment=Prod service=web")),
        ("deploy reason=why", format!("{deploy} reason=why ?service ?environment")),
        ("deploy web environment=prod", format!("{deploy} environment=prod service=web")),
        ("deploy environment=prod --service=web", format!("{deploy} environment=prod service=web")),
        ("deploy web to prod why=x", format!("{deploy} environment=prod service=web ~why")),
        ("deploy web onto prod", "-".to_owned()),
        ("reset goals branch=x", "ops/reset goals ~branch".to_owned()),
        ("reset goals --Force", "ops/reset goals force=true".to_owned()),
        ("open", "-".to_owned()),
        ("open ticket", "ops/open ticket {title:rest} ?title".to_owned()),
        ("who is", "-".to_owned()),
        ("what plus what", "-".to_owned()),
        ("close 5", "-".to_owned()),
        ("close", "ops/close {id:int} now ?id".to_owned()),
        ("close five now", "ops/close {id:int} now id=five !id".to_owned()),
        ("", "-".to_owned()),
        ("good morning everyone", "-".to_owned()),
    ];
    for (text, expected) in cases {
        assert_eq!(say(&index, text), expected, "{text}");
    }
}

#[test]
fn equal_commands_of_two_bots_are_asked_about_and_scope_decides_first() {
    let index = Index::build(&[
        bot("web", vec![command("restart", &["restart {box}"], &["box"]), command("tell", &["tell {a:rest}"], &["a"])]),
        bot("vms", vec![command("restart", &["restart {vm}"], &["vm"]), command("tell", &["tell {b}"], &["b"])]),
        bot("dns", vec![command("flush", &["/flush/"], &[]), command("half", &["tell {who:user} twice"], &["who"])]),
        bot("all", vec![command("flush", &["flush it"], &[]), Command { priority: 1, ..command("up", &["up"], &[]) }]),
        bot("any", vec![command("up", &["up"], &[]), command("jot", &["jot {what:rest}"], &["what"])]),
        bot("tag", vec![command("jot", &["jot {what:rest}"], &["what", "tag"])]),
    ]);
    assert_eq!(say(&index, "restart box1"), "web/restart box=box1 | vms/restart vm=box1");
    assert_eq!(say(&index, "restart"), "web/restart | vms/restart");
    assert_eq!(say_to(&index, "vms", "restart box1"), "vms/restart vm=box1");
    assert_eq!(say_to(&index, "vms", "restart"), "vms/restart ?vm");
    assert_eq!(say_to(&index, "dns", "restart box1"), "web/restart box=box1 | vms/restart vm=box1");
    assert_eq!(say(&index, "tell ann"), "vms/tell b=ann");
    assert_eq!(say_to(&index, "web", "tell ann"), "web/tell a=ann", "the scope comes before the tokens");
    assert_eq!(say_to(&index, "dns", "tell ann"), "vms/tell b=ann", "a match elsewhere comes before a near miss");
    assert_eq!(say(&index, "flush it"), "all/flush");
    assert_eq!(say_to(&index, "dns", "flush it"), "dns/flush");
    assert_eq!(say(&index, "up"), "all/up", "priority decides a tie");
    assert_eq!(say(&index, "jot it tag=x"), "tag/jot tag=x what=it", "a named value before the rest");
    assert_eq!(say(&index, "jot it down"), "any/jot what=it down | tag/jot what=it down");
    assert_eq!(say_to(&index, "nobody", "up"), "all/up");
}

#[test]
fn reserved_words_win_everywhere_but_only_as_said() {
    let help = command("help", &["help", "help {topic:rest}"], &["topic"]);
    let index = Index::build(&[
        bot(
            "ops",
            vec![
                command("aid", &["help"], &[]),
                command("aid-for", &["help {what}"], &["what"]),
                command("list", &["show me"], &[]),
            ],
        ),
        bot(RESERVED_BOT, vec![help, command("list", &["list"], &[])]),
    ]);
    assert_eq!(say_to(&index, "ops", "help"), "parlour/help");
    assert_eq!(say_to(&index, "ops", "list"), "parlour/list", "not the command of that name");
    assert_eq!(say_to(&index, "ops", "help deploy"), "ops/aid-for what=deploy");
    assert_eq!(say(&index, "help deploy it"), "parlour/help topic=deploy it");
}

#[test]
fn a_typed_name_calls_its_command_when_no_pattern_matches() {
    let say_this = "type this in chat to invoke the command";
    let index = Index::build(&[
        bot(
            "hello",
            vec![
                command("MyCommandName", &[say_this], &["parameter_name_1"]),
                command("deploy", &["deploy {service} to {env}"], &["service", "env", "dry_run:boolean"]),
                command("ship", &["send {what}", "/ship.*/"], &["what"]),
            ],
        ),
        bot("other", vec![command("my-command-name", &["something else"], &[]), command("send", &["mail"], &["x"])]),
    ]);
    let cases = [
        (
            "type this in chat to invoke the command parameter_name_1=World",
            "hello/MyCommandName parameter_name_1=World",
        ),
        ("type this in chat to invoke the command", "hello/MyCommandName"),
        ("my_command_name Parameter-Name-1=\"my world\"", "hello/MyCommandName parameter_name_1=my world"),
        ("mycommandname world", "-"),
        ("mycommandname x=1", "hello/MyCommandName ~x"),
        ("deploy", "hello/deploy ?service ?env"),
        ("deploy --dry-run", "hello/deploy dry_run=true ?service ?env"),
        ("deploy service=web env=prod", "hello/deploy env=prod service=web"),
        ("ship what=box", "hello/ship what=box"),
        ("ship it", "hello/ship"),
        ("send", "hello/ship ?what"),
    ];
    for (text, expected) in cases {
        assert_eq!(say_to(&index, "hello", text), expected, "{text}");
    }
    assert_eq!(
        say(&index, "MyCommandName"),
        "hello/MyCommandName | other/my-command-name",
        "two bots may have commands of one name"
    );
}

#[test]
fn expressions_give_their_groups() {
    let index = index(&[("/(INC|CHG)-(?<number>\\d+)(x)?/", &["number"]), ("/./", &[])]);
    assert_eq!(index.unanchored(), 2);
    let Resolution::Match(found) = index.resolve("see CHG-12 and   more", &Scope::default()) else { panic!() };
    assert_eq!(found.matches, ["CHG-12", "CHG", "12", ""]);
    assert_eq!(found.intent, Some(0));
    assert_eq!(say(&index, "chg-12"), "ops//./", "no i flag, so case counts");
}
