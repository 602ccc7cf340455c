//! All servers in turn, in short rounds, so that what else the machine does meets them alike.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::generate::Round;
use crate::process::{Server, pinned, resident};
use crate::server::{Kind, PROGRAM};
use crate::table::{Figures, head, tell};

#[derive(clap::Args)]
pub(crate) struct Extent {
    /// Rounds of each server; the median is told.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long one round measures.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Sockets for the memory of one.
    #[arg(long, default_value_t = 2000)]
    sockets: usize,
    /// Speak the plain form of Parlour's web socket instead of `parlour.v1`.
    #[arg(long)]
    plain: bool,
    /// Another build of Parlour that takes part, to see what a change is worth.
    #[arg(long)]
    beside: Option<PathBuf>,
}

pub(crate) fn run(extent: &Extent) -> anyhow::Result<()> {
    let folders = (tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?);
    let mut kinds = vec![Kind::parlour(Path::new(PROGRAM), folders.0.path())?, Kind::Bare { folder: folders.1.path() }];
    if let Some(program) = &extent.beside {
        kinds.push(Kind::parlour(program, folders.2.path())?);
    }
    match Kind::hubot() {
        Some(hubot) => kinds.push(hubot),
        None => {
            println!("Hubot is left out: `npm ci` in benches/load/hubot installs it, `make bench` does so itself\n")
        }
    }
    println!("{} rounds of {} s; median (least … most)\n", extent.rounds, extent.seconds);
    head(kinds.iter().map(Kind::name));
    let servers = start(&kinds)?;
    for connections in ["100", "1000"] {
        let rounds = rounds(extent, &kinds, &servers, &["talk", "--connections", connections])?;
        tell(&format!("round trips/s, {connections} sockets"), &each(&rounds, |round| round.rate));
        tell(&format!("processor time each, µs, {connections} sockets"), &each(&rounds, |round| round.cpu));
        tell(&format!("p99 when saturated, ms, {connections} sockets"), &each(&rounds, |round| round.p99));
    }
    let paced = rounds(extent, &kinds, &servers, &["paced", "--connections", "100", "--rate", "500"])?;
    tell("p50 at 500/s, ms", &each(&paced, |round| round.p50));
    tell("p99 at 500/s, ms", &each(&paced, |round| round.p99));
    let commands = rounds(extent, &kinds, &servers, &["command", "--connections", "100"])?;
    tell("POST /command/s, 100 connections", &each(&commands, |round| round.rate));
    tell("processor time each, µs", &each(&commands, |round| round.cpu));
    drop(servers);

    let (times, rest) = starts(extent, &kinds)?;
    tell("start to first reply, ms", &times);
    tell("memory at rest, MiB", &rest);
    let sockets = extent.sockets.to_string();
    for (what, job) in [
        ("memory of an idle socket, KiB", &["idle", "--connections", &sockets][..]),
        ("the same, following a conversation", &["idle", "--follow", "--connections", &sockets]),
    ] {
        let servers = start(&kinds)?;
        let extent = Extent { rounds: 1, beside: None, ..*extent };
        tell(what, &each(&rounds(&extent, &kinds, &servers, job)?, |round| round.memory));
    }
    Ok(())
}

/// One figure of every round of every server.
fn each(rounds: &[Vec<Round>], figure: impl Fn(&Round) -> f64) -> Vec<Figures> {
    rounds.iter().map(|rounds| rounds.iter().map(&figure).collect()).collect()
}

fn start(kinds: &[Kind<'_>]) -> anyhow::Result<Vec<Server>> {
    kinds.iter().map(Kind::start).collect()
}

/// Rounds of one job against all servers, in turn; none for a server that has no such door.
fn rounds(extent: &Extent, kinds: &[Kind<'_>], servers: &[Server], job: &[&str]) -> anyhow::Result<Vec<Vec<Round>>> {
    let mut rounds: Vec<Vec<Round>> = kinds.iter().map(|_| Vec::new()).collect();
    for _ in 0..extent.rounds {
        for (of_one, (kind, server)) in rounds.iter_mut().zip(kinds.iter().zip(servers)) {
            if job[0] != "command" || kind.takes_commands() {
                of_one.push(generate(extent, kind, server, job)?);
            }
        }
    }
    Ok(rounds)
}

/// One round, by a generator on the other core.
fn generate(extent: &Extent, kind: &Kind<'_>, server: &Server, job: &[&str]) -> anyhow::Result<Round> {
    let mut generator = pinned(1, &std::env::current_exe()?);
    generator.arg("generate").args(job).args(["--address", &server.address, "--pid", &server.pid().to_string()]);
    generator.args(["--seconds", &extent.seconds.to_string()]);
    if let Some(key) = kind.key() {
        generator.args(["--key", key]);
    }
    if extent.plain {
        generator.arg("--plain");
    }
    let output = generator.output()?;
    ensure!(
        output.status.success(),
        "the generator failed against {}: {}",
        kind.name(),
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).context("what the generator said")
}

/// Milliseconds from the start to the first reply with the database of the rounds before, and MiB at rest after it.
fn starts(extent: &Extent, kinds: &[Kind<'_>]) -> anyhow::Result<(Vec<Figures>, Vec<Figures>)> {
    let (mut times, mut rest) = (vec![Vec::new(); kinds.len()], vec![Vec::new(); kinds.len()]);
    for _ in 0..extent.rounds.max(3) {
        for (place, kind) in kinds.iter().enumerate() {
            let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
            let begun = Instant::now();
            let server = kind.spawn(&address)?;
            generate(extent, kind, &server, &["first"])?;
            times[place].push(begun.elapsed().as_secs_f64() * 1e3);
            rest[place].push(resident(server.pid())? as f64 / 1024.0);
        }
    }
    Ok((times, rest))
}
