use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;

use super::check::{Format, check};
use super::{Level, Loaded, load, load_dir};
use crate::model::command::{Body, Command, Effect};
use crate::model::message::Part;
use crate::model::parameter::ParameterType;

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub(super) fn told(loaded: &Loaded) -> Vec<String> {
    loaded.faults().map(|(_, fault)| fault.to_string()).collect()
}

/// Loads one bot named `b` from a manifest and further files.
pub(super) fn load_one(manifest: &str, files: &[(&str, &str)]) -> Loaded {
    let dir = tempfile::tempdir().unwrap();
    let bot = dir.path().join("b");
    fs::create_dir_all(bot.join("replies")).unwrap();
    fs::write(bot.join("bot.yaml"), manifest).unwrap();
    for (name, text) in files {
        fs::write(bot.join(name), text).unwrap();
    }
    load_dir(dir.path())
}

/// A bot with one command, of which `lines` are written after name, intent and example.
pub(super) fn with_command(lines: &str) -> String {
    let lines = lines.lines().fold(String::new(), |mut out, line| {
        let _ = writeln!(out, "    {line}");
        out
    });
    format!("apiVersion: bot/v1\nname: b\ncommands:\n  - name: c\n    intent: do it\n    examples: [do it]\n{lines}")
}

#[test]
fn the_shipped_bots_are_in_order() {
    let report = check(&[project("bots")], &[]);
    assert!(report.faults.is_empty(), "{}", report.write(Format::Text));
    assert_eq!(report.bots, 3);
    let loaded = load_dir(&project("bots"));
    let hello = loaded.bots.iter().find(|loaded| loaded.bot.name == "hello").unwrap();
    let message = hello.reply("my-command-name").unwrap().render(&json!({"parameters": {"parameter_name_1": "World"}}));
    assert_eq!(message.unwrap().text, "Hello World");
    let ops = loaded.bots.iter().find(|loaded| loaded.bot.name == "ops").unwrap();
    let values =
        json!({"data": {"recent": [{"command": "x", "bot": "b", "by": "Ann", "status": "success", "when": "12:03"}]}});
    let message = ops.reply("recent-runs").unwrap().render(&values).unwrap();
    let [Part::Table { rows, .. }] = message.parts.as_slice() else { panic!("a table: {:?}", message.parts) };
    assert_eq!(rows, &[["12:03", "b", "x", "Ann", "success"]]);
}

