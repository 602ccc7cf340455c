//! The settings as they are shipped.

use figment::Figment;
use figment::providers::{Format as _, Toml};

use super::{Config, DEFAULT};

impl Config {
    /// The default alone, whatever file and environment there are: for what must come out alike everywhere and must not
    /// reach an installation by accident.
    pub fn shipped() -> anyhow::Result<Self> {
        let config: Self = Figment::from(Toml::string(DEFAULT)).extract()?;
        config.validated()
    }
}
