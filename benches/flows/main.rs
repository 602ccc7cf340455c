//! Runs of ten steps: Parlour beside the least that is durable, and beside Node-RED. See `benches/README.md`.
//!
//! `cargo bench --bench flows -- --rounds 5 --seconds 3`
//!
//! `compare` starts the servers on one core and, for each short round, `drive` on the other, which starts runs and is the
//! service that their steps call; `bare` is the yardstick.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark is there to print, and no part of the server"
)]

use clap::{Parser, Subcommand};

mod bare;
mod compare;
mod drive;
#[path = "../process.rs"]
mod process;
mod server;
#[path = "../table.rs"]
mod table;

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
    /// The yardstick: ten calls, one after the other, and a durable row for each.
    Bare(bare::Settings),
    /// One round of runs against a server that is there.
    Drive(drive::Settings),
}

fn main() -> anyhow::Result<()> {
    let CommandLine { part, extent, .. } = CommandLine::parse();
    match part {
        None => compare::run(&extent),
        Some(Part::Bare(settings)) => bare::run(&settings),
        Some(Part::Drive(settings)) => drive::run(settings),
    }
}
