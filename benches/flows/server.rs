//! The servers that do the steps.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;

use crate::drive::STEPS;
use crate::process::{Server, pinned};

/// A kind of server, with its data.
pub(crate) enum Kind<'a> {
    Parlour { folder: &'a Path, key: String },
    Bare { folder: &'a Path },
    NodeRed { folder: &'a Path, program: PathBuf },
}

/// A document of ten steps as the others have it.
fn playbook(job: &str) -> String {
    let mut text = format!(
        "apiVersion: flow/v1\nkind: Playbook\nmetadata: {{name: {job}, version: \"1\"}}\n\
         inputs: {{sink: {{type: string}}, run: {{type: string}}}}\nsteps:\n"
    );
    for step in 1..=STEPS {
        text.push_str(&if job == "calls" || step == STEPS {
            format!(
                "  - {{id: s{step}, use: http.request, with: {{method: GET, \
                 url: \"${{{{ inputs.sink }}}}/step/{step}?run=${{{{ inputs.run }}}}\"}}}}\n"
            )
        } else {
            format!("  - {{id: s{step}, set: {{v{step}: \"${{{{ inputs.run }}}}\"}}}}\n")
        });
    }
    text
}

impl<'a> Kind<'a> {
    /// Makes Parlour's folder ready: two playbooks, no bots, and a key.
    pub(crate) fn parlour(folder: &'a Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder.join("playbooks"))?;
        fs::create_dir_all(folder.join("bots"))?;
        for job in ["calls", "values"] {
            fs::write(folder.join(format!("playbooks/{job}.yaml")), playbook(job))?;
        }
        let mut create = Command::new(env!("CARGO_BIN_EXE_parlour"));
        create.args(["key", "create", "--name", "bench", "--role", "user", "--data"]).arg(folder);
        let output = create.output()?;
        ensure!(output.status.success(), "no key was made: {}", String::from_utf8_lossy(&output.stderr));
        Ok(Self::Parlour { folder, key: String::from_utf8(output.stdout)?.trim().to_owned() })
    }

    /// Node-RED, when its packages are installed.
    pub(crate) fn node_red(folder: &'a Path) -> anyhow::Result<Option<Self>> {
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/flows/node-red");
        let program = home.join("node_modules/node-red/red.js");
        if !program.is_file() {
            return Ok(None);
        }
        Ok(Some(Self::NodeRed { folder, program }))
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Parlour { .. } => "Parlour",
            Self::Bare { .. } => "bare steps",
            Self::NodeRed { .. } => "Node-RED",
        }
    }

    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            Self::Parlour { key, .. } => Some(key),
            Self::Bare { .. } | Self::NodeRed { .. } => None,
        }
    }

    /// Starts the server on a free port; it may not answer yet.
    pub(crate) fn spawn(&self) -> anyhow::Result<Server> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let listen = address.to_string();
        let mut command = match self {
            Self::Bare { folder } => {
                let mut command = pinned(0, &std::env::current_exe()?);
                command.args(["bare", "--listen", &listen, "--database"]).arg(folder.join("bare.db"));
                command
            }
            Self::NodeRed { folder, program } => {
                let flows = program.ancestors().nth(3).unwrap_or(program).join("flows.mjs");
                let written = Command::new("node").arg(flows).arg(folder).arg(address.port().to_string()).status()?;
                ensure!(written.success(), "the flow was not written");
                let mut command = pinned(0, Path::new("node"));
                command.arg(program).arg("--userDir").arg(folder).arg("--settings").arg(folder.join("settings.js"));
                command
            }
            Self::Parlour { folder, .. } => {
                let mut command = pinned(0, Path::new(env!("CARGO_BIN_EXE_parlour")));
                command.args(["serve", "--listen", &listen, "--data"]).arg(folder);
                command.arg("--bots").arg(folder.join("bots")).env("PARLOUR_LOG__LEVEL", "warn");
                command.env("PARLOUR_PLAYBOOKS", format!("[{:?}]", folder.join("playbooks")));
                command.env("PARLOUR_FETCH__ALLOW_PRIVATE", "[\"127.0.0.0/8\"]");
                // All of the load comes with one key, as fast as it is answered.
                command.env("PARLOUR_RATE_LIMITS__ENABLED", "false");
                command
            }
        };
        Server::spawn(&mut command, &listen)
    }
}
