//! Bots tried out without a server: their tests, the terminal, a bot to begin with.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::server::copy;

fn parlour(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlour"));
    // Settings of an installation are none of a test's business.
    command.args(arguments).current_dir(folder).env("PARLOUR_DATABASE", "postgres://nobody@127.0.0.1:1/none");
    command
}

fn text(output: &Output) -> String {
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn check(folder: &Path, arguments: &[&str]) -> (String, bool) {
    let output = parlour(folder, &[&["check"], arguments].concat()).output().unwrap();
    (text(&output), output.status.success())
}

/// A folder with the bot `shop` and this test of it.
fn shop(test: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(Path::new("tests/fixtures/trials"), &folder.path().join("bots"));
    std::fs::create_dir_all(folder.path().join("bots/shop/tests")).unwrap();
    std::fs::write(folder.path().join("bots/shop/tests/deploy.yaml"), test).unwrap();
    folder
}

#[test]
fn the_shipped_bots_pass_their_tests() {
    let (told, fine) = check(Path::new("."), &["bots"]);
    assert!(fine && told.ends_with(": all good\n"), "{told}");
    let tests = walk(Path::new("bots")).len();
    assert!(tests >= 6 && told.contains(&format!(", {tests} tests: ")), "{told}");
}

/// The tests below a folder of bots.
fn walk(bots: &Path) -> Vec<std::path::PathBuf> {
    let tests = std::fs::read_dir(bots).unwrap().flatten().map(|bot| bot.path().join("tests"));
    tests.filter_map(|tests| std::fs::read_dir(tests).ok()).flatten().flatten().map(|test| test.path()).collect()
}

#[test]
fn a_test_follows_a_command_through_approval_calls_and_processes() {
    let folder = shop(concat!(
        "answers:\n",
        "  - {use: http.request, with: {method: POST}, fails: {message: busy, retryable: true}, times: 1}\n",
        "  - {use: http.request, with: {method: POST, body: {service: web}}, result: {status: 201, body: {id: 7}}}\n",
        "  - {use: remote.report, with: {week: \"3\"}, reply: All is well.}\n",
        "steps:\n",
        "  - say: deploy web to prod\n",
        "    as: {user: ann, groups: [sre]}\n",
        "    expect: {asks: confirm, calls: []}\n",
        "  - press: Confirm\n",
        "    expect: {asks: approve, from: {groups: [release], count: 1}, not: \"*Deployed*\"}\n",
        "  - press: Approve\n",
        "    expect: {refused: \"there is no button*\"}\n",
        "  - press: Approve\n",
        "    as: {user: bob, groups: [release]}\n",
        "    expect: {reply: \"*Deployed web as 7*\", status: completed, calls: [{use: http.request, times: 2}]}\n",
        "  - say: deploy web to prod\n",
        "    expect: {not: \"*waits for approval*\", tone: warning}\n",
        "  - say: report 3\n",
        "    expect: {reply: All is well., calls: [{use: remote.report, with: {week: 3}}]}\n",
        "  - {say: report 4, answers: [{use: remote.report, fails: no figures}], expect: {status: failed, reply: \"*no figures*\"}}\n",
        "  - say: remind me\n",
        "    expect: {status: running, not: \"*It is time*\"}\n",
        "  - wait: 2h\n",
        "    expect: {reply: It is time., status: completed}\n",
    ));
    let (told, fine) = check(folder.path(), &[]);
    assert!(fine, "{told}");
}

#[test]
fn a_test_that_fails_says_where_and_what() {
    let folder = shop("- say: report 3\n  expect:\n    reply: \"*fine*\"\n");
    let (told, fine) = check(folder.path(), &[]);
    assert!(!fine);
    let place = "bots/shop/tests/deploy.yaml";
    // Nobody was there to answer, which is told first.
    assert!(
        told.contains(&format!("{place}:1:3 the test has no answer for a call\n    done      ann says \"report 3\"\n")),
        "{told}"
    );
    assert!(told.contains("    was       remote.report {\"week\":"), "{told}");
    assert!(told.contains(&format!("{place}:3:12 no reply is like this\n")), "{told}");
    assert!(told.contains("    expected  *fine*\n    was       [ERROR]"), "{told}");
    let (json, fine) = check(folder.path(), &["--format", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(!fine && json["ok"] == false && json["tests"] == 1, "{json}");
    let lines: Vec<u64> =
        json["faults"].as_array().unwrap().iter().map(|fault| fault["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [1, 3]);
    let (github, _) = check(folder.path(), &["--format", "github"]);
    assert!(github.contains(&format!("::error file={place},line=3,col=12::no reply is like this%0A")), "{github}");
    // Only read: what is written wrong is told all the same.
    std::fs::write(folder.path().join(place), "- say: report 3\n  expects: {}\n").unwrap();
    let (told, fine) = check(folder.path(), &["--no-tests"]);
    assert!(
        !fine && told.starts_with(&format!("{place}:2:3 unknown key \"expects\", did you mean \"expect\"?\n")),
        "{told}"
    );
}

#[test]
fn every_expectation_can_fail() {
    let cases = [
        ("\"*at my*\"", "no reply is like this"),
        ("{nothing: true}", "something was said"),
        ("{not: \"*at your*\"}", "this must not be said"),
        ("{title: Other}", "the title is another one"),
        ("{tone: error}", "the tone is another one"),
        ("{buttons: [Deploy]}", "other things can be pressed"),
        ("{asks: service}", "something else is asked for"),
        ("{from: {groups: [x]}}", "nobody is asked to approve"),
        ("{command: report}", "another command was understood"),
        ("{parameters: {who: bob}}", "who has another value"),
        ("{status: failed}", "the run stands elsewhere"),
        ("{calls: [{use: http.request}]}", "it was called another number of times"),
        ("{refused: FORBIDDEN}", "it was not refused"),
    ];
    // What holds all the same, so that these tests are no worse than that they fail.
    let folder = shop(concat!(
        "- say: greet ann\n",
        "  expect:\n",
        "    {reply: \"*at your service*\", not: \"*error*\", title: Welcome, tone: info, buttons: [Again], command: greet,\n",
        "     parameters: {who: ann}, status: completed, calls: []}\n",
    ));
    let place = |at: usize| folder.path().join(format!("bots/shop/tests/fails_{at:02}.yaml"));
    for (at, (expect, _)) in cases.iter().enumerate() {
        std::fs::write(place(at), format!("- say: greet ann\n  expect: {expect}\n")).unwrap();
    }
    let (told, fine) = check(folder.path(), &["--format", "json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let faults = told["faults"].as_array().unwrap();
    assert!(!fine && faults.len() == cases.len(), "{told:#}");
    for (at, ((expect, problem), fault)) in cases.iter().zip(faults).enumerate() {
        assert_eq!(fault["file"], format!("bots/shop/tests/fails_{at:02}.yaml"));
        let message = fault["message"].as_str().unwrap();
        assert!(
            message.starts_with(&format!("{problem}\n    done      ann says \"greet ann\"\n")),
            "{expect}: {message}"
        );
    }
}

#[test]
fn a_new_bot_passes_its_test_at_once_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let made = parlour(folder.path(), &["bot", "new", "front-desk"]).output().unwrap();
    assert!(made.status.success(), "{}", text(&made));
    let (told, fine) = check(folder.path(), &[]);
    assert!(fine && told.starts_with("1 bot, 1 command") && told.contains(", 1 test: all good"), "{told}");
    let file = folder.path().join("bots/front-desk/bot.yaml");
    std::fs::write(&file, "mine").unwrap();
    for (name, why) in [
        ("front-desk", "parlour: bots/front-desk is there already; nothing was changed\n"),
        ("Front Desk", "parlour: \"Front Desk\" cannot name a bot: a small letter, then small letters, digits or -\n"),
        ("../out", "parlour: \"../out\" cannot name a bot: a small letter, then small letters, digits or -\n"),
        ("parlour", "parlour: \"parlour\" is the name of the bot that every installation has\n"),
    ] {
        let refused = parlour(folder.path(), &["bot", "new", name]).output().unwrap();
        assert_eq!((refused.status.code(), String::from_utf8_lossy(&refused.stderr).as_ref()), (Some(1), why));
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    // A second one beside it: two bots from the same template claim no words of each other.
    std::fs::remove_dir_all(folder.path().join("bots/front-desk")).unwrap();
    for name in ["front-desk", "back-desk"] {
        assert!(parlour(folder.path(), &["bot", "new", name]).output().unwrap().status.success());
    }
    let (told, fine) = check(folder.path(), &[]);
    assert!(fine && told.contains("2 tests: all good"), "{told}");
}

/// What the terminal shows when these lines are piped in.
fn chat(folder: &Path, arguments: &[&str], lines: &str) -> (String, bool) {
    let mut command = parlour(folder, &[&["chat"], arguments].concat());
    let mut chat = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    chat.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = chat.wait_with_output().unwrap();
    (text(&output), output.status.success())
}

#[test]
fn the_terminal_talks_to_all_bots_question_by_question() {
    let lines = concat!(
        "greet\n",
        "Ann\n", // a question and its answer
        "show buttons\n",
        "1\n", // a button by its number
        "show choices\n",
        "2\n", // a choice
        "reset the counter\n",
        "1\n",         // a confirmation
        "launch v2\n", // two messages offer something, and one numbers after the other
        "2\n",         // approved by oneself, who is an administrator here
        "nonsense that nobody knows\n",
    );
    let (told, fine) = chat(Path::new("."), &["--as", "Eve"], lines);
    assert!(fine, "{told}");
    for expected in [
        "> greet\nHello:\n",
        "Who shall be greeted?",
        "> Ann\nHello:\nHello Ann, good to see you!",
        "Sent by Eve",
        "> 1\nGallery:\n[OK] Eve pressed the plain button.",
        "This sounds like success.",
        "The counter is 0.",
        "Eve asks to run launch: 0 of 1 approved.",
        "1. Withdraw",
        "2. Approve\n3. Deny (!)",
        "v2 is launched.",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    assert!(!told.contains('\u{1b}'), "nobody reads colours in a pipe: {told}");
}

#[test]
fn the_terminal_keeps_what_it_is_told_to_keep() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let bots = std::fs::canonicalize("bots").unwrap();
    let arguments = ["--bots", bots.to_str().unwrap(), "--bot", "ops", "--data", data.to_str().unwrap()];
    let (first, _) = chat(folder.path(), &arguments, "uptime\n");
    assert!(first.starts_with("> uptime\nOps:\nUp for "), "{first}");
    let (second, _) = chat(folder.path(), &arguments, "recent runs\n");
    assert!(second.starts_with("> recent runs\n") && second.contains("ops  uptime"), "{second}");
    let nobody = parlour(folder.path(), &["chat", "--bots", bots.to_str().unwrap(), "--bot", "opps"]).output().unwrap();
    let why = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert_eq!(
        (nobody.status.code(), why.as_str()),
        (Some(1), "parlour: there is no bot \"opps\"; there is gallery, hello, ops\n")
    );
    // Without a folder to keep it in nothing is left behind, not even where it was started.
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["data"]);
}
