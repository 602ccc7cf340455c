//! Parlour beside a bare durable server, in one run: see `benches/README.md`.
//!
//! `cargo bench --bench load -- --rounds 5 --seconds 3`
//!
//! One program in three parts: `compare` starts the servers on one core and, for each short round, the generator on the
//! other; `bare` is the yardstick; `generate` says things and measures.

#![expect(clippy::print_stdout, reason = "a benchmark is there to print")]

use clap::{Parser, Subcommand};

mod bare;
mod compare;
mod generate;
#[path = "../process.rs"]
mod process;
mod server;
#[path = "../table.rs"]
mod table;
mod wire;

#[derive(Parser)]
struct CommandLine {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    extent: compare::Extent,
    /// Given by `cargo bench`.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Part {
    /// The yardstick: a bare web server with one durable row for each message.
    Bare(bare::Settings),
    /// One round of load against a server that runs.
    Generate(generate::Settings),
}

fn main() -> anyhow::Result<()> {
    let CommandLine { part, extent, .. } = CommandLine::parse();
    match part {
        None => compare::run(&extent),
        Some(Part::Bare(settings)) => bare::run(&settings),
        Some(Part::Generate(settings)) => generate::run(settings),
    }
}
