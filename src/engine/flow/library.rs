//! Where documents come from: files of the playbook folders, workflows of the database, commands of bots.

use std::fs;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use hashlink::LruCache;
use serde_json::json;

use crate::manifest::flow::{About, Document, read};
use crate::model::{Error, Kind, Result};

/// The endings of files that are playbooks.
pub const PLAYBOOK_ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// The longest playbook, in bytes.
const LONGEST: u64 = 256 * 1024;

/// How deep folders are looked through, and how many playbooks are listed.
const DEEPEST: usize = 6;
const MOST: usize = 10_000;

/// Files that are not understood anew for each run of them.
const KNOWN: usize = 128;

/// The folders of playbooks. A name that several hold is that of the first.
#[derive(Clone, Debug)]
pub struct Library {
    folders: Vec<PathBuf>,
    /// By path: the text of the file when it was understood last, and what it said.
    known: Arc<Mutex<LruCache<String, (String, Document)>>>,
}

/// A playbook in a list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its path in the folder, with `/`.
    pub path: String,
    /// The document, or what is wrong with the file.
    pub document: Result<Box<Document>, String>,
}

fn not_found(path: &str) -> Error {
    let message = format!("Playbook '{path}' not found");
    Error::new(Kind::NotFound, "PLAYBOOK_NOT_FOUND", message).details(json!({ "path": path }))
}

fn invalid(path: &str, why: &str) -> Error {
    Error::new(Kind::Invalid, "INVALID_PATH", format!("'{path}' {why}")).details(json!({ "path": path }))
}

/// A path that stays in its folder, to a file that may be a playbook.
fn inside(path: &str) -> Result<&Path> {
    let relative = Path::new(path);
    let stays = !path.is_empty()
        && path.len() <= 300
        && relative.components().all(|part| matches!(part, Component::Normal(_)))
        && !path.contains(['\\', '\0'])
        && !path.split('/').any(|part| part.is_empty() || part.starts_with('.'));
    if !stays {
        return Err(invalid(path, "is not a path within the folder of playbooks"));
    }
    let ending = relative.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if !PLAYBOOK_ENDINGS.contains(&ending) {
        return Err(invalid(path, "is not the path of a playbook: it ends with .yaml, .yml or .json"));
    }
    Ok(relative)
}

impl Library {
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders, known: Arc::new(Mutex::new(LruCache::new(KNOWN))) }
    }

    /// Every playbook, by path. Blocks on files.
    pub fn list(&self) -> Vec<Listed> {
        let mut paths: Vec<String> = Vec::new();
        for folder in &self.folders {
            walk(folder, "", 0, &mut paths);
        }
        paths.sort();
        paths.dedup();
        paths.truncate(MOST);
        let listed = |path: String| {
            let document = self.document(&path).map(Box::new).map_err(|error| error.message);
            Listed { path, document }
        };
        paths.into_iter().map(listed).collect()
    }

    /// The text of a playbook. Blocks on files.
    pub fn source(&self, path: &str) -> Result<String> {
        let relative = inside(path)?;
        for folder in &self.folders {
            let Ok(root) = fs::canonicalize(folder) else { continue };
            let Ok(real) = fs::canonicalize(root.join(relative)) else { continue };
            // A link that leads elsewhere is as good as a path that does.
            if !real.starts_with(&root) {
                return Err(invalid(path, "leads out of the folder of playbooks"));
            }
            let unread = |error: std::io::Error| Error::internal("read a playbook", error);
            if !fs::metadata(&real).map_err(unread)?.is_file() {
                return Err(not_found(path));
            }
            let mut bytes = Vec::new();
            fs::File::open(&real).map_err(unread)?.take(LONGEST + 1).read_to_end(&mut bytes).map_err(unread)?;
            if bytes.len() as u64 > LONGEST {
                return Err(Error::new(
                    Kind::TooLarge,
                    "PLAYBOOK_TOO_LARGE",
                    format!("'{path}' is longer than 256 KiB"),
                ));
            }
            return String::from_utf8(bytes).map_err(|_| invalid(path, "is not text in UTF-8"));
        }
        Err(not_found(path))
    }

    /// A playbook as a document. Blocks on files.
    pub fn document(&self, path: &str) -> Result<Document> {
        let source = self.source(path)?;
        if let Some((_, document)) = self.known().get(path).filter(|(text, _)| *text == source) {
            return Ok(document.clone());
        }
        let name = path.rsplit_once('.').map_or(path, |(name, _)| name);
        let title = name.rsplit('/').next().unwrap_or(name);
        let document = read(&source, About { file: Path::new(path), name, title }).map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
            let message = lines.first().cloned().unwrap_or_default();
            Error::new(Kind::Invalid, "VALIDATION_ERROR", message).details(json!({ "path": path, "faults": lines }))
        })?;
        self.known().insert(path.to_owned(), (source, document.clone()));
        Ok(document)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, LruCache<String, (String, Document)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A playbook that is named without its ending, as other documents may.
    pub fn find(&self, name: &str) -> Option<String> {
        let candidates =
            std::iter::once(name.to_owned()).chain(PLAYBOOK_ENDINGS.map(|ending| format!("{name}.{ending}")));
        candidates.into_iter().find(|path| self.source(path).is_ok())
    }

    /// Copies a playbook under a new name beside it; answers the new path. Blocks on files.
    pub fn duplicate(&self, path: &str, name: &str) -> Result<String> {
        let source = self.source(path)?;
        let file: String =
            name.trim().to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let file = file.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
        if file.is_empty() || file.len() > 100 {
            let message = "new_name has no letter or digit that could name a file, or too many";
            return Err(Error::new(Kind::Invalid, "VALIDATION_ERROR", message).details(json!({ "field": "new_name" })));
        }
        let ending = Path::new(path).extension().and_then(|ending| ending.to_str()).unwrap_or("yaml");
        let folder = path.rsplit_once('/').map(|(folder, _)| format!("{folder}/")).unwrap_or_default();
        let new = format!("{folder}{file}.{ending}");
        let relative = inside(&new)?;
        let home = self.folders.iter().find(|root| root.join(path).is_file()).ok_or_else(|| not_found(path))?;
        let root = fs::canonicalize(home).map_err(|error| Error::internal("copy a playbook", error))?;
        let parent = root.join(relative.parent().unwrap_or(Path::new("")));
        let real = fs::canonicalize(&parent).map_err(|error| Error::internal("copy a playbook", error))?;
        if !real.starts_with(&root) {
            return Err(invalid(&new, "leads out of the folder of playbooks"));
        }
        let target = real.join(relative.file_name().unwrap_or_default());
        let text = renamed(&source, name.trim());
        let opened = fs::OpenOptions::new().write(true).create_new(true).open(&target);
        let mut opened = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let message = format!("there is a playbook '{new}' already");
                return Err(Error::conflict("PLAYBOOK_EXISTS", message).details(json!({ "path": new })));
            }
            Err(error) => return Err(Error::internal("copy a playbook", error)),
        };
        use std::io::Write as _;
        opened.write_all(text.as_bytes()).map_err(|error| Error::internal("copy a playbook", error))?;
        opened.sync_all().map_err(|error| Error::internal("copy a playbook", error))?;
        Ok(new)
    }
}