#[test]
fn all_faults_of_a_bot_are_reported_where_they_are() {
    let loaded = load_dir(&project("tests/fixtures/bots"));
    assert!(loaded.bots.is_empty());
    let [outcome] = loaded.outcomes.as_slice() else { panic!("one outcome") };
    assert_eq!((outcome.bot.as_str(), outcome.loaded), ("faulty", false));
    insta::assert_snapshot!(told(&loaded).join("\n"), @r#"
    faulty/bot.yaml:3:1 unknown key "colour"
    faulty/bot.yaml:4:18 unknown role "usr", did you mean "user"?
    faulty/bot.yaml:8:35 the command has no parameter "plce", did you mean "place"?
    faulty/bot.yaml:10:23 unknown type "strng", did you mean "string"?
    faulty/bot.yaml:11:64 default "mars" is not one of staging, prod
    faulty/bot.yaml:12:7 parameter "Ser-vice" is there already as "service"
    faulty/bot.yaml:12:27 "pattern" is not a regular expression: invalid character class range, the start must be <= the end
    faulty/bot.yaml:13:30 a parameter cannot be mapped to "user.nme" (user.id, user.name, channel.id, channel.name, channel.type, conversation.id, team.id, team.name), did you mean "user.name"?
    faulty/bot.yaml:15:44 there is no parameter "servce", did you mean "service"?
    faulty/bot.yaml:16:13 unknown effect "chnge", did you mean "change"?
    faulty/bot.yaml:17:14 unknown confirm "allways", did you mean "always"?
    faulty/bot.yaml:18:18 there is no data "now.week"
    faulty/bot.yaml:18:28 "json" means something else in a template: choose another name
    faulty/bot.yaml:21:7 unknown key "titel", did you mean "title"?
    faulty/bot.yaml:23:38 there is no parameter "plce", did you mean "place"?
    faulty/bot.yaml:25:11 the command has no "examples": write at least one thing people say
    faulty/bot.yaml:25:11 command "Deploy" is there already, in line 7
    faulty/bot.yaml:29:10 the command has no parameter "nothing"
    faulty/bot.yaml:30:17 there is no partial "missing"
    faulty/bot.yaml:32:11 every installation has a command "help": choose another name
    faulty/bot.yaml:32:11 a command does one thing, not several (reply, steps)
    faulty/bot.yaml:35:12 "steps" is empty: write at least one step
    faulty/bot.yaml:36:12 "replies/../../../../secret.hbs" leads out of the bot's folder
    faulty/bot.yaml:38:5 the command has no "name"
    faulty/bot.yaml:39:15 "examples" is empty: write at least one thing people say
    faulty/bot.yaml:40:12 there is no file "replies/none.hbs" in the bot's folder
    faulty/bot.yaml:41:1 "listen" is not supported by this version
    faulty/replies/deploy.hbs:2:30 unknown name "place", did you mean "parameters.place"?
    faulty/replies/footer.hbs:2:3 unknown name "usr", did you mean "user"?
    "#);
}

#[test]
fn a_manifest_becomes_a_bot() {
    let manifest = r#"
apiVersion: bot/v1
name: b
display_name: The Bot
description: Does things
avatar: "🛠"
access: {roles: [user, executor], groups: sre}
commands:
  - name: deploy
    description: Brings it out
    intents: [deploy {service} to {environment}]
    parameters:
      service: {pattern: "[a-z-]{2,30}", max_length: 30}
      environment: {choices: [staging, prod], default: STAGING}
      count: integer
      version: {default: 012}
      note: {type: text, required: false}
    mapped_parameters: {who: user.name, where: "atomist://slack/channel_name"}
    examples:
      - {say: deploy web to prod count=1, expect: {service: web, count: 1}}
    access: {groups: [release], when: {environment: staging}}
    effect: destroy
    priority: 5
    data: {week: now.iso_week}
    reply: {text: replies/text.hbs, code: "{{parameters.service}}"}
"#
    .replace("[deploy {service} to {environment}]", "[\"deploy {service} to {environment}\"]");
    let files = [("replies/text.hbs", "On it.{{> footer}}"), ("replies/footer.hbs", " {{week}}")];
    let loaded = load_one(&manifest, &files);
    assert_eq!(told(&loaded), Vec::<String>::new());
    let bot = &loaded.bots[0].bot;
    assert_eq!((bot.display_name.as_str(), bot.avatar.as_str(), bot.version.len()), ("The Bot", "🛠", 64));
    assert_eq!(bot.access.groups, ["sre"]);
    let command = &bot.commands[0];
    assert_eq!((command.bot.as_str(), command.effect, command.priority), ("b", Effect::Destroy, 5));
    assert_eq!(command.mapped_parameters["where"], "channel.name");
    assert_eq!(command.access.when["environment"], ["staging"]);
    assert_eq!(command.examples[0].expect["count"], "1");
    let kinds: Vec<_> =
        command.parameters.iter().map(|p| (p.name.as_str(), p.kind.name(), p.required, p.default.as_deref())).collect();
    assert_eq!(
        kinds,
        [
            ("service", "string", true, None),
            ("environment", "choice", false, Some("staging")),
            ("count", "integer", true, None),
            ("version", "string", false, Some("012")),
            ("note", "text", false, None),
        ]
    );
    assert_eq!(command.parameters[1].kind, ParameterType::Choice { choices: vec!["staging".into(), "prod".into()] });
    let Body::Reply(reply) = &command.body else { panic!("a reply") };
    assert_eq!(reply.message, json!({"text": "On it.{{> footer}}", "code": "{{parameters.service}}"}));
    assert_eq!(reply.partials["footer"], " {{week}}");
    let message = loaded.bots[0].reply("Deploy").unwrap().render(&json!({"data": {"week": "2026-W48"}})).unwrap();
    assert_eq!(message.text, "On it. 2026-W48");
    let changed = load_one(&manifest, &[files[0], ("replies/footer.hbs", "{{week}}!")]);
    assert_ne!(changed.bots[0].bot.version, bot.version, "the version covers every file of the bot");
}

#[test]
fn single_faults_say_what_and_where() {
    let reply = "reply: x";
    for (lines, expected) in [
        ("reply: \"a {{parameters.x}}\"".to_owned(), "7:17 there is no parameter \"x\""),
        ("reply: |\n  one\n  two {{usr.id}}".to_owned(), "9:13 unknown name \"usr\", did you mean \"user\"?"),
        ("description: no body".to_owned(), "4:11 the command does nothing: write a \"reply\", \"steps\", a \"playbook\" or a \"remote\""),
        (format!("playbook: x.yaml\n{reply}"), "4:11 a command does one thing, not several (reply, playbook)"),
        ("script: x.js".to_owned(), "7:5 \"script\" is not supported by this version"),
        (format!("approve: {{count: 0}}\n{reply}"), "7:22 \"count\" is how many persons approve, 1 to 20"),
        (format!("approve: {{ttl: 5s}}\n{reply}"), "7:20 \"ttl\" is a time from 1m to 720h such as 30m, not \"5s\""),
        (format!("approve: {{form: {{}}}}\n{reply}"), "7:15 unknown key \"form\", did you mean \"from\"?"),
        (format!("approve: yes please\n{reply}"), "7:14 \"approve\" (or false) is a map of keys and values"),
        (format!("parameters:\n  p: {{type: choice}}\n{reply}"), "8:17 a choice needs \"choices\""),
        (format!("parameters:\n  p: {{choices: []}}\n{reply}"), "8:20 a choice needs at least one of \"choices\""),
        (format!("parameters:\n  p: {{choices: [a, A]}}\n{reply}"), "8:24 choice \"A\" is there already"),
        (
            format!("parameters:\n  p: {{type: integer, default: x}}\n{reply}"),
            "8:35 default \"x\" is not a whole number",
        ),
        (
            format!("parameters:\n  p: {{pattern: '[a-z]+', default: 12}}\n{reply}"),
            "8:39 default \"12\" does not match \"pattern\"",
        ),
        (
            format!("parameters:\n  p: {{pattern: '(a{{1000}}){{1000}}'}}\n{reply}"),
            "8:20 \"pattern\" is not a regular expression: the pattern needs more than 1048576 bytes when compiled",
        ),
        (
            format!("parameters:\n  p: {{min_length: 5, max_length: 2}}\n{reply}"),
            "8:38 \"max_length\" 2 is less than \"min_length\" 5",
        ),
        (format!("parameters:\n  p: {{required: yes}}\n{reply}"), "8:21 \"required\" is true or false"),
        (
            format!("parameters:\n  p: {{required: true, default: x}}\n{reply}"),
            "8:21 warning: a parameter with a default is never missing: \"required\" has no effect",
        ),
        (format!("parameters: [p]\n{reply}"), "7:17 \"parameters\" is a map of keys and values"),
        (format!("effect: 3\n{reply}"), "7:13 unknown effect \"3\""),
        (format!("priority: high\n{reply}"), "7:15 \"priority\" is a whole number"),
        (format!("access: {{when: {{env: x}}}}\n{reply}"), "7:21 there is no parameter \"env\""),
        (
            format!("mapped_parameters: {{a: user.nam}}\n{reply}"),
            "7:28 a parameter cannot be mapped to \"user.nam\" (user.id, user.name, channel.id, channel.name, channel.type, conversation.id, team.id, team.name), did you mean \"user.name\"?",
        ),
        (
            format!("data: {{user: now.date}}\n{reply}"),
            "7:12 \"user\" means something else in a template: choose another name",
        ),
        (format!("{reply}\nreply: y"), "8:5 key \"reply\" is written twice"),
        (format!("remote: {{}}\n{reply}"), "4:11 a command does one thing, not several (reply, remote)"),
        ("remote: {timeout: soon}".to_owned(), "7:23 \"timeout\" is a time from 1s to 24h such as 5m, not \"soon\""),
        ("remote: {timeout: 0s}".to_owned(), "7:23 \"timeout\" is a time from 1s to 24h such as 5m, not \"0s\""),
        ("remote: {timeot: 5m}".to_owned(), "7:14 unknown key \"timeot\", did you mean \"timeout\"?"),
        ("remote: shop.py".to_owned(), "7:13 \"remote\" is a map of keys and values"),
        (
            "data: {day: now.date}\nremote: {}".to_owned(),
            "7:5 \"data\" is for the templates of a \"reply\"; a process elsewhere gets none",
        ),
        ("reply: {text: x, tone: sad}".to_owned(), "7:28 unknown tone \"sad\""),
        ("reply: {txt: x, text: y}".to_owned(), "7:13 unknown key \"txt\", did you mean \"text\"?"),
        ("reply: ../../x.hbs".to_owned(), "7:12 \"../../x.hbs\" leads out of the bot's folder"),
        ("reply: replies/x.hbs".to_owned(), "7:12 there is no file \"replies/x.hbs\" in the bot's folder"),
        ("reply: \"{{> x}}\"".to_owned(), "7:17 there is no partial \"x\""),
        ("reply: {text: x, files: []}".to_owned(), "7:22 \"files\" is not supported by this version"),
        ("reply: {text: x, ttl: 1m}".to_owned(), "7:22 \"ttl\" says what becomes of an earlier message of the same \"id\": give it one"),
        ("reply: {text: x, progress: {label: x, step: a, total: 3}}".to_owned(), "7:49 \"a\" is not a whole number"),
        ("reply: {text: x, actions: [{label: x, url: 'file:///x'}]}".to_owned(), "7:48 \"file:///x\" is not a web address: it begins with https:// or http://"),
        ("reply: {text: x, actions: [{label: x, command: c, style: dangr}]}".to_owned(), "7:62 unknown style \"dangr\", did you mean \"danger\"?"),
        ("reply: {text: x, actions: [{label: x, command: c, styl: danger}]}".to_owned(), "7:55 unknown key \"styl\", did you mean \"style\"?"),
        ("reply: {text: x, actions: [{label: x, url: 'https://x.org', style: danger}]}".to_owned(), "7:65 \"style\" has no place in this kind of action"),
        ("reply: {text: x, actions: [{label: x, form: restart}]}".to_owned(), "7:49 the bot \"b\" has no command \"restart\""),
        (
            "parameters: {env: string}\nreply: {text: x, actions: [{label: x, command: C, parameters: {en: x}}]}".to_owned(),
            "8:68 the command \"c\" has no parameter \"en\", did you mean \"env\"?",
        ),
        (
            "parameters: {env: {type: choice, choices: [prod]}}\nreply:\n  text: x\n  actions:\n    - label: x\n      command: b/c\n      parameters: {env: mars}".to_owned(),
            "13:29 \"mars\" for \"env\" is not one of prod",
        ),
        (
            "parameters: {env: {type: choice, choices: [prod]}}\nreply: {text: x, actions: [{label: x, command: c, select: {parameter: env, options: [prod, {value: mars}]}}]}".to_owned(),
            "8:104 \"mars\" for \"env\" is not one of prod",
        ),
        (
            "parameters: {many: integer}\nreply: {text: x, actions: [{label: x, command: c, date: {parameter: many}}]}".to_owned(),
            "8:73 \"many\" is of the type integer and takes no day",
        ),
        (
            "parameters: {env: string}\nreply: {text: x, actions: [{label: x, command: c, parameters: {env: x, ENV: y}}]}".to_owned(),
            "8:76 parameter \"ENV\" is given twice",
        ),
    ] {
        let loaded = load_one(&with_command(&lines), &[]);
        let told = told(&loaded);
        assert_eq!(
            told.first().map(String::as_str),
            Some(format!("b/bot.yaml:{expected}").as_str()),
            "{lines}\n{told:#?}"
        );
        assert_eq!(loaded.bots.is_empty(), !expected.contains("warning"), "{lines}");
    }
}

#[test]
fn a_command_is_left_to_a_process_elsewhere() {
    for (written, timeout) in [
        ("remote: {}", 300_000),
        ("remote:", 300_000),
        ("remote: {timeout: 90s}", 90_000),
        ("remote: {timeout: 24h}", 86_400_000),
    ] {
        let loaded = load_one(&with_command(written), &[]);
        assert_eq!(told(&loaded), Vec::<String>::new(), "{written}");
        let Body::Remote(remote) = &loaded.bots[0].bot.commands[0].body else { panic!("{written}") };
        assert_eq!(remote.timeout, timeout, "{written}");
    }
}

#[test]
fn faults_of_the_bot_itself() {
    let commands = "commands: [{name: c, intent: do it, examples: [do it], reply: x}]\n";
    for (head, expected) in [
        ("name: b\n", "1:1 \"apiVersion\" is missing: write apiVersion: bot/v1"),
        ("apiVersion: bot/v2\nname: b\n", "1:13 this version reads apiVersion bot/v1, not \"bot/v2\""),
        ("apiVersion: bot/v1\n", "1:1 the bot has no \"name\""),
        ("apiVersion: bot/v1\nname: other\n", "2:7 the bot is named \"other\" and its folder \"b\""),
        (
            "apiVersion: bot/v1\nname: B\n",
            "2:7 \"B\" cannot name a bot: a small letter, then small letters, digits or -",
        ),
        (
            "apiVersion: bot/v1\nname: b\ndisplay_nam: x\n",
            "3:1 unknown key \"display_nam\", did you mean \"display_name\"?",
        ),
        ("apiVersion: bot/v1\nname: b\nlisten: []\n", "3:1 \"listen\" is not supported by this version"),
        (
            "apiVersion: bot/v1\nname: b\navatar: me.png\n",
            "3:9 a file as \"avatar\" is not supported by this version: write an emoji",
        ),
        (
            "apiVersion: bot/v1\nname: b\naccess: {when: {}}\n",
            "3:10 \"when\" belongs to the access of a command: a bot has no parameters",
        ),
    ] {
        let told = told(&load_one(&format!("{head}{commands}"), &[]));
        assert_eq!(told, [format!("b/bot.yaml:{expected}")], "{head}");
    }
    assert_eq!(told(&load_one("", &[])), ["b/bot.yaml:1:1 a manifest is a map of keys and values"]);
    let big = "#".repeat(1024 * 1024);
    assert_eq!(told(&load_one(&big, &[])), ["b/bot.yaml:1:1 \"bot.yaml\" is longer than 256 KiB"]);
}

#[test]
fn templates_in_files_are_reported_in_their_files() {
    let long = "x".repeat(100 * 1024);
    for (files, expected) in [
        (vec![("replies/r.hbs", "one\n  {{parameters.x}}")], "b/replies/r.hbs:2:5 there is no parameter \"x\""),
        (vec![("replies/r.hbs", long.as_str())], "b/replies/r.hbs:1:1 the template is longer than 64 KiB"),
        (
            vec![("replies/r.hbs", "{{> p}}"), ("replies/p.hbs", "\n{{> p}}")],
            "b/replies/p.hbs:2:5 the template includes itself: p > p",
        ),
        (
            vec![("replies/r.hbs", "{{> p}}"), ("replies/p.hbs", "{{#if x}}")],
            "b/replies/p.hbs:1:1 {{#if}} is not closed",
        ),
    ] {
        let told = told(&load_one(&with_command("reply: replies/r.hbs"), &files));
        assert_eq!(told, [expected]);
    }
    let dir = tempfile::tempdir().unwrap();
    let bot = dir.path().join("bots/b");
    fs::create_dir_all(&bot).unwrap();
    fs::write(dir.path().join("secret.hbs"), "secret").unwrap();
    std::os::unix::fs::symlink(dir.path().join("secret.hbs"), bot.join("r.hbs")).unwrap();
    fs::write(bot.join("bot.yaml"), with_command("reply: r.hbs")).unwrap();
    assert_eq!(told(&load_dir(&dir.path().join("bots"))), ["b/bot.yaml:7:12 \"r.hbs\" leads out of the bot's folder"]);
}

#[test]
fn each_bot_stands_for_itself_and_a_name_is_taken_once() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let good = with_command("reply: x");
    write("one/b/bot.yaml", &good);
    write("one/broken/bot.yaml", "name: broken\n  x: y");
    write("one/README.md", "not a bot");
    write("one/.git/config", "not a bot");
    write("one/empty/notes.txt", "x");
    write("two/b/bot.yaml", &good);
    let dirs = [dir.path().join("one"), dir.path().join("two"), dir.path().join("three")];
    let loaded = load(&dirs);
    assert_eq!(loaded.bots.len(), 1);
    let outcomes: Vec<_> = loaded.outcomes.iter().map(|o| (o.bot.as_str(), o.loaded, o.dir == dirs[0])).collect();
    assert_eq!(outcomes, [("b", true, true), ("broken", false, true), ("empty", false, true), ("b", false, false)]);
    assert_eq!(loaded.unread.len(), 1);
    let told = told(&loaded);
    assert!(told[1].starts_with("broken/bot.yaml:2:4 this is not valid YAML: "), "{told:?}");
    assert_eq!(told[2], "empty/bot.yaml:1:1 there is no bot.yaml in this folder");
    assert_eq!(told[3], format!("b/bot.yaml:1:1 there is a bot \"b\" in {} already", dirs[0].display()));
}

