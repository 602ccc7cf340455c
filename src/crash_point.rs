//! Floor 1: named places at which a test lets the process die.
//!
//! Only debug builds can: there `PARLOUR_CRASH_POINT=store.committed:3` ends the process, without unwinding or
//! destructors, when it comes to that place for the third time; with `:listening` behind it, only what comes after the
//! server said its address is counted. In a release build a crash point is nothing.

/// Every place, in the order in which a message passes them.
pub const POINTS: [&str; 9] = [
    "socket.received",
    "store.queued",
    "store.begun",
    "store.worked",
    "store.committed",
    "store.published",
    "store.answered",
    "socket.acknowledging",
    "socket.sent",
];

/// Places that only a run passes which waits for a word, in their order.
pub const APPROVAL_POINTS: [&str; 5] =
    ["approval.asked", "approval.told", "approval.decided", "approval.beginning", "approval.begun"];

/// The places that only what comes from a chat outside, or leaves for one, passes; in its order.
pub const OUTSIDE: [&str; 5] =
    ["inbox.written", "inbox.acknowledged", "inbox.acted", "outbox.delivering", "outbox.delivered"];

/// The places that a run with steps passes, in its order.
pub const RUNS: [&str; 5] = ["step.claimed", "step.intended", "step.performed", "run.committing", "run.committed"];

/// Between the run of a schedule's time and the schedule's moving on.
pub const SCHEDULES: [&str; 1] = ["schedule.started"];

/// The places that a token passes which is got for a credential.
pub const TOKENS: [&str; 3] = ["token.asking", "token.answered", "token.kept"];

/// Whether the server has said its address.
static LISTENING: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// The server has said its address.
pub fn listening() {
    LISTENING.store(true, std::sync::atomic::Ordering::SeqCst);
}

/// The process is at this place.
#[cfg(not(debug_assertions))]
pub fn reached(_: &'static str) {}

/// The process is at this place, and may end here.
#[cfg(debug_assertions)]
pub fn reached(point: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Where to die, how often that place is passed before, and whether only what comes after the address counts.
    static WANTED: OnceLock<Option<(String, AtomicU32, bool)>> = OnceLock::new();

    let wanted = WANTED.get_or_init(|| {
        #[expect(clippy::disallowed_methods, reason = "no setting: it exists in debug builds only")]
        let text = std::env::var("PARLOUR_CRASH_POINT").ok()?;
        let (point, times) = text.split_once(':')?;
        let (times, listening) = times.strip_suffix(":listening").map_or((times, false), |times| (times, true));
        Some((point.to_owned(), AtomicU32::new(times.parse().ok()?), listening))
    });
    if let Some((wanted, left, listening)) = wanted
        && wanted == point
        && (!listening || LISTENING.load(Ordering::SeqCst))
        && left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        std::process::abort();
    }
}

/// Every place that a rotation of the vault's keys passes.
pub const VAULT_POINTS: [&str; 7] = [
    "vault.file_written",
    "vault.master_added",
    "vault.key_rewrapped",
    "vault.key_succeeded",
    "vault.value_resealed",
    "vault.retired_dropped",
    "vault.rotated",
];
