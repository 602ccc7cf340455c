//! Both servers in turn, in short rounds, so that what else the machine does meets both alike.

use std::net::TcpListener;
use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::generate::Round;
use crate::server::{Kind, Server, pinned, resident};

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
}

/// What one server came to in each round.
type Figures = Vec<f64>;

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

fn spread(figures: &[f64]) -> String {
    let (least, most) = figures.iter().fold((f64::MAX, f64::MIN), |(least, most), f| (least.min(*f), most.max(*f)));
    let digits = if most < 100.0 { 2 } else { 0 };
    format!("{:.digits$} ({least:.digits$} … {most:.digits$})", median(figures))
}

/// Prints a line: both medians with least and most, and the median of the rounds' ratios.
fn tell(what: &str, parlour: &Figures, bare: &Figures) {
    let ratios: Vec<f64> = parlour.iter().zip(bare).map(|(parlour, bare)| parlour / bare).collect();
    println!("| {what:<42} | {:<26} | {:<26} | {:>5.2} |", spread(parlour), spread(bare), median(&ratios));
}

pub(crate) fn run(extent: &Extent) -> anyhow::Result<()> {
    let folders = (tempfile::tempdir()?, tempfile::tempdir()?);
    let kinds = [Kind::parlour(folders.0.path())?, Kind::Bare { folder: folders.1.path() }];
    println!("{} rounds of {} s; median (least … most); the ratio is Parlour / bare\n", extent.rounds, extent.seconds);
    println!("| {:<42} | {:<26} | {:<26} | ratio |", "figure", "Parlour", "bare server");
    println!("|{:-<44}|{:-<28}|{:-<28}|------:|", "", "", "");
    let servers = start(&kinds)?;
    for connections in ["100", "1000"] {
        let job = ["talk", "--connections", connections];
        let [parlour, bare] = rounds(extent, &kinds, &servers, &job)?;
        tell(&format!("round trips/s, {connections} sockets"), &rate(&parlour), &rate(&bare));
        tell(&format!("processor time each, µs, {connections} sockets"), &cpu(&parlour), &cpu(&bare));
        tell(&format!("p99 when saturated, ms, {connections} sockets"), &p99(&parlour), &p99(&bare));
    }
    let [parlour, bare] = rounds(extent, &kinds, &servers, &["paced", "--connections", "100", "--rate", "500"])?;
    let p50 = |rounds: &[Round]| rounds.iter().map(|round| round.p50).collect();
    tell("p50 at 500/s, ms", &p50(&parlour), &p50(&bare));
    tell("p99 at 500/s, ms", &p99(&parlour), &p99(&bare));
    let [parlour, bare] = rounds(extent, &kinds, &servers, &["command", "--connections", "100"])?;
    tell("POST /command/s, 100 connections", &rate(&parlour), &rate(&bare));
    tell("processor time each, µs", &cpu(&parlour), &cpu(&bare));
    drop(servers);

    let [starts, rest] = starts(extent, &kinds)?;
    tell("start to first reply, ms", &starts[0], &starts[1]);
    tell("memory at rest, MiB", &rest[0], &rest[1]);
    let sockets = extent.sockets.to_string();
    for (what, job) in [
        ("memory of an idle socket, KiB", &["idle", "--connections", &sockets][..]),
        ("the same, following a conversation", &["idle", "--follow", "--connections", &sockets]),
    ] {
        let servers = start(&kinds)?;
        let extent = Extent { rounds: 1, ..*extent };
        let [parlour, bare] = rounds(&extent, &kinds, &servers, job)?;
        let memory = |rounds: &[Round]| rounds.iter().map(|round| round.memory).collect();
        tell(what, &memory(&parlour), &memory(&bare));
    }
    Ok(())
}

fn rate(rounds: &[Round]) -> Figures {
    rounds.iter().map(|round| round.rate).collect()
}

fn cpu(rounds: &[Round]) -> Figures {
    rounds.iter().map(|round| round.cpu).collect()
}

fn p99(rounds: &[Round]) -> Figures {
    rounds.iter().map(|round| round.p99).collect()
}

fn start(kinds: &[Kind<'_>; 2]) -> anyhow::Result<[Server; 2]> {
    Ok([kinds[0].start()?, kinds[1].start()?])
}

/// Rounds of one job against both servers, in turn.
fn rounds(
    extent: &Extent,
    kinds: &[Kind<'_>; 2],
    servers: &[Server; 2],
    job: &[&str],
) -> anyhow::Result<[Vec<Round>; 2]> {
    let mut rounds = [Vec::new(), Vec::new()];
    for _ in 0..extent.rounds {
        for (of_one, (kind, server)) in rounds.iter_mut().zip(kinds.iter().zip(servers)) {
            of_one.push(generate(extent, kind, server, job)?);
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
    ensure!(output.status.success(), "the generator failed: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("what the generator said")
}

/// Milliseconds from the start to the first reply with the database of the rounds before, and MiB at rest after it.
fn starts(extent: &Extent, kinds: &[Kind<'_>; 2]) -> anyhow::Result<[[Figures; 2]; 2]> {
    let (mut times, mut rest) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
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
    Ok([times, rest])
}
