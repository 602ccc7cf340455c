//! The real program as a process of its own, that a test may kill.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::Value;

use super::server::Client;

pub(crate) struct Process {
    child: Child,
    pub(crate) url: String,
    pub(crate) link: String,
}

impl Process {
    pub(crate) fn start(data: &Path, database: Option<&str>) -> Self {
        Self::start_with(data, database, &[]).expect("the program says its address and its sign-in link")
    }

    /// The same with more environment; `None` when it dies before it has said where it is.
    pub(crate) fn start_with(data: &Path, database: Option<&str>, environment: &[(&str, &str)]) -> Option<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_parlour"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        command.args(database.map(|url| format!("--database={url}"))).envs(environment.iter().copied());
        // Its clients are hastier than people.
        command.env("PARLOUR_WS__FRAMES_PER_SECOND", "0").stdout(Stdio::piped()).stderr(Stdio::null());
        command.env("PARLOUR_RATE_LIMITS__ENABLED", "false");
        let mut child = command.spawn().expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
        let mut addresses = lines.filter_map(|line| line.split(' ').next_back().map(str::to_owned));
        let (url, link) = (addresses.next(), addresses.next());
        match url.zip(link) {
            Some((url, link)) => Some(Self { child, url, link }),
            None => {
                child.wait().expect("it is gone");
                None
            }
        }
    }

    /// `kill -9`
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it is gone");
    }

    /// Asks it to stop, and waits until it has: what was under way is finished then.
    pub(crate) fn stop(&mut self) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).expect("it is asked to stop");
        self.child.wait().expect("it is gone");
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.child.wait().expect("it is gone")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An API key with the role `user`, made beside the server.
pub(crate) fn key(data: &Path, database: Option<&str>) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlour"));
    command.args(["key", "create", "--name", "ledger", "--role", "user", "--data"]).arg(data);
    command.args(database.map(|url| format!("--database={url}")));
    let output = command.output().expect("a key is made");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// All events of a conversation.
pub(crate) async fn whole_log(program: &Client, session: &str) -> Vec<Value> {
    let mut events = Vec::new();
    loop {
        let page =
            program.get(&format!("/api/session/{session}/events?after={}&limit=500", events.len())).await.expect(200);
        events.extend(page["events"].as_array().expect("events").iter().cloned());
        if page["limited"] == false {
            return events;
        }
    }
}
