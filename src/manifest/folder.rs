//! A bot's folder, read without ever leaving it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

/// The longest file of a bot, in bytes.
pub const FILE_BYTES: u64 = 256 * 1024;

/// The files of one bot that were read; together they are its version.
pub(super) struct Folder {
    root: PathBuf,
    files: BTreeMap<String, String>,
}

/// Why a file was not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    Missing,
    Refused(String),
}

impl Folder {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { root: fs::canonicalize(path)?, files: BTreeMap::new() })
    }

    /// Reads a file given by its path in the folder. A path or a link that leads out of the folder is refused, and so is
    /// whatever is not a plain file of text of a decent size.
    pub(super) fn read(&mut self, path: &str) -> Result<&str, Unread> {
        if !self.files.contains_key(path) {
            let text = self.read_file(path)?;
            self.files.insert(path.to_owned(), text);
        }
        Ok(&self.files[path])
    }

    fn read_file(&self, path: &str) -> Result<String, Unread> {
        let refuse = |why: String| Err(Unread::Refused(why));
        let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !inside || path.contains('\\') {
            return refuse(format!("\"{path}\" leads out of the bot's folder"));
        }
        let explain = |error: &io::Error| match error.kind() {
            io::ErrorKind::NotFound => Unread::Missing,
            _ => Unread::Refused(format!("\"{path}\" cannot be read: {error}")),
        };
        let real = fs::canonicalize(self.root.join(path)).map_err(|error| explain(&error))?;
        if !real.starts_with(&self.root) {
            return refuse(format!("\"{path}\" leads out of the bot's folder"));
        }
        if !fs::metadata(&real).map_err(|error| explain(&error))?.is_file() {
            return refuse(format!("\"{path}\" is not a file"));
        }
        let mut bytes = Vec::new();
        let file = File::open(&real).map_err(|error| explain(&error))?;
        file.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| explain(&error))?;
        if bytes.len() as u64 > FILE_BYTES {
            return refuse(format!("\"{path}\" is longer than {} KiB", FILE_BYTES / 1024));
        }
        String::from_utf8(bytes).or_else(|_| refuse(format!("\"{path}\" is not text in UTF-8")))
    }

    /// SHA-256 over the files that were read, names and contents, as hex.
    pub(super) fn version(&self) -> String {
        let mut hash = Sha256::new();
        for (name, text) in &self.files {
            hash.update(format!("{name}\0{}\0", text.len()));
            hash.update(text);
        }
        hex(&hash.finalize())
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_files_inside_the_folder_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let bot = dir.path().join("bot");
        fs::create_dir_all(bot.join("replies")).unwrap();
        fs::write(dir.path().join("secret"), "secret").unwrap();
        fs::write(bot.join("replies/a.hbs"), "a").unwrap();
        fs::write(bot.join("big"), vec![b'x'; 1024 * 1024]).unwrap();
        fs::write(bot.join("binary"), [0xff, 0xfe]).unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret"), bot.join("out")).unwrap();
        std::os::unix::fs::symlink("replies/a.hbs", bot.join("in")).unwrap();
        let mut folder = Folder::open(&bot).unwrap();
        assert_eq!(folder.read("replies/a.hbs"), Ok("a"));
        assert_eq!(folder.read("in"), Ok("a"));
        assert_eq!(folder.read("nothing"), Err(Unread::Missing));
        for (path, why) in [
            ("../secret", "leads out of the bot's folder"),
            ("replies/../../secret", "leads out of the bot's folder"),
            ("/etc/hostname", "leads out of the bot's folder"),
            ("out", "leads out of the bot's folder"),
            ("replies", "is not a file"),
            ("big", "is longer than 256 KiB"),
            ("binary", "is not text in UTF-8"),
        ] {
            assert_eq!(folder.read(path), Err(Unread::Refused(format!("\"{path}\" {why}"))));
        }
    }

    #[test]
    fn the_version_is_the_content_of_what_was_read() {
        let dir = tempfile::tempdir().unwrap();
        let version = |text: &str| {
            fs::write(dir.path().join("a"), text).unwrap();
            let mut folder = Folder::open(dir.path()).unwrap();
            folder.read("a").unwrap();
            folder.version()
        };
        let first = version("one");
        assert_eq!(first.len(), 64);
        assert_eq!(version("one"), first);
        assert_ne!(version("two"), first);
    }
}
