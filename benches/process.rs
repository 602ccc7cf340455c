//! A program as a process: on one core, looked at through `/proc`, ended with its value.

use std::fs;
use std::io::{BufReader, Result};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

/// Linux counts processor time in hundredths of a second for `/proc`, whatever its own clock does.
const TICK: Duration = Duration::from_millis(10);

/// The time a process has had on processors, user and system.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything; the fields are counted behind it.
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: u32 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok()).sum();
    Ok(TICK * ticks)
}

/// The memory a process has, in KiB.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    Ok(line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default())
}

/// A program on one core only, with as many open files as the system allows.
pub(crate) fn pinned(core: usize, program: &Path) -> Command {
    let mut command = Command::new("sh");
    let script = r#"ulimit -n "$(ulimit -Hn)"; exec taskset -c "$0" "$@""#;
    command.args(["-c", script, &core.to_string()]).arg(program);
    command
}

/// A server that runs; it ends with the value.
pub(crate) struct Server {
    pub(crate) child: Child,
    /// Open as long as the server runs, so that it can go on printing.
    pub(crate) _output: Option<BufReader<ChildStdout>>,
    pub(crate) address: String,
}

impl Server {
    /// One that may not answer yet, at HOST:PORT.
    pub(crate) fn spawn(command: &mut Command, address: &str) -> anyhow::Result<Self> {
        let child = command.stdout(Stdio::piped()).spawn().context("the server does not start")?;
        Ok(Self { child, _output: None, address: address.to_owned() })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
