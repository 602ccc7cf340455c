//! What was said, what was acknowledged and what was seen, kept outside of the server.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

/// An event as the log has it.
#[derive(Debug, Deserialize)]
pub(crate) struct Logged {
    seq: u64,
    #[serde(default)]
    message_id: String,
    client_id: Option<String>,
    reply_to: Option<String>,
    #[serde(default)]
    content: String,
    /// Of the whole frame, see [`fingerprint`].
    #[serde(skip)]
    fingerprint: u64,
}

impl Logged {
    pub(crate) fn read(frame: &str) -> Self {
        let logged: Self = serde_json::from_str(frame).unwrap_or_else(|error| panic!("{error} in {frame}"));
        Self { fingerprint: fingerprint(frame), ..logged }
    }
}

/// Stands for a frame, byte for byte, in little room.
pub(crate) fn fingerprint(frame: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    frame.hash(&mut hasher);
    hasher.finish()
}

/// Where the server said a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    seq: u64,
    message_id: String,
}

#[derive(Debug)]
struct Entry {
    session: usize,
    content: String,
    place: Option<Place>,
}

#[derive(Default)]
struct Book {
    entries: HashMap<String, Entry>,
    acknowledgements: u64,
    resent: u64,
    duplicates: u64,
    /// Refusals of a server that could not write, by their code. Those messages are sent again.
    refusals: BTreeMap<String, u64>,
    faults: Vec<String>,
    /// When the server went away, until the next acknowledgement.
    away: Option<Instant>,
    recoveries: Vec<Duration>,
}

#[derive(Default)]
pub(crate) struct Ledger {
    book: Mutex<Book>,
}

/// The first places at which something is wrong; more would only fill the screen.
const SHOWN_FAULTS: usize = 20;

impl Ledger {
    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().expect("nobody panics with the ledger in hand")
    }

    /// Before a message is sent for the first time.
    pub(crate) fn say(&self, id: &str, session: usize, content: &str) {
        let entry = Entry { session, content: content.to_owned(), place: None };
        let earlier = self.book().entries.insert(id.to_owned(), entry);
        assert!(earlier.is_none(), "{id} is said for the first time");
    }

    pub(crate) fn resend(&self) {
        self.book().resent += 1;
    }

    /// An acknowledgement: a web socket's `ack` frame or the body of a REST answer.
    pub(crate) fn acknowledge(&self, id: &str, receipt: &Value) {
        let place = Place {
            seq: receipt["seq"].as_u64().unwrap_or_default(),
            message_id: receipt["message_id"].as_str().unwrap_or_default().to_owned(),
        };
        let mut book = self.book();
        book.acknowledgements += 1;
        book.duplicates += u64::from(receipt["duplicate"] == true);
        let away = book.away.take();
        book.recoveries.extend(away.map(|since| since.elapsed()));
        let Some(entry) = book.entries.get_mut(id) else {
            book.faults.push(format!("{id} was acknowledged and never said"));
            return;
        };
        match &entry.place {
            Some(earlier) if *earlier != place => {
                let fault = format!("{id} was acknowledged at {earlier:?} and at {place:?}");
                book.faults.push(fault);
            }
            _ => entry.place = Some(place),
        }
    }

    /// Something no client may ever see, such as a refusal of a message that is in order.
    pub(crate) fn fault(&self, fault: String) {
        self.book().faults.push(fault);
    }

    /// The server says that it cannot take a message now.
    pub(crate) fn refuse(&self, code: &str) {
        *self.book().refusals.entry(code.to_owned()).or_default() += 1;
    }

    pub(crate) fn refusals(&self) -> u64 {
        self.book().refusals.values().sum()
    }

    pub(crate) fn server_went_away(&self) {
        self.book().away = Some(Instant::now());
    }

    pub(crate) fn acknowledgements(&self) -> u64 {
        self.book().acknowledgements
    }

    /// Compares the account with the logs of all sessions and with what each reader saw (the session, and fingerprints
    /// from the first event on). The error tells what was lost, doubled or elsewhere, where a log has a gap, and which
    /// reader saw another order.
    pub(crate) fn close(self, logs: &[Vec<Logged>], readers: &[(usize, Vec<u64>)]) -> Result<String, String> {
        let Book { mut entries, acknowledgements, resent, duplicates, refusals, mut faults, mut recoveries, .. } =
            self.book.into_inner().expect("nobody panics with the ledger in hand");
        let said = entries.len();
        for (session, log) in logs.iter().enumerate() {
            audit_log(session, log, &mut entries, &mut faults);
        }
        faults.extend(entries.iter().map(|(id, entry)| match &entry.place {
            Some(place) => format!("{id} was acknowledged at {place:?} and is lost"),
            None => format!("{id} was never acknowledged"),
        }));
        for (number, (session, seen)) in readers.iter().enumerate() {
            let log = &logs[*session];
            let same = seen.iter().zip(log).take_while(|(seen, logged)| **seen == logged.fingerprint).count();
            if same < log.len() || same < seen.len() {
                let (seen, there) = (seen.len(), log.get(same));
                faults.push(format!("reader {number} of session {session} saw {seen} events, and not {there:?}"));
            }
        }
        let shown = &faults[..faults.len().min(SHOWN_FAULTS)];
        if !faults.is_empty() {
            return Err(format!("{} faults:\n{}", faults.len(), shown.join("\n")));
        }
        recoveries.sort();
        let after_blows = match (recoveries.get(recoveries.len() / 2), recoveries.last()) {
            (Some(median), Some(worst)) => format!(
                "\n  from the blow to the next acknowledgement: {} ms (median), {} ms (worst)",
                median.as_millis(),
                worst.as_millis()
            ),
            // Nothing was killed.
            _ => String::new(),
        };
        let events: usize = logs.iter().map(Vec::len).sum();
        Ok(format!(
            "{said} messages, {acknowledgements} acknowledgements, {resent} sent again, {duplicates} told as duplicates, \
             refusals {refusals:?}\n  {events} events in {} logs, {} readers: 0 lost, 0 doubled, no gap, one order{after_blows}",
            logs.len(),
            readers.len()
        ))
    }
}

