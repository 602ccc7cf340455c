//! What a write is: a piece of work run inside a transaction, possibly more than once, acknowledged after the commit.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::query::{Connection, Failure, Query, Row};
use crate::bus::Frame;
use crate::model::{Error, Kind, Result};

/// A unit of writing. It must depend on nothing but its own fields and the database, since it may run again: when a
/// group is dissolved, or when PostgreSQL saw two of them collide.
pub(super) trait Work: Send + Sync + 'static {
    type Output: Send + 'static;

    fn run(&self, transaction: &mut Transaction<'_>) -> impl Future<Output = Result<Self::Output>> + Send;
}

/// An open transaction, and what it has to announce once it is committed.
pub(super) struct Transaction<'c> {
    connection: Connection<'c>,
    /// Whether anything was written: work that fails before that leaves nothing behind.
    wrote: bool,
    frames: Vec<Frame>,
    /// Whether any webhook listens.
    is_heard: bool,
}

impl<'c> Transaction<'c> {
    pub(super) fn new(connection: Connection<'c>, is_heard: bool) -> Self {
        Self { connection, wrote: false, frames: Vec::new(), is_heard }
    }

    pub(super) fn is_heard(&self) -> bool {
        self.is_heard
    }

    /// Reads; use [`Transaction::write`] and [`Transaction::write_returning`] for anything else.
    pub(super) async fn optional(&mut self, query: Query<'_>) -> Result<Option<Row>> {
        query.optional(&mut self.connection).await.map_err(failed)
    }

    /// The same for any number of rows.
    pub(super) async fn all(&mut self, query: Query<'_>) -> Result<Vec<Row>> {
        query.all(&mut self.connection).await.map_err(failed)
    }

    pub(super) async fn write(&mut self, query: Query<'_>) -> Result<u64> {
        let rows = query.execute(&mut self.connection).await.map_err(failed)?;
        // A statement that touched nothing leaves nothing to take back.
        self.wrote |= rows > 0;
        Ok(rows)
    }

    pub(super) async fn write_returning(&mut self, query: Query<'_>) -> Result<Vec<Row>> {
        let rows = query.all(&mut self.connection).await.map_err(failed)?;
        self.wrote |= !rows.is_empty();
        Ok(rows)
    }

    /// Whether a statement costs a way to the database and back, so that few are better than simple ones. SQLite gathers
    /// what a statement returns in a table of its own, and notes every page that one with several rows may have to undo.
    pub(super) fn is_remote(&self) -> bool {
        matches!(self.connection, Connection::Postgres(_))
    }

    /// Announces a frame once the commit is through.
    pub(super) fn announce(&mut self, frame: Frame) {
        self.frames.push(frame);
    }

    /// Whether the work under way has written.
    pub(super) fn wrote(&self) -> bool {
        self.wrote
    }

    /// The next member of a group begins: it has written nothing yet.
    pub(super) fn begin_work(&mut self) {
        self.wrote = false;
    }

    pub(super) fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Takes back the announcements of work that failed.
    pub(super) fn forget_frames(&mut self, keep: usize) {
        self.frames.truncate(keep);
    }

    pub(super) fn into_frames(self) -> Vec<Frame> {
        self.frames
    }
}

/// A database failure as the house's error. Collisions keep a code of their own, so that the caller runs again.
pub(super) fn failed(error: impl Into<Failure>) -> Error {
    let error = error.into();
    match error.code().as_deref() {
        // PostgreSQL: unique violation, serialization failure, deadlock.
        Some("23505" | "40001" | "40P01") => {
            Error::new(Kind::Conflict, COLLISION, "two writes collided").caused_by(error)
        }
        // PostgreSQL: disk full.
        Some("53100") => Error::unavailable(NO_ROOM).caused_by(error),
        _ => match error.sqlite_code() {
            Some(rusqlite::ffi::SQLITE_FULL) => Error::unavailable(NO_ROOM).caused_by(error),
            Some(rusqlite::ffi::SQLITE_IOERR | rusqlite::ffi::SQLITE_READONLY | rusqlite::ffi::SQLITE_BUSY) => {
                Error::unavailable("the database's file cannot be used").caused_by(error)
            }
            _ if error.is_unreachable() => Error::unavailable("the database does not answer").caused_by(error),
            _ => Error::internal("use the database", error),
        },
    }
}

