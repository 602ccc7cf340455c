//! A copy of what is in the vault that only a passphrase opens: for moving to another installation.

use std::fmt::Write as _;

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::cipher::{self, Key};
use crate::model::id::random_hex;

const FORMAT: &str = "parlour-vault-export/v1";

/// The shortest passphrase, in characters.
const SHORTEST: usize = 12;

/// The most that an export may ask of whoever opens it: 1 GiB, 20 passes.
const MOST_MEMORY: u32 = 1024 * 1024;
const MOST_PASSES: u32 = 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Export {
    format: String,
    /// Argon2id: KiB of memory, passes, lanes.
    memory: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    sealed: String,
}

impl Export {
    fn key(&self, passphrase: &str) -> anyhow::Result<Key> {
        let params = Params::new(self.memory, self.passes, self.lanes, Some(32));
        let params = params.map_err(|error| anyhow::anyhow!("the export cannot be used: {error}"))?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.as_bytes(), self.salt.as_bytes(), &mut *key)
            .map_err(|error| anyhow::anyhow!("the passphrase cannot be used: {error}"))?;
        Ok(key)
    }

    /// Everything beside the content is protected as well.
    fn place(&self) -> String {
        let mut place = self.format.clone();
        let _ = write!(place, " {} {} {} {}", self.memory, self.passes, self.lanes, self.salt);
        place
    }
}

/// Seals a text with a passphrase; the result is JSON.
pub fn seal_export(passphrase: &str, plain: &[u8]) -> anyhow::Result<String> {
    anyhow::ensure!(passphrase.chars().count() >= SHORTEST, "a passphrase has at least {SHORTEST} characters");
    let mut export = Export {
        format: FORMAT.to_owned(),
        memory: 64 * 1024,
        passes: 3,
        lanes: 1,
        salt: random_hex::<16>()?,
        sealed: String::new(),
    };
    export.sealed = cipher::seal(&export.key(passphrase)?, &export.place(), plain)?;
    Ok(serde_json::to_string_pretty(&export)?)
}

/// Opens what [`seal_export`] made.
pub fn open_export(passphrase: &str, text: &str) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let export: Export = serde_json::from_str(text).map_err(|_| anyhow::anyhow!("this is no export of a vault"))?;
    anyhow::ensure!(export.format == FORMAT, "this is no export of a vault that this version reads");
    anyhow::ensure!(
        export.memory <= MOST_MEMORY && export.passes <= MOST_PASSES && export.lanes <= 16,
        "this export asks for more memory than is reasonable"
    );
    cipher::open(&export.key(passphrase)?, &export.place(), &export.sealed)
        .map_err(|_| anyhow::anyhow!("the passphrase is wrong, or the export was changed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_opens_with_its_passphrase_alone() {
        let sealed = seal_export("correct horse battery", b"hunter2").unwrap();
        assert!(!sealed.contains("hunter2"));
        assert_eq!(open_export("correct horse battery", &sealed).unwrap().as_slice(), b"hunter2");
        assert!(open_export("correct horse batterz", &sealed).unwrap_err().to_string().contains("passphrase"));
        let cheaper = sealed.replace("\"passes\": 3", "\"passes\": 2");
        assert!(open_export("correct horse battery", &cheaper).is_err(), "what is beside the content counts too");
        let bomb = sealed.replace("\"memory\": 65536", "\"memory\": 4000000000");
        assert!(open_export("correct horse battery", &bomb).unwrap_err().to_string().contains("reasonable"));
        assert!(seal_export("short", b"x").is_err());
        assert!(open_export("correct horse battery", "{}").is_err());
    }
}