/// Checks one log and takes what it holds out of the account.
fn audit_log(session: usize, log: &[Logged], entries: &mut HashMap<String, Entry>, faults: &mut Vec<String>) {
    let mut answers: HashMap<&str, u32> = HashMap::new();
    for (event, seq) in log.iter().zip(1..) {
        if event.seq != seq {
            faults.push(format!("session {session} has a gap before {event:?}"));
        }
        if let Some(message) = &event.reply_to {
            *answers.entry(message).or_default() += 1;
        }
    }
    for event in log {
        let Some(id) = &event.client_id else { continue };
        match answers.remove(event.message_id.as_str()) {
            Some(1) => {}
            count => faults.push(format!("{id} has {} answers", count.unwrap_or_default())),
        }
        let Some(entry) = entries.remove(id) else {
            faults.push(format!("{id} is twice in the log, or was never said: {event:?}"));
            continue;
        };
        let place = Place { seq: event.seq, message_id: event.message_id.clone() };
        let elsewhere = entry.place.as_ref().is_some_and(|acknowledged| *acknowledged != place);
        if elsewhere || entry.session != session || event.content != entry.content {
            faults.push(format!("{id} was acknowledged as {entry:?} and is {event:?}"));
        }
    }
    faults.extend(answers.keys().map(|message| format!("session {session} answers {message}, which is not there")));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn log(events: &[Value]) -> Vec<Logged> {
        events.iter().map(|event| Logged::read(&event.to_string())).collect()
    }

    fn verdict(events: &[Value], seen: &[Value]) -> Result<String, String> {
        let ledger = Ledger::default();
        ledger.say("a", 0, "x");
        ledger.acknowledge("a", &json!({ "seq": 1, "message_id": "m1" }));
        let seen = seen.iter().map(|event| fingerprint(&event.to_string())).collect();
        ledger.close(&[log(events)], &[(0, seen)])
    }

    #[test]
    fn the_ledger_sees_each_kind_of_fault() {
        let said = |seq, message| json!({ "seq": seq, "message_id": message, "client_id": "a", "content": "x" });
        let answer = |seq, to| json!({ "seq": seq, "message_id": "r", "reply_to": to });
        let good = [said(1, "m1"), answer(2, "m1")];
        assert!(verdict(&good, &good).unwrap().contains("0 lost"));
        let lost = [];
        let doubled = [said(1, "m1"), answer(2, "m1"), said(3, "m3"), answer(4, "m3")];
        let gap = [said(1, "m1"), answer(3, "m1")];
        let twice_answered = [said(1, "m1"), answer(2, "m1"), answer(3, "m1")];
        let moved = [answer(1, "m2"), said(2, "m2")];
        for (events, part) in [
            (&lost[..], "is lost"),
            (&doubled, "is twice"),
            (&gap, "has a gap"),
            (&twice_answered, "2 answers"),
            (&moved, "was acknowledged as"),
        ] {
            let fault = verdict(events, events).unwrap_err();
            assert!(fault.contains(part), "{part}: {fault}");
        }
        for seen in [&[answer(2, "m1"), said(1, "m1")][..], &good[..1]] {
            assert!(verdict(&good, seen).unwrap_err().contains("reader 0"));
        }
    }
}