/// The text with another name in the line that names it, everything else as it is.
fn renamed(source: &str, name: &str) -> String {
    let quoted = serde_json::Value::String(name.to_owned()).to_string();
    let mut done = false;
    let lines = source.split_inclusive('\n').map(|line| {
        let body = line.trim_start();
        let is_title = body.starts_with("title:") && line.starts_with(' ');
        if !done && (line.starts_with("name:") || is_title) {
            done = true;
            let key = if is_title { "title" } else { "name" };
            let indent = &line[..line.len() - body.len()];
            let end = if line.ends_with('\n') { "\n" } else { "" };
            return format!("{indent}{key}: {quoted}{end}");
        }
        line.to_owned()
    });
    lines.collect()
}

fn walk(folder: &Path, below: &str, depth: usize, paths: &mut Vec<String>) {
    if depth > DEEPEST || paths.len() > MOST {
        return;
    }
    let Ok(entries) = fs::read_dir(folder.join(below)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        match fs::metadata(entry.path()) {
            Ok(meta) if meta.is_dir() => walk(folder, &path, depth + 1, paths),
            Ok(meta) if meta.is_file() && inside(&path).is_ok() => paths.push(path),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("playbooks");
        fs::create_dir_all(root.join("gateway")).unwrap();
        fs::write(dir.path().join("secret.yaml"), "name: Secret\nsteps: []\n").unwrap();
        let text = "name: \"Original\"  # as it was\nversion: \"1.0\"\nsteps:\n  - {id: a, type: utility.log, parameters: {message: x}}\n";
        fs::write(root.join("gateway/original.yaml"), text).unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret.yaml"), root.join("out.yaml")).unwrap();
        let library = Library::new(vec![root.clone()]);
        assert_eq!(library.document("gateway/original.yaml").unwrap().flow.title, "Original");
        for path in [
            "../secret.yaml",
            "gateway/../../secret.yaml",
            "/etc/hostname",
            "gateway/%2e%2e/x.yaml",
            "out.yaml",
            "",
            ".yaml",
            "gateway",
            "gateway//original.yaml",
            "./gateway/original.yaml",
            "gateway\\original.yaml",
            "gateway/.hidden.yaml",
            "gateway/original.yaml/",
            "gateway/\0.yaml",
        ] {
            let error = library.source(path).unwrap_err();
            assert!(["INVALID_PATH", "PLAYBOOK_NOT_FOUND"].contains(&error.code), "{path}: {error:?}");
        }
        assert_eq!(library.source("gateway/nothing.yaml").unwrap_err().code, "PLAYBOOK_NOT_FOUND");
        let new = library.duplicate("gateway/original.yaml", "My Custom Playbook").unwrap();
        assert_eq!(new, "gateway/my-custom-playbook.yaml");
        let copied = fs::read_to_string(root.join(&new)).unwrap();
        assert!(copied.starts_with("name: \"My Custom Playbook\"\nversion"), "{copied}");
        assert_eq!(
            library.duplicate("gateway/original.yaml", "my custom playbook").unwrap_err().code,
            "PLAYBOOK_EXISTS"
        );
        assert_eq!(library.duplicate("gateway/original.yaml", "../..").unwrap_err().code, "VALIDATION_ERROR");
        let paths: Vec<String> = library.list().into_iter().map(|listed| listed.path).collect();
        assert_eq!(paths, ["gateway/my-custom-playbook.yaml", "gateway/original.yaml", "out.yaml"]);
        assert_eq!(library.find("gateway/original").as_deref(), Some("gateway/original.yaml"));
    }
}
