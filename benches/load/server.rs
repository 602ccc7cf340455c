//! A server under test: started on the first core.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::json;

use crate::process::{Server, pinned};

/// The program this was built beside.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_parlour");

/// A kind of server, with its data.
pub(crate) enum Kind<'a> {
    Bare { folder: &'a Path },
    Parlour { program: &'a Path, folder: &'a Path, key: String },
    Hubot { folder: PathBuf },
}

impl<'a> Kind<'a> {
    /// Makes Parlour's folder ready: a bot with ten commands, and a key.
    pub(crate) fn parlour(program: &'a Path, folder: &'a Path) -> anyhow::Result<Self> {
        let bot = folder.join("bots/bench");
        fs::create_dir_all(&bot)?;
        let command = |n| {
            let say = format!("command {n}");
            json!({ "name": format!("command-{n}"), "intent": say, "examples": [say], "reply": format!("reply {n}") })
        };
        let commands: Vec<_> = (0..10).map(command).collect();
        // JSON is YAML.
        let manifest =
            json!({ "apiVersion": "bot/v1", "name": "bench", "description": "Replies", "commands": commands });
        fs::write(bot.join("bot.yaml"), manifest.to_string())?;
        let mut create = Command::new(program);
        create.args(["key", "create", "--name", "bench", "--role", "user", "--data"]).arg(folder);
        let output = create.output()?;
        ensure!(output.status.success(), "no key was made: {}", String::from_utf8_lossy(&output.stderr));
        Ok(Self::Parlour { program, folder, key: String::from_utf8(output.stdout)?.trim().to_owned() })
    }

    /// Hubot, when its packages are installed.
    pub(crate) fn hubot() -> Option<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/load/hubot");
        folder.join("node_modules/hubot").is_dir().then_some(Self::Hubot { folder })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Bare { .. } => "bare server",
            Self::Parlour { program, .. } if *program == Path::new(PROGRAM) => "Parlour",
            Self::Parlour { .. } => "other build",
            Self::Hubot { .. } => "Hubot",
        }
    }

    /// Whether it has a door for commands beside the web socket.
    pub(crate) fn takes_commands(&self) -> bool {
        !matches!(self, Self::Hubot { .. })
    }

    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            Self::Bare { .. } | Self::Hubot { .. } => None,
            Self::Parlour { key, .. } => Some(key),
        }
    }

    fn command(&self, listen: &str) -> anyhow::Result<Command> {
        Ok(match self {
            Self::Bare { folder } => {
                let mut command = pinned(0, &std::env::current_exe()?);
                command.args(["bare", "--listen", listen, "--database"]).arg(folder.join("bare.db"));
                command
            }
            Self::Hubot { folder } => {
                let mut command = pinned(0, Path::new("node"));
                command.arg(folder.join("hubot.mjs")).arg(listen);
                command
            }
            Self::Parlour { program, folder, .. } => {
                let mut command = pinned(0, program);
                command.args(["serve", "--listen", listen, "--data"]).arg(folder).env("PARLOUR_LOG__LEVEL", "warn");
                command.arg("--bots").arg(folder.join("bots"));
                // All of the load comes with one key, as fast as it is answered.
                command.env("PARLOUR_WS__FRAMES_PER_SECOND", "0").env("PARLOUR_WS__SOCKETS_PER_USER", "0");
                command.env("PARLOUR_RATE_LIMITS__ENABLED", "false");
                command
            }
        })
    }

    /// Starts the server; `address` is HOST:PORT. It may not answer yet.
    pub(crate) fn spawn(&self, address: &str) -> anyhow::Result<Server> {
        Server::spawn(&mut self.command(address)?, address)
    }

    /// Starts the server on a free port and waits until it says that it is there.
    pub(crate) fn start(&self) -> anyhow::Result<Server> {
        let mut server = self.spawn("127.0.0.1:0")?;
        let mut line = String::new();
        let mut output = BufReader::new(server.child.stdout.take().context("its output")?);
        output.read_line(&mut line)?;
        let address = line.trim().rsplit_once("http://").with_context(|| format!("no address in {line:?}"))?.1;
        server.address = address.to_owned();
        server._output = Some(output);
        Ok(server)
    }
}