#[test]
fn a_check_finds_what_only_a_render_shows() {
    let dir = tempfile::tempdir().unwrap();
    let bot = dir.path().join("b");
    fs::create_dir_all(&bot).unwrap();
    let command = "data: {stats: installation.stats}\nreply:\n  text: x\n  quote: \"so many: {{stats.rums}}\"";
    fs::write(bot.join("bot.yaml"), with_command(command)).unwrap();
    assert!(told(&load_dir(dir.path())).is_empty(), "loading does not render");
    let report = check(&[dir.path().to_owned()], &[]);
    assert!(!report.is_ok());
    let file = bot.join("bot.yaml");
    let file = file.display();
    assert_eq!(
        report.write(Format::Text),
        format!(
            "{file}:10:24 \"stats.rums\" has no value, did you mean \"stats.runs\"?\n0 bots, 0 commands, 0 intents, 0 examples, 0 connectors, 0 actions: 1 fault\n"
        )
    );
    assert_eq!(
        report.write(Format::Github),
        format!("::error file={file},line=10,col=24::\"stats.rums\" has no value, did you mean \"stats.runs\"?\n")
    );
    let written: serde_json::Value = serde_json::from_str(&report.write(Format::Json)).unwrap();
    assert_eq!(written["ok"], false);
    assert_eq!(written["faults"][0]["line"], 10);
    assert_eq!(written["faults"][0]["level"], "error");
}

