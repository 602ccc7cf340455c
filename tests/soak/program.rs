//! The program as a process: started, killed and started again at the same address.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::chance::Chance;

pub(crate) struct Program {
    data: PathBuf,
    database: Option<String>,
    port: u16,
    settings: Vec<(&'static str, String)>,
    child: Option<(Child, BufReader<ChildStdout>)>,
}

impl Program {
    /// Not yet running. `database` is a PostgreSQL URL; without it the database is a file in `data`.
    pub(crate) fn new(data: &Path, database: Option<&str>) -> Self {
        let database = database.map(str::to_owned);
        Self { data: data.to_owned(), database, port: free_port(), settings: Vec::new(), child: None }
    }

    /// With a setting of the environment.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.settings.push((name, value.into()));
        self
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn command(&self, wrapper: &[&str], arguments: &[&str]) -> Command {
        let program = std::env::var_os("PARLOUR_SOAK_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_parlour").into());
        let mut command = match wrapper {
            [] => Command::new(program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        command.args(arguments).arg("--data").arg(&self.data);
        command.args(self.database.as_ref().map(|url| format!("--database={url}")));
        command
    }

    /// Starts it and waits until it answers. Fails the run when it does not come up: recovery is part of the promise.
    pub(crate) fn start(&mut self) {
        self.start_under(&[]);
    }

    /// The same by another program that becomes it, such as a tracer.
    pub(crate) fn start_under(&mut self, wrapper: &[&str]) {
        let listen = format!("127.0.0.1:{}", self.port);
        let mut command = self.command(wrapper, &["serve", "--listen", &listen, "--bots", "bots"]);
        // Many hasty clients with one key are the point of it.
        command.env("PARLOUR_WS__FRAMES_PER_SECOND", "0").env("PARLOUR_WS__SOCKETS_PER_USER", "0");
        command.env("PARLOUR_RATE_LIMITS__ENABLED", "false");
        command.env("PARLOUR_PLAYBOOKS", "[\"tests/fixtures/playbooks\"]").env("PARLOUR_FLOWS__LEASE", "1s");
        command.env("PARLOUR_FETCH__ALLOW_PRIVATE", "[\"127.0.0.0/8\"]");
        command.envs(self.settings.iter().map(|(name, value)| (*name, value.as_str())));
        command.env("PARLOUR_LOG__LEVEL", "off").stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut output = BufReader::new(child.stdout.take().expect("its output"));
        let mut address = String::new();
        output.read_line(&mut address).expect("its first line");
        assert!(address.contains(&self.url()), "it says its address, not {address:?}");
        self.child = Some((child, output));
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").0.id()
    }

    /// Waits until it has died by itself, in a way that is no end in order.
    pub(crate) fn died(&mut self) {
        let (mut child, _) = self.child.take().expect("it runs");
        assert!(!child.wait().expect("it is gone").success());
    }

    /// `kill -9`
    pub(crate) fn kill(&mut self) {
        if let Some((mut child, _)) = self.child.take() {
            child.kill().expect("it is killed");
            child.wait().expect("it is gone");
        }
    }

    /// Asks it to stop and waits until it has, and until whoever else writes to its output has ended.
    pub(crate) fn stop(&mut self) {
        let (mut child, mut output) = self.child.take().expect("it runs");
        let asked = Command::new("kill").arg(child.id().to_string()).status().expect("kill runs");
        assert!(asked.success());
        output.read_to_string(&mut String::new()).expect("the rest of its output");
        assert!(child.wait().expect("it ends").success());
    }

    /// An API key, made beside the server.
    pub(crate) fn key(&self) -> String {
        let output = self.command(&[], &["key", "create", "--name", "soak", "--role", "user"]).output();
        let output = output.expect("a key is made");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A free port below those that the system gives to clients: while the server is down, a client that tries again from
/// its very port would otherwise be connected to itself.
fn free_port() -> u16 {
    let mut chance = Chance::new(u64::from(std::process::id()), u64::from(getrandom::u32().expect("random numbers")));
    loop {
        let port = 20_000 + u16::try_from(chance.below(10_000)).expect("a port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
