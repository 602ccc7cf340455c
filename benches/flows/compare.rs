//! All servers in turn, in short rounds, so that what else the machine does meets them alike.

use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::drive::{Round, STEPS};
use crate::process::{Server, pinned};
use crate::server::Kind;
use crate::table::{Figures, head, tell};

#[derive(clap::Args)]
pub(crate) struct Extent {
    /// Rounds of each server; the median is told.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long one round measures.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Runs at the same time.
    #[arg(long, default_value_t = 20)]
    at_once: usize,
}

pub(crate) fn run(extent: &Extent) -> anyhow::Result<()> {
    let folders = (tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?);
    let mut kinds = vec![Kind::parlour(folders.0.path())?, Kind::Bare { folder: folders.1.path() }];
    match Kind::node_red(folders.2.path())? {
        Some(node_red) => kinds.push(node_red),
        None => println!(
            "Node-RED is left out: `npm ci` in benches/flows/node-red installs it, `make bench` does so itself\n"
        ),
    }
    println!("{} rounds of {} s; median (least … most)\n", extent.rounds, extent.seconds);
    head(kinds.iter().map(Kind::name));

    let (mut times, mut rest) = (vec![Vec::new(); kinds.len()], vec![Vec::new(); kinds.len()]);
    let mut servers = Vec::new();
    for round in 0..3 {
        for (place, kind) in kinds.iter().enumerate() {
            let begun = Instant::now();
            let server = kind.spawn()?;
            let first = drive(extent, kind, &server, &["calls", "--first"])?;
            times[place].push(begun.elapsed().as_secs_f64() * 1e3);
            rest[place].push(first.memory);
            if round == 2 {
                servers.push(server);
            }
        }
    }
    let at_once = extent.at_once.to_string();
    for (job, what) in [("calls", "10 steps that call"), ("values", "9 that set, 1 that calls")] {
        let many = rounds(extent, &kinds, &servers, &[job, "--at-once", &at_once])?;
        tell(&format!("runs/s, {what}"), &each(&many, |round| round.rate));
        tell(&format!("steps/s, {what}"), &each(&many, |round| round.rate * STEPS as f64));
        tell("processor time of a run, µs", &each(&many, |round| round.cpu));
        tell("request to last call, p99, ms", &each(&many, |round| round.p99));
        let one = rounds(extent, &kinds, &servers, &[job, "--at-once", "1"])?;
        tell("one run alone: request to first call, ms", &each(&one, |round| round.first));
        tell("one run alone: request to last call, ms", &each(&one, |round| round.p50));
        if job == "values" {
            tell("memory after all of it, MiB", &each(&one, |round| round.memory));
        }
    }
    tell("start to the end of the first run, ms", &times);
    tell("memory after the first run, MiB", &rest);
    Ok(())
}

/// One figure of every round of every server.
fn each(rounds: &[Vec<Round>], figure: impl Fn(&Round) -> f64) -> Vec<Figures> {
    rounds.iter().map(|rounds| rounds.iter().map(&figure).collect()).collect()
}

/// Rounds of one job against all servers, in turn.
fn rounds(extent: &Extent, kinds: &[Kind<'_>], servers: &[Server], job: &[&str]) -> anyhow::Result<Vec<Vec<Round>>> {
    let mut rounds: Vec<Vec<Round>> = kinds.iter().map(|_| Vec::new()).collect();
    for _ in 0..extent.rounds {
        for (of_one, (kind, server)) in rounds.iter_mut().zip(kinds.iter().zip(servers)) {
            of_one.push(drive(extent, kind, server, job)?);
        }
    }
    Ok(rounds)
}

/// One round, by a driver on the other core.
fn drive(extent: &Extent, kind: &Kind<'_>, server: &Server, job: &[&str]) -> anyhow::Result<Round> {
    let mut driver = pinned(1, &std::env::current_exe()?);
    driver.arg("drive").args(job).args(["--address", &server.address, "--pid", &server.pid().to_string()]);
    driver.args(["--seconds", &extent.seconds.to_string()]);
    if let Some(key) = kind.key() {
        driver.args(["--key", key]);
    }
    let output = driver.output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the driver failed against {}: {told}", kind.name());
    serde_json::from_slice(&output.stdout).context("what the driver said")
}
