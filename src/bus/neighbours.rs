//! What servers on one database tell each other: which streams have grown, what passes by, and what else to look at.
//!
//! A letter holds hints only. Who does not get one hears of it a little later, when it looks at the database by itself;
//! what is true stands there. A server without neighbours writes no letters.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use super::{Bus, Frame, Passing, PassingKind, lock};
use crate::model::event::Stream;

/// Frames that passed by and wait to be told; of more the oldest are forgotten.
const MOST_PASSING: usize = 256;

/// What there may be to look at beside streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Matter {
    /// There may be work for a bot's process.
    Deliveries,
    /// A credential has been ended.
    Credentials,
}

/// One line of a letter.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    /// A stream and its head.
    Grown(String, i64),
    Passing {
        stream: String,
        kind: PassingKind,
        about: String,
        frame: String,
    },
    Look(Matter),
}

/// What the neighbours have yet to hear. However long it waits, each stream stands in it once.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    is_open: AtomicBool,
    news: Mutex<News>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct News {
    grown: BTreeMap<Stream, i64>,
    passing: VecDeque<Passing>,
    matters: BTreeSet<Matter>,
}

/// Who waits for a matter is woken by the count.
#[derive(Debug, Default)]
pub(super) struct Matters {
    deliveries: watch::Sender<u64>,
    credentials: watch::Sender<u64>,
}

impl Matters {
    fn of(&self, matter: Matter) -> &watch::Sender<u64> {
        match matter {
            Matter::Deliveries => &self.deliveries,
            Matter::Credentials => &self.credentials,
        }
    }
}

impl Outbox {
    pub(super) fn note(&self, frames: &[Frame]) {
        if frames.is_empty() || !self.is_open.load(Ordering::Relaxed) {
            return;
        }
        let mut news = lock(&self.news);
        for frame in frames {
            match frame {
                Frame::Logged { stream, seq, .. } => match news.grown.get_mut(stream) {
                    Some(head) => *head = (*head).max(*seq),
                    None => {
                        news.grown.insert(stream.clone(), *seq);
                    }
                },
                Frame::Passing(passing) => news.pass(passing),
                Frame::Look(matter) => {
                    news.matters.insert(*matter);
                }
                // Its message is in the log, which says so.
                // The server that wrote it sends it.
                Frame::Leaving | Frame::Telling | Frame::Written { .. } => {}
            }
        }
        drop(news);
        self.filled.notify_one();
    }
}

impl News {
    fn pass(&mut self, passing: &Passing) {
        // Who is there on which server is known to that server alone.
        if passing.kind == PassingKind::Presence {
            return;
        }
        self.passing.retain(|known| {
            known.kind != passing.kind || known.about != passing.about || known.stream != passing.stream
        });
        if self.passing.len() == MOST_PASSING {
            self.passing.pop_front();
        }
        self.passing.push_back(passing.clone());
    }

    /// Takes out what comes first.
    fn take(&mut self) -> Option<Line> {
        if let Some((stream, head)) = self.grown.pop_first() {
            return Some(Line::Grown(stream.to_string(), head));
        }
        if let Some(matter) = self.matters.pop_first() {
            return Some(Line::Look(matter));
        }
        let Passing { stream, kind, about, bytes } = self.passing.pop_front()?;
        let frame = String::from_utf8(bytes.to_vec()).ok()?;
        Some(Line::Passing { stream: stream.to_string(), kind, about, frame })
    }

    /// A letter of at most so many bytes; `None` when there is nothing to tell.
    fn letter(&mut self, most: usize) -> Option<String> {
        let mut letter = String::new();
        // No line is nearly as long.
        while letter.len() < most / 2
            && let Some(line) = self.take()
        {
            let line = serde_json::to_string(&line).unwrap_or_default();
            if letter.len() + line.len() < most {
                letter.push_str(&line);
                letter.push('\n');
            }
        }
        (!letter.is_empty()).then_some(letter)
    }
}

impl Bus {
    /// From now on what is published here is told to other servers as well.
    pub fn begin_letters(&self) {
        self.outbox.is_open.store(true, Ordering::Relaxed);
    }

    /// The next letter to the neighbours, of at most `most` bytes. Waits until there is something to tell; safe to drop
    /// at any point.
    pub async fn next_letter(&self, most: usize) -> String {
        loop {
            if let Some(letter) = self.letter(most) {
                return letter;
            }
            self.outbox.filled.notified().await;
        }
    }

