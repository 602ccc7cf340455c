//! Scripts run in a process of their own: this program once more, without environment, files or network to reach for
//! (`confine`), and killed when its time is over.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rquickjs::{CatchResultExt as _, CaughtError, Context, Ctx, Runtime};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use crate::engine::plan::Fault;

/// The subcommand that the process is started with.
pub const SUBCOMMAND: &str = "script-worker";

/// The longest result, in bytes of JSON.
const LONGEST: u64 = 1024 * 1024;

/// What a process needs beside the script's own time to come up.
const START: Duration = Duration::from_secs(5);

/// How scripts are run here.
pub struct Scripts {
    memory: u64,
    program: Option<PathBuf>,
}

impl Scripts {
    pub fn new(memory: u64) -> Self {
        Self { memory, program: std::env::current_exe().ok() }
    }

    /// With another program as worker.
    pub fn with_program(mut self, program: Option<PathBuf>) -> Self {
        self.program = program.or(self.program);
        self
    }

    /// Runs a script with the members of `scope` as its globals; what it returns is its result.
    pub async fn run(&self, source: &str, scope: &Value, timeout: Duration) -> Result<Value, Fault> {
        let broken = |error: std::io::Error| Fault {
            retryable: true,
            ..Fault::new("script_unavailable", format!("the process for scripts cannot be used: {error}"))
        };
        let program = self.program.as_ref().ok_or_else(|| broken(std::io::Error::other("there is no program")))?;
        let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let mut child = Command::new(program)
            .args([SUBCOMMAND, &self.memory.to_string(), &millis.to_string()])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(broken)?;
        let request = json!({ "source": source, "scope": scope, "memory": self.memory, "millis": millis }).to_string();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let talk = async {
            if let Some(mut stdin) = stdin {
                // A process that has died reads no further; what it answered, if anything, counts.
                let _ = stdin.write_all(request.as_bytes()).await;
            }
            let mut answer = Vec::new();
            if let Some(stdout) = stdout {
                stdout.take(LONGEST + 1).read_to_end(&mut answer).await?;
            }
            Ok::<_, std::io::Error>(answer)
        };
        let answer = tokio::time::timeout(timeout + START, talk).await;
        let Ok(answer) = answer else {
            let _ = child.kill().await;
            return Err(Fault::new("timeout", format!("the script took longer than {millis} ms")));
        };
        let answer = answer.map_err(broken)?;
        let _ = child.kill().await;
        if answer.len() as u64 > LONGEST {
            return Err(Fault::new("result_too_large", "the script returns more than 1 MiB"));
        }
        let answer: Value = serde_json::from_slice(&answer).map_err(|_| {
            Fault::new("script_failed", "the process of the script died; it may have wanted too much memory or time")
        })?;
        match answer.get("result") {
            Some(result) => Ok(result.clone()),
            None => {
                let code = answer["code"].as_str().unwrap_or("script_failed").to_owned();
                Err(Fault::new(code, answer["message"].as_str().unwrap_or("the script failed")))
            }
        }
    }
}

/// The process: confined before it reads a byte, it answers one request. `memory` is in bytes.
pub fn serve(
    memory: u64,
    millis: u64,
    input: impl std::io::Read,
    mut output: impl std::io::Write,
) -> std::io::Result<()> {
    let answer = match super::confine::confine(memory, Duration::from_millis(millis)) {
        Ok(()) => {
            let mut request = Vec::new();
            let mut input = input;
            input.read_to_end(&mut request)?;
            work(&request)
        }
        Err(error) => {
            let message = format!("the process for scripts cannot be confined here: {error}");
            json!({ "code": "script_unavailable", "message": message }).to_string()
        }
    };
    output.write_all(answer.as_bytes())
}

/// One request in, one answer out, both JSON.
pub fn work(request: &[u8]) -> String {
    let failed = |code: &str, message: String| json!({ "code": code, "message": message }).to_string();
    let Ok(request) = serde_json::from_slice::<Value>(request) else {
        return failed("script_failed", "the request cannot be read".to_owned());
    };
    let millis = request["millis"].as_u64().unwrap_or(1000);
    let memory = request["memory"].as_u64().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(64 * 1024 * 1024);
    match evaluate(
        request["source"].as_str().unwrap_or_default(),
        &request["scope"],
        Duration::from_millis(millis),
        memory,
    ) {
        Ok(result) => format!("{{\"result\":{result}}}"),
        Err((code, message)) => failed(code, message),
    }
}

