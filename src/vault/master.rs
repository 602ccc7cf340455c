//! Master keys: they seal the keys that seal everything else, and never leave this floor.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::cipher::{self, Key};
use crate::config;
use crate::model::id::sha256_hex;

/// How a line of the key file begins.
const MARK: &str = "parlour-master-key";

/// A master key; its id follows from it, so that it can be named without being told.
#[derive(Clone)]
pub(super) struct Master {
    pub(super) id: String,
    pub(super) key: Key,
}

impl Master {
    fn new(key: Key) -> Self {
        let mut named = Zeroizing::new(b"parlour master key ".to_vec());
        named.extend_from_slice(&*key);
        Self { id: sha256_hex(&named)[..16].to_owned(), key }
    }

    pub(super) fn random() -> anyhow::Result<Self> {
        Ok(Self::new(cipher::new_key()?))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).context("it is no base64")?);
        let key: [u8; 32] = bytes.as_slice().try_into().context("it has 32 bytes, written in base64")?;
        Ok(Self::new(Zeroizing::new(key)))
    }
}

/// Where master keys come from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// From the settings, the current one first.
    Settings(Vec<crate::model::secret::Secret>),
    File(PathBuf),
}

impl Source {
    pub(super) fn new(settings: &config::Vault, data: &Path) -> Self {
        if !settings.key.is_empty() {
            let former = settings.former_keys.iter().cloned();
            return Self::Settings(std::iter::once(settings.key.clone()).chain(former).collect());
        }
        let file =
            if settings.key_file.as_os_str().is_empty() { data.join("vault.key") } else { settings.key_file.clone() };
        Self::File(file)
    }

    /// The keys, the current one first; none when there is no file yet.
    pub(super) fn read(&self) -> anyhow::Result<Vec<Master>> {
        match self {
            Self::Settings(keys) => keys
                .iter()
                .map(|key| Master::parse(key.expose()).context("vault.key or one of vault.former_keys cannot be used"))
                .collect(),
            Self::File(path) => read(path),
        }
    }

    /// Makes the first key, unless somebody just has.
    pub(super) fn create(&self) -> anyhow::Result<Vec<Master>> {
        let Self::File(path) = self else { return self.read() };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let made = Master::random()?;
        let passing = write(path, std::slice::from_ref(&made))?;
        // Linking fails when there is one by now: then that one counts.
        let linked = fs::hard_link(&passing, path);
        fs::remove_file(&passing)?;
        if let Err(error) = linked
            && error.kind() != std::io::ErrorKind::AlreadyExists
        {
            return Err(error).with_context(|| format!("failed to make the key file {}", path.display()));
        }
        sync_folder(path)?;
        read(path)
    }

    /// Replaces all keys at once: a reader sees all the old ones or all the new ones.
    pub(super) fn replace(&self, keys: &[Master]) -> anyhow::Result<()> {
        let Self::File(path) = self else { anyhow::bail!("the master key is in the settings and is changed there") };
        let passing = write(path, keys)?;
        crate::crash_point::reached("vault.file_written");
        fs::rename(&passing, path)?;
        sync_folder(path)
    }

    pub(super) fn place(&self) -> String {
        match self {
            Self::Settings(_) => "the setting vault.key".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<Master>> {
    let place = path.display();
    let meta = match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        meta => meta.with_context(|| format!("failed to read the key file {place}"))?,
    };
    anyhow::ensure!(
        meta.permissions().mode() & 0o077 == 0,
        "the key file {place} can be read by others than its owner: chmod 600 {place}"
    );
    let text =
        Zeroizing::new(fs::read_to_string(path).with_context(|| format!("failed to read the key file {place}"))?);
    let mut keys = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let fault = || format!("line {} of the key file {place} cannot be used", at + 1);
        let mut words = line.split_whitespace();
        anyhow::ensure!(words.next() == Some(MARK), "{}", fault());
        let (id, key) = words.next().zip(words.next()).with_context(fault)?;
        let master = Master::parse(key).with_context(fault)?;
        anyhow::ensure!(master.id == id, "{}: the key is not the one it says", fault());
        keys.push(master);
    }
    anyhow::ensure!(!keys.is_empty(), "the key file {place} holds no key");
    Ok(keys)
}

/// Writes a file beside `path` that only its owner may read, all of it on disk; says where.
fn write(path: &Path, keys: &[Master]) -> anyhow::Result<PathBuf> {
    let name = path.file_name().context("the key file has no name")?.to_string_lossy().into_owned();
    let passing = path.with_file_name(format!(".{name}.{}", crate::model::id::new_id()));
    let mut text = Zeroizing::new(String::new());
    for master in keys {
        let encoded = Zeroizing::new(STANDARD.encode(*master.key));
        text.push_str(&format!("{MARK} {} {}\n", master.id, encoded.as_str()));
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&passing)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(passing)
}

fn sync_folder(path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_its_owners_alone_and_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/vault.key");
        let source = Source::File(path.clone());
        assert!(source.read().unwrap().is_empty());
        let first = source.create().unwrap();
        assert_eq!(source.create().unwrap()[0].id, first[0].id, "the first one stays");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let next = Master::random().unwrap();
        source.replace(&[next.clone(), first[0].clone()]).unwrap();
        let ids: Vec<_> = source.read().unwrap().into_iter().map(|master| master.id).collect();
        assert_eq!(ids, [next.id, first[0].id.clone()]);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(source.read().err().unwrap().to_string().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for wrong in
            ["", "secret", "parlour-master-key x AAAA", &format!("parlour-master-key x {}", STANDARD.encode([7; 32]))]
        {
            fs::write(&path, wrong).unwrap();
            assert!(source.read().is_err(), "{wrong}");
        }
    }
}