    /// The same without waiting.
    pub fn letter(&self, most: usize) -> Option<String> {
        lock(&self.outbox.news).letter(most)
    }

    /// Does what a neighbour's letter says. A line that is not understood comes from a newer server and is passed over.
    pub fn hear(&self, letter: &str) {
        for line in letter.lines() {
            match serde_json::from_str(line) {
                Ok(Line::Grown(stream, head)) => {
                    if let Some(stream) = Stream::parse(&stream) {
                        self.grown_elsewhere(&stream, head);
                    }
                }
                Ok(Line::Passing { stream, kind, about, frame }) => {
                    if let Some(stream) = Stream::parse(&stream) {
                        self.show(Passing { stream, kind, about, bytes: Bytes::from(frame) });
                    }
                }
                Ok(Line::Look(matter)) => self.look_at(matter),
                Err(error) => tracing::debug!(%error, line, "a line of a neighbour's letter is not understood"),
            }
        }
    }

    /// The streams that are being read here.
    pub fn read_streams(&self) -> Vec<Stream> {
        lock(&self.tails).keys().cloned().collect()
    }

    /// A stream has grown to `head` by what another server committed: its readers go to the log for it.
    pub fn grown_elsewhere(&self, stream: &Stream, head: i64) {
        if let Some(tail) = self.tail(stream) {
            tail.skip(head);
        }
    }

    /// There may be something to look at that another server did.
    pub fn look_at(&self, matter: Matter) {
        self.matters.of(matter).send_modify(|count| *count += 1);
    }

    /// Changes whenever there may be something to look at that another server did.
    pub fn elsewhere(&self, matter: Matter) -> watch::Receiver<u64> {
        self.matters.of(matter).subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Inbox, Live};
    use super::*;

    fn logged(stream: &Stream, seq: i64) -> Frame {
        Frame::Logged { stream: stream.clone(), seq, bytes: Bytes::from(format!("f{seq}")) }
    }

    #[tokio::test]
    async fn a_letter_sends_readers_to_the_log_and_shows_what_passes_by() {
        let (here, there, stream, user) = (Bus::new(), Bus::new(), Stream::conversation("a"), Stream::user("u"));
        there.begin_letters();
        let inbox = Inbox::new();
        let (reader, other) = (here.subscribe(&stream, &inbox, 1), here.subscribe(&user, &inbox, 2));
        let mut deliveries = here.elsewhere(Matter::Deliveries);
        there.publish(vec![
            logged(&stream, 3),
            logged(&stream, 4),
            Frame::Passing(Passing::activity("u", "a", 3, "t")),
            Frame::Passing(Passing::activity("u", "a", 4, "t")),
            Frame::Look(Matter::Deliveries),
        ]);
        here.hear(&there.next_letter(8000).await);
        let mut slots = inbox.grown().await;
        slots.sort_unstable();
        assert_eq!(slots, [1, 2]);
        assert!(matches!(reader.read(3), Live::Behind) && matches!(reader.read(4), Live::Nothing));
        let (_, frames) = other.passing(0);
        assert!(frames.len() == 1 && frames[0].1.ends_with(br#""head_seq":4,"ts":"t"}"#), "{frames:?}");
        assert!(deliveries.has_changed().unwrap() && !here.elsewhere(Matter::Credentials).has_changed().unwrap());
        deliveries.mark_unchanged();
        here.hear("{\"grown\":[\"conv:a\",4]}\n{\"unheard\":true}\n");
        assert!(inbox.take().is_empty(), "it was known");
    }

    #[test]
    fn letters_are_short_and_leave_nothing_out() {
        let bus = Bus::new();
        bus.publish(vec![logged(&Stream::conversation("early"), 1)]);
        bus.begin_letters();
        for n in 0..1000 {
            bus.publish(vec![logged(&Stream::conversation(&format!("{n:036}")), 1)]);
        }
        let (mut letters, mut lines) = (0, 0);
        while let Some(letter) = bus.letter(2000) {
            assert!(letter.len() < 2000);
            letters += 1;
            lines += letter.lines().count();
        }
        assert!(letters > 20 && lines == 1000, "{letters} letters, {lines} lines");
    }
}
