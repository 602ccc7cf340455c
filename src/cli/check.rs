//! `parlour check`: everything that can be known about bots before anybody talks to them, and their tests.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::print;
use crate::engine::builtin;
use crate::manifest::Fault;
use crate::manifest::bot_test::{BotTest, load_tests};
use crate::manifest::check::{self, Report};
use crate::simulator::trial::{self, Around};

/// Tests that run at the same time.
const AT_ONCE: usize = 4;

#[derive(Args)]
pub(super) struct Check {
    /// Folders with bots.
    #[arg(default_value = "bots")]
    folders: Vec<PathBuf>,
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// A folder with connectors; may be given several times.
    #[arg(long)]
    connectors: Vec<PathBuf>,
    /// A folder with playbooks, for tests of commands that start some; may be given several times.
    #[arg(long)]
    playbooks: Vec<PathBuf>,
    /// Read the tests of bots, but do not run them.
    #[arg(long)]
    no_tests: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
    Github,
}

/// Checks bots and runs their tests; exit code 1 on any fault.
pub(super) fn run(check: Check) -> anyhow::Result<ExitCode> {
    let Check { folders, format, connectors, playbooks, no_tests } = check;
    let format = match format {
        Format::Text => check::Format::Text,
        Format::Json => check::Format::Json,
        Format::Github => check::Format::Github,
    };
    let mut report = read(&folders, &connectors);
    let (tests, faults) = load_tests(&folders);
    report.add_faults(faults);
    // Of bots that cannot be loaded the tests would tell the same again, in other words.
    if report.is_ok() && !no_tests && !tests.is_empty() {
        let around = Around { bots: folders, playbooks, connectors };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        report.tests = tests.len();
        report.add_faults(runtime.block_on(run_tests(&tests, &around))?);
    }
    print(&report.write(format))?;
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is wrong with bots and connectors as they are written.
pub(super) fn read(folders: &[PathBuf], connectors: &[PathBuf]) -> Report {
    let mut report = check::check(folders, &[Arc::new(builtin::bot())]);
    report.add_connectors(connectors);
    report
}

async fn run_tests(tests: &[BotTest], around: &Around) -> anyhow::Result<Vec<(PathBuf, Fault)>> {
    // Their futures are large, and there are several of them.
    let runs: Vec<_> = tests.iter().map(|test| Box::pin(run_test(test, around))).collect();
    let faults: Vec<Vec<(PathBuf, Fault)>> = futures_util::stream::iter(runs).buffered(AT_ONCE).try_collect().await?;
    Ok(faults.into_iter().flatten().collect())
}

async fn run_test(test: &BotTest, around: &Around) -> anyhow::Result<Vec<(PathBuf, Fault)>> {
    let faults = trial::run(test, around).await?;
    Ok(faults.into_iter().map(|fault| (test.dir.clone(), fault)).collect())
}
