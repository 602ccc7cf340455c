//! The process that runs a script is shut in before it reads a byte of it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

const MEMORY: u64 = 16 * 1024 * 1024;

fn worker(millis: u64) -> Child {
    Command::new(env!("CARGO_BIN_EXE_parlour"))
        .args(["script-worker", &MEMORY.to_string(), &millis.to_string()])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts")
}

fn answer(mut child: Child, source: &str, millis: u64) -> Value {
    let request = json!({ "source": source, "scope": {}, "memory": MEMORY, "millis": millis });
    child.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

#[test]
fn the_process_of_a_script_has_nothing_to_reach_for() {
    let mut child = worker(60_000);
    let of = |what: &str| fs::read_to_string(format!("/proc/{}/{what}", child.id())).expect("it runs");
    let field = |name: &str| {
        let status = of("status");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the field");
        line.trim().to_owned()
    };
    // It waits for its request, confined.
    while field("Seccomp:") != "2" {
        std::thread::yield_now();
    }
    assert_eq!((field("NoNewPrivs:").as_str(), field("Threads:").as_str()), ("1", "1"));
    let limits = of("limits");
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect("the limit");
        let mut words = line.split_whitespace();
        (words.next().unwrap().to_owned(), words.next().unwrap().to_owned())
    };
    for (name, value) in [
        ("Max cpu time", "62"),
        ("Max file size", "0"),
        ("Max core file size", "0"),
        ("Max processes", "0"),
        ("Max open files", "3"),
    ] {
        assert_eq!(limit(name), (value.to_owned(), value.to_owned()), "{name}");
    }
    let space: u64 = limit("Max address space").0.parse().expect("not unlimited");
    assert!(space < 1024 * 1024 * 1024, "{space}");
    assert_eq!(of("environ"), "");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_confined_script_still_does_its_work() {
    assert_eq!(answer(worker(5000), "return [1, 2].map(n => n * 2)", 5000), json!({ "result": [2, 4] }));
    let date = "return [new Date(0).getHours(), JSON.stringify(new Date(0)), typeof Math.random()]";
    assert_eq!(answer(worker(5000), date, 5000)["result"], json!([0, "\"1970-01-01T00:00:00.000Z\"", "number"]));
    let big = "const a = []; for (let n = 0; n < 100000; n++) a.push('x'.repeat(50) + n); return a.length";
    assert_eq!(answer(worker(5000), big, 5000), json!({ "result": 100_000 }));
    let greedy = "const a = []; for (;;) a.push(new Uint8Array(4000000))";
    assert_eq!(answer(worker(5000), greedy, 5000)["code"], "script_failed");
    // Whatever does not let the language stop it is ended by the system.
    assert_eq!(answer(worker(200), "for (;;) {}", 200)["code"], "timeout");
}