#[test]
fn examples_and_intents_are_tried_when_a_bot_is_loaded() {
    let intent = |intent: &str, example: &str| {
        let manifest = with_command("parameters: {x: {required: false}}\nreply: x");
        let manifest = manifest.replace("intent: do it", &format!("intent: '{intent}'"));
        told(&load_one(&manifest.replace("[do it]", &format!("['{example}']")), &[]))
    };
    assert_eq!(intent("do {x}", "do it"), Vec::<String>::new());
    for (pattern, example, at) in [
        ("do {x}", "make it", "6:16"),
        ("do {y}", "do it", "5:18"),
        ("do (a", "do a", "5:17"),
        ("/(a{1000}){1000}/", "a", "5:15"),
        ("/(/", "a", "5:15"),
    ] {
        let told = intent(pattern, example);
        assert!(told.first().is_some_and(|told| told.starts_with(&format!("b/bot.yaml:{at} "))), "{pattern}: {told:?}");
    }
}

#[test]
fn a_check_compares_bots_with_each_other_and_with_those_that_are_always_there() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, intent: &str| {
        fs::create_dir_all(dir.path().join(name)).unwrap();
        let manifest = with_command("reply: x").replace("name: b", &format!("name: {name}")).replace("do it", intent);
        fs::write(dir.path().join(name).join("bot.yaml"), manifest).unwrap();
    };
    write("one", "do this");
    write("two", "do this");
    write("three", "show commands");
    let mut reserved =
        (*load_one(&with_command("reply: x").replace("do it", "show commands"), &[]).bots[0].bot).clone();
    reserved.name = crate::intent::RESERVED_BOT.to_owned();
    let commands =
        reserved.commands.iter().map(|command| Command { bot: reserved.name.clone(), ..(**command).clone() });
    reserved.commands = commands.map(Arc::new).collect();
    let report = check(&[dir.path().to_owned()], &[Arc::new(reserved)]);
    let told: Vec<_> = report.faults.iter().map(|f| (f.level, f.line, f.column, f.message.as_str())).collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    assert_eq!((told[0].0, told[0].1, told[0].2), (Level::Error, 5, 13));
    assert!(told[0].3.contains("reserved"), "{told:#?}");
    assert_eq!((told[1].0, told[1].1, told[1].2), (Level::Warning, 5, 13));
    assert!(told[1].3.contains("same intent"), "{told:#?}");
}

