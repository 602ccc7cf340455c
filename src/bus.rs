//! Floor 1: wake-ups after a commit, and who is connected.
//!
//! The log is the truth; the bus only says that a stream has grown and keeps its last few frames, already serialised,
//! so that live readers need not ask the database. A reader owns a position, not a queue: one that falls behind the
//! kept frames reads on from the log, so a slow reader costs nothing but its own patience.
//!
//! Beside the log there are frames that pass by ([`Passing`]): who is not there does not miss them. A reply that is being
//! written ([`NewReply`]) is kept whole until it is in the log, so that its readers own a position in it too.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::model::event::Stream;

mod neighbours;
mod passing;
pub mod presence;
mod replies;

pub use neighbours::Matter;
pub use passing::{Passing, PassingKind};
pub use replies::{Heard, HeldReply, MOST_REPLY_BYTES, NewReply, NotGrown};

/// How much of a stream is kept for live readers.
const KEPT_FRAMES: usize = 64;
const KEPT_BYTES: usize = 128 * 1024;

/// What a commit has for the readers of a stream.
#[derive(Clone, Debug)]
pub enum Frame {
    /// An event of the log: its place, and the bytes every reader gets.
    Logged {
        stream: Stream,
        seq: i64,
        bytes: Bytes,
    },
    Passing(Passing),
    /// The message that a reply was written for is in the log.
    Written {
        stream: Stream,
        message_id: String,
    },
    /// Something has to leave for a chat outside.
    Leaving,
    /// A webhook has to be told something.
    Telling,
    /// Other servers should look at this; here whoever did it knows.
    Look(Matter),
}

#[derive(Debug, Default)]
pub struct Bus {
    tails: Mutex<HashMap<Stream, Arc<Tail>>>,
    presence: Mutex<presence::Register>,
    replies: replies::Replies,
    leaving: Notify,
    telling: Notify,
    /// Whether any webhook listens.
    is_heard: AtomicBool,
    outbox: neighbours::Outbox,
    matters: neighbours::Matters,
}

/// The newest frames of one stream that has readers.
#[derive(Debug)]
struct Tail {
    state: Mutex<TailState>,
}

#[derive(Debug, Default)]
struct TailState {
    /// The newest `seq` known here; 0 before anything was published.
    head: i64,
    frames: VecDeque<(i64, Bytes)>,
    bytes: usize,
    passing: passing::Latest,
    readers: Vec<(u64, Weak<Inbox>)>,
}

/// Where a reader of any number of streams waits. `slot` numbers are the reader's own.
#[derive(Debug, Default)]
pub struct Inbox {
    grown: Mutex<Vec<u64>>,
    notify: Notify,
}

/// One reader's place in a stream; dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    bus: Weak<Bus>,
    stream: Stream,
    tail: Arc<Tail>,
    inbox: Arc<Inbox>,
    slot: u64,
}

