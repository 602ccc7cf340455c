//! All connectors of an installation: those that are built in, and those of its folders.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Connector, read_connector};
use crate::manifest::fault::{Fault, Level};

/// The largest manifest, in bytes: one made from the description of a large API is long.
const LARGEST: u64 = 8 * 1024 * 1024;

/// The manifests that are part of the program.
const BUILT_IN: [(&str, &str); 6] = [
    ("discord.yaml", include_str!("../../../connectors/discord.yaml")),
    ("gateway.yaml", include_str!("../../../connectors/gateway.yaml")),
    ("http.yaml", include_str!("../../../connectors/http.yaml")),
    ("slack.yaml", include_str!("../../../connectors/slack.yaml")),
    ("smtp.yaml", include_str!("../../../connectors/smtp.yaml")),
    ("stripe.yaml", include_str!("../../../connectors/stripe.yaml")),
];

/// Connectors by their type, and what is wrong with the others.
#[derive(Clone, Debug, Default)]
pub struct LoadedConnectors {
    pub connectors: BTreeMap<String, Arc<Connector>>,
    pub faults: Vec<Fault>,
    /// The types of files that have a fault, as far as they could be read: whoever has a good version keeps that.
    pub broken: Vec<PathBuf>,
    /// Which file each connector of a folder comes from.
    pub files: BTreeMap<PathBuf, String>,
}

/// The connectors that every installation has.
pub fn built_in() -> LoadedConnectors {
    let mut loaded = LoadedConnectors::default();
    for (name, source) in BUILT_IN {
        match read_connector(&Path::new("connectors").join(name), source) {
            Ok(connector) => {
                loaded.connectors.insert(connector.kind.clone(), Arc::new(connector));
            }
            Err(faults) => loaded.faults.extend(faults),
        }
    }
    loaded
}

/// Those of some folders; a type that is there twice is a fault of the later file.
pub fn load_connectors(folders: &[PathBuf]) -> LoadedConnectors {
    let mut loaded = LoadedConnectors::default();
    for folder in folders {
        match files(folder) {
            Ok(files) => files.iter().for_each(|file| load_one(file, &mut loaded)),
            Err(error) => {
                let message = format!("the folder of connectors cannot be read: {error}");
                loaded.faults.push(whole(folder, message));
            }
        }
    }
    loaded
}

fn load_one(file: &Path, loaded: &mut LoadedConnectors) {
    let read = match read_file(file) {
        Ok(source) => read_connector(file, &source),
        Err(message) => Err(vec![whole(file, message)]),
    };
    match read {
        Ok(connector) => match loaded.connectors.get(&connector.kind) {
            Some(_) => {
                let message = format!("there is a connector \"{}\" in another file already", connector.kind);
                loaded.faults.push(whole(file, message));
            }
            None => {
                loaded.files.insert(file.to_owned(), connector.kind.clone());
                loaded.connectors.insert(connector.kind.clone(), Arc::new(connector));
            }
        },
        Err(faults) => {
            loaded.broken.push(file.to_owned());
            loaded.faults.extend(faults);
        }
    }
}

fn read_file(file: &Path) -> Result<String, String> {
    let meta = fs::metadata(file).map_err(|error| format!("the file cannot be read: {error}"))?;
    if meta.len() > LARGEST {
        return Err(format!("the file is larger than {LARGEST} bytes"));
    }
    fs::read_to_string(file).map_err(|error| format!("the file cannot be read: {error}"))
}

fn whole(file: &Path, message: String) -> Fault {
    Fault { file: file.to_owned(), line: 1, column: 1, level: Level::Error, message, suggestion: None }
}

fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let is_manifest = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
            let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            is_manifest && !is_hidden && path.is_file()
        })
        .collect();
    files.sort();
    Ok(files)
}
