//! The manifests that count now.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use crate::manifest::Fault;
use crate::manifest::connector::{Connector, LoadedConnectors, built_in, load_connectors};

/// What is built in, replaced by what the folders hold. A file with a fault changes nothing: what it said last keeps serving.
pub struct Catalogue {
    folders: Vec<PathBuf>,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    connectors: BTreeMap<String, Arc<Connector>>,
    /// Which type each file held when it was read last without a fault.
    files: BTreeMap<PathBuf, String>,
    faults: Vec<Fault>,
}

impl Catalogue {
    pub fn open(folders: Vec<PathBuf>) -> Self {
        let catalogue = Self { folders, state: RwLock::default() };
        catalogue.reload();
        catalogue
    }

    /// Reads everything again.
    pub fn reload(&self) {
        let LoadedConnectors { mut connectors, mut faults, .. } = built_in();
        let loaded = load_connectors(&self.folders);
        faults.extend(loaded.faults);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let mut files = loaded.files;
        for broken in loaded.broken {
            let Some(kind) = state.files.get(&broken) else { continue };
            if let Some(last) = state.connectors.get(kind).filter(|_| !loaded.connectors.contains_key(kind)) {
                connectors.insert(kind.clone(), last.clone());
                files.insert(broken, kind.clone());
            }
        }
        connectors.extend(loaded.connectors);
        for fault in &faults {
            tracing::warn!("{fault}");
        }
        *state = State { connectors, files, faults };
    }

    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    pub fn get(&self, kind: &str) -> Option<Arc<Connector>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).connectors.get(kind).cloned()
    }

    pub fn all(&self) -> Vec<Arc<Connector>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).connectors.values().cloned().collect()
    }

    /// What is wrong in the files as they are now.
    pub fn faults(&self) -> Vec<Fault> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).faults.clone()
    }
}