/// What a live read found.
#[derive(Debug)]
pub enum Live {
    /// Nothing after that position yet.
    Nothing,
    /// The frames that follow, oldest first.
    Frames(Vec<(i64, Bytes)>),
    /// The position is older than what is kept: read the log.
    Behind,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bus {
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Announces committed frames. Frames of one stream come in rising order from one commit; commits of several
    /// database connections may arrive in either order, which only makes readers ask the log.
    pub fn publish(&self, frames: Vec<Frame>) {
        self.outbox.note(&frames);
        for frame in frames {
            match frame {
                Frame::Logged { stream, seq, bytes } => {
                    if let Some(tail) = self.tail(&stream) {
                        tail.push(seq, bytes);
                    }
                }
                Frame::Passing(passing) => self.show(passing),
                Frame::Written { stream, message_id } => self.end_reply(&stream, &message_id),
                Frame::Leaving => self.leaving.notify_one(),
                Frame::Telling => self.telling.notify_one(),
                Frame::Look(_) => {}
            }
        }
    }

    /// Waits until something has to leave for a chat outside; one waiter hears of it. Safe to drop at any point.
    pub async fn something_leaves(&self) {
        self.leaving.notified().await;
    }

    /// Waits until a webhook has to be told something; one waiter hears of it. Safe to drop at any point.
    pub async fn somebody_is_told(&self) {
        self.telling.notified().await;
    }

    /// Whether any webhook listens: while none does, what happens is not looked at for their sake.
    pub fn is_heard(&self) -> bool {
        self.is_heard.load(Ordering::Relaxed)
    }

    pub fn set_heard(&self, heard: bool) {
        self.is_heard.store(heard, Ordering::Relaxed);
    }

    /// Shows a frame to whoever reads its stream right now, on this server or another.
    pub fn pass(&self, passing: Passing) {
        self.publish(vec![Frame::Passing(passing)]);
    }

    fn show(&self, passing: Passing) {
        if let Some(tail) = self.tail(&passing.stream) {
            let mut state = lock(&tail.state);
            state.passing.put(passing);
            state.wake();
        }
    }

    fn tail(&self, stream: &Stream) -> Option<Arc<Tail>> {
        lock(&self.tails).get(stream).cloned()
    }

    /// Subscribes `inbox` to a stream: from now on each growth marks `slot` there.
    pub fn subscribe(self: &Arc<Self>, stream: &Stream, inbox: &Arc<Inbox>, slot: u64) -> Subscription {
        let mut tails = lock(&self.tails);
        let tail = tails.entry(stream.clone()).or_insert_with(|| Arc::new(Tail { state: Mutex::default() })).clone();
        lock(&tail.state).readers.push((slot, Arc::downgrade(inbox)));
        Subscription { bus: Arc::downgrade(self), stream: stream.clone(), tail, inbox: inbox.clone(), slot }
    }
}

impl Tail {
    fn push(&self, seq: i64, bytes: Bytes) {
        let mut state = lock(&self.state);
        if seq <= state.head {
            return;
        }
        if seq != state.head + 1 {
            state.frames.clear();
            state.bytes = 0;
        }
        state.head = seq;
        state.bytes += bytes.len();
        state.frames.push_back((seq, bytes));
        while state.frames.len() > KEPT_FRAMES || (state.bytes > KEPT_BYTES && state.frames.len() > 1) {
            if let Some((_, dropped)) = state.frames.pop_front() {
                state.bytes -= dropped.len();
            }
        }
        state.wake();
    }

    /// Notes that it has grown by what is not kept here.
    fn skip(&self, head: i64) {
        let mut state = lock(&self.state);
        if head > state.head {
            state.frames.clear();
            state.bytes = 0;
            state.head = head;
            state.wake();
        }
    }
}

impl TailState {
    /// Marks the stream for all its readers, and forgets those that are gone.
    fn wake(&mut self) {
        self.readers.retain(|(slot, inbox)| match inbox.upgrade() {
            Some(inbox) => {
                inbox.mark(*slot);
                true
            }
            None => false,
        });
    }
}

impl Inbox {
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    fn mark(&self, slot: u64) {
        let mut grown = lock(&self.grown);
        if !grown.contains(&slot) {
            grown.push(slot);
        }
        drop(grown);
        self.notify.notify_one();
    }

    /// The slots of streams that have grown, without waiting.
    pub fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *lock(&self.grown))
    }

    /// Waits until at least one subscribed stream has grown and returns their slots. Safe to drop at any point.
    pub async fn grown(&self) -> Vec<u64> {
        loop {
            let slots = self.take();
            if !slots.is_empty() {
                return slots;
            }
            self.notify.notified().await;
        }
    }
}

impl Subscription {
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    pub fn slot(&self) -> u64 {
        self.slot
    }

    /// The frames after `after`, as far as they are kept.
    pub fn read(&self, after: i64) -> Live {
        let state = lock(&self.tail.state);
        if after >= state.head {
            return Live::Nothing;
        }
        match state.frames.front() {
            Some((first, _)) if *first <= after + 1 => {
                Live::Frames(state.frames.iter().filter(|(seq, _)| *seq > after).cloned().collect())
            }
            _ => Live::Behind,
        }
    }

