//! Floor 1: logs. To standard error, so that standard output stays for what a person or a program asked for.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// Starts logging; called once, by the binary. `level` is a level or a list such as `info,parlour=debug`.
pub fn start(level: &str, json: bool) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_new(level).map_err(|error| anyhow::anyhow!("log.level {level:?} is not a filter: {error}"))?;
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init()
    };
    started.map_err(|error| anyhow::anyhow!("failed to start logging: {error}"))
}
