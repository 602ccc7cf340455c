//! The watch over directories of bots.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify_debouncer_full::notify::{self, RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::folder::FILE_BYTES;
use super::load::bot_folders;

/// How long a directory must be quiet before it is looked at: editors save in several steps.
const QUIET: Duration = Duration::from_millis(200);

/// How deep below a bot's folder files are looked at.
const DEPTH: usize = 4;

/// Watches directories for as long as it lives. Start it before loading, so that no change falls between.
#[derive(Debug)]
pub struct Watcher {
    _debouncer: Debouncer<RecommendedWatcher, RecommendedCache>,
}

impl Watcher {
    /// Calls `changed` when what is in the bots' folders has changed, new folders and removed ones included. Touching a
    /// file or saving it unchanged is no change. The call comes from a thread of the watcher.
    pub fn new(dirs: &[PathBuf], mut changed: impl FnMut() + Send + 'static) -> notify::Result<Self> {
        let watched = dirs.to_vec();
        let mut known = [0; 32];
        let mut first = Some(());
        // The baseline is taken after the watch has begun, in the first call below.
        let (baseline_in, baseline_out) = std::sync::mpsc::channel();
        let handler = move |events: DebounceEventResult| {
            if first.take().is_some()
                && let Ok(baseline) = baseline_out.recv()
            {
                known = baseline;
            }
            if !is_change(&events) {
                return;
            }
            let now = fingerprint(&watched);
            if now != known {
                known = now;
                changed();
            }
        };
        let mut debouncer = new_debouncer(QUIET, Some(QUIET), handler)?;
        for dir in dirs {
            debouncer.watch(dir, RecursiveMode::Recursive)?;
        }
        let _ = baseline_in.send(fingerprint(dirs));
        Ok(Self { _debouncer: debouncer })
    }

    /// Like [`channel`](Self::channel), for directories whose files are the manifests themselves.
    pub fn of_files(dirs: &[PathBuf]) -> notify::Result<(Self, mpsc::Receiver<()>)> {
        let (sender, receiver) = mpsc::channel(1);
        let handler = move |events: DebounceEventResult| {
            if is_change(&events) {
                // A full channel holds a change that says all there is to say.
                let _ = sender.try_send(());
            }
        };
        let mut debouncer = new_debouncer(QUIET, Some(QUIET), handler)?;
        for dir in dirs {
            debouncer.watch(dir, RecursiveMode::NonRecursive)?;
        }
        Ok((Self { _debouncer: debouncer }, receiver))
    }

    /// Like [`new`](Self::new), for tasks: every change is a message. Changes that nobody has received yet are one.
    pub fn channel(dirs: &[PathBuf]) -> notify::Result<(Self, mpsc::Receiver<()>)> {
        let (sender, receiver) = mpsc::channel(1);
        let watcher = Self::new(dirs, move || {
            // A full channel holds a change that says all there is to say.
            let _ = sender.try_send(());
        })?;
        Ok((watcher, receiver))
    }
}

fn is_change(events: &DebounceEventResult) -> bool {
    match events {
        // Reading a file is an event as well, and the fingerprint reads all of them.
        Ok(events) => events.iter().any(|event| !event.kind.is_access()),
        Err(errors) => {
            for error in errors {
                tracing::warn!(%error, "watching the bots failed");
            }
            true
        }
    }
}

/// SHA-256 over names and contents of all files of all bots.
fn fingerprint(dirs: &[PathBuf]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for dir in dirs {
        for name in bot_folders(dir).unwrap_or_default() {
            add(&mut hash, &dir.join(&name), 0);
        }
    }
    hash.finalize().into()
}

fn add(hash: &mut Sha256, path: &Path, depth: usize) {
    let name = path.as_os_str().as_encoded_bytes();
    let Ok(meta) = fs::metadata(path) else { return };
    if meta.is_dir() {
        hash.update([b'd']);
        hash.update(name);
        if depth < DEPTH {
            let mut inside: Vec<PathBuf> =
                fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
            inside.sort();
            inside.iter().for_each(|path| add(hash, path, depth + 1));
        }
    } else if meta.is_file() {
        hash.update([b'f']);
        hash.update(name);
        hash.update(meta.len().to_le_bytes());
        // What is longer is refused anyway; its length is enough to see it change.
        if meta.len() <= FILE_BYTES {
            hash.update(fs::read(path).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{RecvTimeoutError, channel};

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_change_is_told_once_and_a_touch_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let bot = dir.path().join("one");
        fs::create_dir(&bot).unwrap();
        fs::write(bot.join("bot.yaml"), "a").unwrap();
        let (sender, told) = channel();
        let _watcher = Watcher::new(&[dir.path().to_owned()], move || sender.send(()).unwrap()).unwrap();

        fs::write(bot.join("bot.yaml"), "b").unwrap();
        told.recv_timeout(LONG).expect("a change is told");

        fs::write(bot.join("new"), "c").unwrap();
        fs::rename(bot.join("new"), bot.join("bot.yaml")).unwrap();
        told.recv_timeout(LONG).expect("a save by renaming is told");

        fs::write(bot.join("bot.yaml"), "c").unwrap();
        assert_eq!(told.recv_timeout(QUIET * 4), Err(RecvTimeoutError::Timeout), "the content is the same");

        let second = dir.path().join("two/replies");
        fs::create_dir_all(&second).unwrap();
        told.recv_timeout(LONG).expect("a new folder is told");
        fs::write(second.join("x.hbs"), "x").unwrap();
        told.recv_timeout(LONG).expect("a file in a new folder is told");
    }
}