#[test]
fn actions_may_run_what_other_bots_have_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, reply: &str| {
        fs::create_dir_all(dir.path().join(name)).unwrap();
        let manifest = with_command(&format!("parameters: {{x: {{type: integer, required: false}}}}\n{reply}"));
        let manifest = manifest.replace("name: b", &format!("name: {name}")).replace("do it", &format!("do {name}"));
        fs::write(dir.path().join(name).join("bot.yaml"), manifest).unwrap();
    };
    let to = |command: &str| {
        format!("reply: {{text: x, actions: [{{label: x, command: {command}, parameters: {{x: 1}}}}]}}")
    };
    write("one", &to("two/c"));
    write("two", &to("one/C"));
    let faults = || {
        check(&[dir.path().to_owned()], &[])
            .faults
            .iter()
            .map(|fault| {
                let file = fault.file.strip_prefix(dir.path()).unwrap().display().to_string();
                format!("{file}:{}:{} {}", fault.line, fault.column, fault.text())
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(faults(), Vec::<String>::new());
    for (command, expected) in [
        ("two/restart", "one/bot.yaml:8:52 the bot \"two\" has no command \"restart\""),
        ("tow/c", "one/bot.yaml:8:52 there is no bot \"tow\", did you mean \"two/c\"?"),
    ] {
        write("one", &to(command));
        assert_eq!(faults(), [expected]);
        let mut loaded = load_dir(dir.path());
        loaded.lint_between(&[]);
        assert_eq!(loaded.bots.iter().map(|loaded| loaded.bot.name.as_str()).collect::<Vec<_>>(), ["two"]);
    }
    write("one", &to("two/c").replace("x: 1", "x: many"));
    assert_eq!(faults(), ["one/bot.yaml:8:75 \"many\" for \"x\" is not a whole number"]);
    // A bot with a fault of its own may still serve its last good version: nobody else is at fault for it.
    write("one", &to("two/gone"));
    write("two", "reply: {txt: x}");
    assert!(faults().iter().all(|fault| fault.starts_with("two/")), "{:?}", faults());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn no_damage_to_a_manifest_does_more_than_fault(cuts in prop::collection::vec((0usize..4000, 0usize..40, 0usize..12), 1..4)) {
        const PIECES: [&str; 12] =
            ["", "\n", ":", "- ", "{{", "}}", "'", "\"", "&a ", "*a", "\u{e9}\t", "[{"];
        let mut text = fs::read_to_string(project("bots/hello/bot.yaml")).unwrap();
        for (at, length, piece) in cuts {
            let start = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            let end = (start + length..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
            text.replace_range(start..end, PIECES[piece]);
        }
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("hello")).unwrap();
        fs::write(dir.path().join("hello/bot.yaml"), &text).unwrap();
        let loaded = load_dir(dir.path());
        let lines = u32::try_from(text.split('\n').count()).unwrap();
        for (_, fault) in loaded.faults() {
            prop_assert!(fault.line >= 1 && fault.column >= 1 && fault.line <= lines + 1, "{fault}");
        }
        prop_assert_eq!(loaded.bots.len(), usize::from(loaded.outcomes[0].loaded));
    }
}

#[test]
fn ten_thousand_intents_load_in_a_moment() {
    let mut manifest = "apiVersion: bot/v1\nname: b\ncommands:\n".to_owned();
    for command in 0..100 {
        let _ = write!(
            manifest,
            "  - name: c{command}\n    examples: [do {command} 0]\n    parameters: {{x: string}}\n    reply: \"{{{{parameters.x}}}}\"\n    intents:\n"
        );
        for intent in 0..100 {
            let _ = writeln!(manifest, "      - do {command} {intent} \"{{x}}\"");
        }
    }
    let manifest = manifest.replace(" \"{x}\"", "");
    let started = Instant::now();
    let loaded = load_one(&manifest, &[]);
    let took = started.elapsed();
    assert_eq!(told(&loaded), Vec::<String>::new());
    assert_eq!(loaded.bots[0].bot.commands.iter().map(|command| command.intents.len()).sum::<usize>(), 10_000);
    assert!(took < Duration::from_secs(5), "unoptimised and on a busy machine: {took:?}");
}