const NO_ROOM: &str = "the database has no room left";

/// The code of [`failed`] for a write that may succeed when it is run again.
pub(super) const COLLISION: &str = "COLLISION";

/// How a run of work ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ran {
    Succeeded,
    Refused,
    /// It met another write; running it again may succeed.
    Collided,
}

pub(super) type JobFuture<'a> = Pin<Box<dyn Future<Output = Ran> + Send + 'a>>;

/// Work together with whoever waits for it.
pub(super) trait Job: Send {
    /// Runs the work and keeps its outcome.
    fn run<'a>(&'a mut self, transaction: &'a mut Transaction<'_>) -> JobFuture<'a>;

    /// Hands the outcome to the waiter: as it is, or the failure of the commit.
    fn settle(self: Box<Self>, commit: Result<(), Arc<Failure>>);
}

pub(super) struct Waiting<W: Work> {
    work: W,
    outcome: Option<Result<W::Output>>,
    waiter: oneshot::Sender<Result<W::Output>>,
}

impl<W: Work> Waiting<W> {
    pub(super) fn queued(work: W) -> (Box<dyn Job>, oneshot::Receiver<Result<W::Output>>) {
        let (waiter, receiver) = oneshot::channel();
        (Box::new(Self { work, outcome: None, waiter }), receiver)
    }
}

impl<W: Work> Job for Waiting<W> {
    fn run<'a>(&'a mut self, transaction: &'a mut Transaction<'_>) -> JobFuture<'a> {
        Box::pin(async move {
            let outcome = self.work.run(transaction).await;
            let ran = match &outcome {
                Ok(_) => Ran::Succeeded,
                Err(error) if error.code == COLLISION => Ran::Collided,
                Err(_) => Ran::Refused,
            };
            self.outcome = Some(outcome);
            ran
        })
    }

    fn settle(self: Box<Self>, commit: Result<(), Arc<Failure>>) {
        let again = |why: &str| Error::unavailable(format!("{why}; try again"));
        let outcome = match (self.outcome, commit) {
            // A refusal is true whether or not the others' commit went through; a collision is none, it only asks to be
            // tried again, and the last try may have met a database that was gone.
            (Some(Err(error)), _) if error.code != COLLISION => Err(error),
            (Some(Ok(output)), Ok(())) => Ok(output),
            (_, Err(error)) => Err(again("the write was not committed").caused_by(error)),
            (Some(Err(error)), Ok(())) => Err(again("the write kept meeting others").caused_by(error)),
            (None, Ok(())) => Err(again("the write was not tried")),
        };
        // Nobody waits any more when the caller has gone; the write stands all the same.
        let _ = self.waiter.send(outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Work for Nothing {
        type Output = ();

        async fn run(&self, _: &mut Transaction<'_>) -> Result<()> {
            Ok(())
        }
    }

    fn settled(outcome: Option<Result<()>>, commit: Result<(), Arc<Failure>>) -> Result<()> {
        let (waiter, mut receiver) = oneshot::channel();
        Box::new(Waiting { work: Nothing, outcome, waiter }).settle(commit);
        receiver.try_recv().expect("the waiter is answered")
    }

    #[test]
    fn a_collision_is_never_told_as_a_refusal() {
        let collision = || Some(Err(Error::new(Kind::Conflict, COLLISION, "two writes collided")));
        let gone = || Err(Arc::new(Failure::Sqlx(sqlx::Error::PoolClosed)));
        for (outcome, commit) in [(collision(), gone()), (collision(), Ok(())), (None, gone()), (Some(Ok(())), gone())]
        {
            assert_eq!(settled(outcome, commit).unwrap_err().kind, Kind::Unavailable);
        }
        let refusal = || Some(Err(Error::conflict("SESSION_CLOSED", "closed")));
        assert_eq!(settled(refusal(), gone()).unwrap_err().code, "SESSION_CLOSED");
        assert!(settled(Some(Ok(())), Ok(())).is_ok());
    }
}
