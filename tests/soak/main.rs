//! The soak: the real program killed at random moments under traffic, and an account of everything it acknowledged.
//!
//! `make soak` runs it. It is no part of `make test`: it takes minutes, on purpose.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the soak is a client that tells what it saw; the rules for the server's sources are not its own"
)]

mod chance;
mod crowd;
mod faults;
mod kills;
mod ledger;
mod people;
#[path = "../it/support/postgres.rs"]
mod postgres;
mod program;
mod runs;
mod slow;
mod trace;
mod waiting;
mod workers;
mod world;

/// A number of `make soak`'s environment, such as `PARLOUR_SOAK_KILLS=1000`.
fn knob(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is a number, not '{text}'")),
        Err(_) => default,
    }
}