    /// The number of the newest frame that passed by; give it to [`Subscription::passing`] to hear of later ones.
    pub fn newest_passing(&self) -> u64 {
        lock(&self.tail.state).passing.newest()
    }

    /// The frames that passed by after that number, and the number of the newest.
    pub fn passing(&self, after: u64) -> (u64, Vec<(PassingKind, Bytes)>) {
        let state = lock(&self.tail.state);
        (state.passing.newest(), state.passing.after(after))
    }

    /// Marks this subscription as grown by hand, so that the reader looks again.
    pub fn poke(&self) {
        self.inbox.mark(self.slot);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let Some(bus) = self.bus.upgrade() else { return };
        let mut tails = lock(&bus.tails);
        let mut state = lock(&self.tail.state);
        let me = Arc::as_ptr(&self.inbox);
        state.readers.retain(|(slot, inbox)| !(*slot == self.slot && inbox.as_ptr() == me));
        if state.readers.is_empty() {
            tails.remove(&self.stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: &Stream, seq: i64) -> Frame {
        Frame::Logged { stream: stream.clone(), seq, bytes: Bytes::from(format!("f{seq}")) }
    }

    #[tokio::test]
    async fn readers_wake_once_and_read_on_from_their_place() {
        let (bus, stream, inbox) = (Bus::new(), Stream::conversation("a"), Inbox::new());
        let subscription = bus.subscribe(&stream, &inbox, 7);
        bus.publish((1..=3).map(|seq| frame(&stream, seq)).collect());
        assert_eq!(inbox.grown().await, [7]);
        let Live::Frames(frames) = subscription.read(1) else { panic!("frames are kept") };
        assert_eq!(frames.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [2, 3]);
        assert!(matches!(subscription.read(3), Live::Nothing));
    }

    #[tokio::test]
    async fn what_is_no_longer_kept_or_came_out_of_order_is_left_to_the_log() {
        let (bus, stream, inbox) = (Bus::new(), Stream::conversation("a"), Inbox::new());
        let subscription = bus.subscribe(&stream, &inbox, 1);
        bus.publish((1..=200).map(|seq| frame(&stream, seq)).collect());
        assert!(matches!(subscription.read(3), Live::Behind));
        bus.publish(vec![frame(&stream, 203)]);
        assert!(matches!(subscription.read(200), Live::Behind), "201 and 202 are only in the log");
        bus.publish(vec![frame(&stream, 202)]);
        assert!(matches!(subscription.read(202), Live::Frames(frames) if frames.len() == 1));
    }

    #[tokio::test]
    async fn what_passes_by_is_for_who_is_there() {
        let (bus, stream, inbox) = (Bus::new(), Stream::user("u"), Inbox::new());
        bus.pass(Passing::read("u", "a", 1));
        let early = bus.subscribe(&stream, &inbox, 1);
        bus.publish(vec![Frame::Passing(Passing::read("u", "a", 2)), frame(&stream, 1)]);
        assert_eq!(inbox.grown().await, [1]);
        let (newest, frames) = early.passing(0);
        assert_eq!((frames.len(), frames[0].0), (1, PassingKind::Read));
        assert!(matches!(early.read(0), Live::Frames(frames) if frames.len() == 1), "the log is as it was");
        let late = bus.subscribe(&stream, &inbox, 2);
        assert_eq!(late.newest_passing(), newest);
        assert!(late.passing(newest).1.is_empty());
    }

    #[tokio::test]
    async fn a_stream_without_readers_keeps_nothing() {
        let (bus, stream, inbox) = (Bus::new(), Stream::conversation("a"), Inbox::new());
        drop(bus.subscribe(&stream, &inbox, 1));
        bus.publish(vec![frame(&stream, 1)]);
        assert!(lock(&bus.tails).is_empty());
    }
}