/// The result as JSON.
fn evaluate(source: &str, scope: &Value, time: Duration, memory: usize) -> Result<String, (&'static str, String)> {
    let unusable = |error: rquickjs::Error| ("script_failed", error.to_string());
    let runtime = Runtime::new().map_err(unusable)?;
    runtime.set_memory_limit(memory);
    runtime.set_max_stack_size(512 * 1024);
    let began = Instant::now();
    runtime.set_interrupt_handler(Some(Box::new(move || began.elapsed() > time)));
    let context = Context::full(&runtime).map_err(unusable)?;
    context.with(|ctx| {
        let told = |error: CaughtError<'_>| {
            if began.elapsed() > time {
                return ("timeout", format!("the script took longer than {} ms", time.as_millis()));
            }
            match error {
                CaughtError::Exception(exception) => {
                    let message = exception.message().unwrap_or_default();
                    let line = exception.stack().and_then(|stack| line_of(&stack));
                    let line = line.map(|line| format!(" (line {line})")).unwrap_or_default();
                    ("script_failed", format!("{message}{line}"))
                }
                CaughtError::Value(value) => (
                    "script_failed",
                    value
                        .as_string()
                        .and_then(|text| text.to_string().ok())
                        .unwrap_or_else(|| "the script threw a value".to_owned()),
                ),
                CaughtError::Error(error) => ("script_failed", error.to_string()),
            }
        };
        globals(&ctx, scope).catch(&ctx).map_err(told)?;
        // In one line with the first of the script, so that lines are counted as they are written.
        let wrapped = format!("(function () {{ \"use strict\"; {source}\n}})()");
        let value: rquickjs::Value<'_> = ctx.eval(wrapped).catch(&ctx).map_err(told)?;
        if value.is_promise() {
            return Err(("script_failed", "a script returns its result, not a promise".to_owned()));
        }
        let json = ctx.json_stringify(value).catch(&ctx).map_err(told)?;
        match json {
            Some(text) => text.to_string().map_err(unusable),
            None => Ok("null".to_owned()),
        }
    })
}

fn globals<'js>(ctx: &Ctx<'js>, scope: &Value) -> rquickjs::Result<()> {
    let globals = ctx.globals();
    for (name, value) in scope.as_object().into_iter().flatten() {
        globals.set(name.as_str(), ctx.json_parse(value.to_string())?)?;
    }
    // As workflows of the integration layer call them.
    if let Some(inputs) = scope.get("inputs") {
        globals.set("input", ctx.json_parse(inputs.to_string())?)?;
    }
    if let Some(Value::Object(steps)) = scope.get("steps") {
        let outputs: Value = steps.iter().map(|(id, step)| (id.clone(), step["output"].clone())).collect();
        globals.set("variables", ctx.json_parse(outputs.to_string())?)?;
    }
    Ok(())
}

/// The first line in a trace of the script itself.
fn line_of(stack: &str) -> Option<u32> {
    let place = stack.lines().find_map(|line| line.split("eval_script:").nth(1))?;
    place.split(':').next()?.trim_end_matches(')').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(source: &str, scope: &Value) -> Value {
        let request = json!({ "source": source, "scope": scope, "millis": 300, "memory": 16 * 1024 * 1024 });
        serde_json::from_str(&work(request.to_string().as_bytes())).unwrap()
    }

    #[test]
    fn a_script_gets_values_and_returns_one() {
        let scope = json!({ "inputs": { "n": [1, 2, 3] }, "steps": { "a": { "output": { "x": "y" } } } });
        assert_eq!(
            run("return {sum: inputs.n.reduce((a, b) => a + b), x: variables.a.x}", &scope),
            json!({ "result": { "sum": 6, "x": "y" } })
        );
        assert_eq!(run("const x = 1", &scope), json!({ "result": null }));
        assert_eq!(run("return input.n.length", &scope)["result"], 3);
    }

    #[test]
    fn what_a_script_must_not_do_ends_it() {
        for (source, code, part) in [
            ("return nothing.there", "script_failed", "nothing"),
            ("throw new Error('no')", "script_failed", "no"),
            ("throw 'text'", "script_failed", "text"),
            ("return (", "script_failed", ""),
            ("for (;;) {}", "timeout", "300 ms"),
            ("const a = []; for (;;) a.push(new Uint8Array(4000000))", "script_failed", ""),
            ("function f() { return f() + 1 } return f()", "script_failed", ""),
            ("return Promise.resolve(1)", "script_failed", "promise"),
            ("return require('fs')", "script_failed", "require"),
            ("return fetch('http://example.com')", "script_failed", "fetch"),
            ("return process.env", "script_failed", "process"),
            ("return std.open('/etc/passwd')", "script_failed", "std"),
        ] {
            let answer = run(source, &json!({}));
            assert_eq!(answer["code"], code, "{source}: {answer}");
            assert!(answer["message"].as_str().unwrap().contains(part), "{source}: {answer}");
        }
    }
}
