//! Floor 8: the command line. The only place that prints.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::app;
use crate::clock::{Clock, rfc3339};
use crate::config::{Config, LogFormat, Overrides, Rate};
use crate::crash_point;
use crate::identity::Identity;
use crate::identity::grants::GrantWish;
use crate::identity::keys::KeyWish;
use crate::identity::services::ServiceWish;
use crate::manifest::check::Format;
use crate::model::conversation::Millis;
use crate::model::grant::{Effect, Grant, Reach, Subject};
use crate::model::principal::Role;
use crate::store::audit::{Chain, Doer};
use crate::tasks::Tasks;
use crate::telemetry;

mod bot;
mod chat;
mod check;
mod connector;
mod credential;
mod user;
mod vault;

/// Conversations with bots and the commands behind them, in one program.
#[derive(Parser)]
#[command(name = "parlour", version, about, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    Serve(Settings),
    /// Read every bot, run every command's examples and every bot's tests, report faults with file and line.
    Check(check::Check),
    /// Talk to the bots of a folder in the terminal, without a server.
    Chat(Box<chat::Chat>),
    /// Bots as folders.
    #[command(subcommand)]
    Bot(bot::BotCommand),
    /// Services outside, as their manifests describe them.
    #[command(subcommand)]
    Connector(connector::ConnectorCommand),
    /// Credentials for services outside.
    #[command(subcommand)]
    Credential(credential::CredentialCommand),
    /// What seals credentials.
    #[command(subcommand)]
    Vault(vault::VaultCommand),
    /// People who sign in.
    #[command(subcommand)]
    User(user::UserCommand),
    /// API keys.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Rights beside roles and what bots write as access.
    #[command(subcommand)]
    Grant(GrantCommand),
    /// Programs that come with tokens of another issuer.
    #[command(subcommand)]
    Service(ServiceCommand),
    /// The audit log.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Print a new one-time sign-in link.
    Link(Settings),
    /// Bring the database up to date and stop.
    Migrate(Settings),
    /// Look at the settings, the database and the bots, and say what is wrong.
    Doctor(Settings),
    /// Print the OpenAPI document.
    Openapi,
    /// Print the JSON Schema of the web socket's frames.
    Frames,
    /// Playbooks and workflows.
    #[command(subcommand)]
    Flow(FlowCommand),
    /// Run one script: the server starts this, nobody else needs it.
    #[command(hide = true)]
    ScriptWorker { memory: u64, millis: u64 },
}

#[derive(Subcommand)]
enum FlowCommand {
    /// Print a playbook or workflow of any form as flow/v1.
    Export { file: PathBuf },
    /// Read playbooks and workflows, report faults with file and line.
    Check { files: Vec<PathBuf> },
}

#[derive(Subcommand)]
enum KeyCommand {
    /// Make an API key and print it, this once.
    Create {
        /// What it is for.
        #[arg(long)]
        name: String,
        #[arg(long, value_parser = role)]
        role: Role,
        /// Groups it belongs to; may be given several times.
        #[arg(long = "group")]
        groups: Vec<String>,
        /// A bot whose commands a process with this key may do; may be given several times.
        #[arg(long = "serves")]
        serves: Vec<String>,
        /// When it expires: after a time such as 90d or 12h, or at a date such as 2027-01-31.
        #[arg(long)]
        expires: Option<String>,
        /// All that it may do, such as invoke:command:shop/deploy?environment=staging; may be given several times.
        #[arg(long = "scope")]
        scopes: Vec<Reach>,
        /// A limit of its own such as 60/min; may be given several times.
        #[arg(long = "rate")]
        rates: Vec<Rate>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Print the keys that were not revoked.
    List(Settings),
    /// Revoke a key for good; its sockets are closed within a second.
    Revoke {
        /// Its id, as `key list` prints it.
        id: String,
        #[command(flatten)]
        settings: Settings,
    },
}

#[derive(Subcommand)]
enum GrantCommand {
    /// Give a right, or take it away; it counts within a second.
    Add(Box<NewGrant>),
    /// Print all grants.
    List(Settings),
    /// Remove a grant; it counts no more within a second.
    Remove {
        /// Its id, as `grant list` prints it.
        id: String,
        #[command(flatten)]
        settings: Settings,
    },
}

#[derive(Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["allow", "deny"])))]
struct NewGrant {
    /// user:ID, group:NAME, role:NAME or service:ID.
    #[arg(long)]
    to: Subject,
    /// What is allowed, verbs:kind:name, such as invoke:command:shop/deploy or view,chat:bot:*.
    #[arg(long)]
    allow: Option<Reach>,
    /// What is denied, whatever else allows it.
    #[arg(long)]
    deny: Option<Reach>,
    /// An argument of a command and the values this is about, such as environment=staging|dev; may be given several times.
    #[arg(long = "when")]
    when: Vec<String>,
    /// Why.
    #[arg(long, default_value = "")]
    note: String,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Subcommand)]
enum ServiceCommand {
    /// Enrol a client of an issuer in the settings: its tokens count from here on.
    Add {
        /// What it is known by at the issuer.
        #[arg(long)]
        client_id: String,
        /// What people read; without it the client id.
        #[arg(long)]
        name: Option<String>,
        /// The issuer, when the settings have several.
        #[arg(long)]
        issuer: Option<String>,
        #[arg(long, value_parser = role)]
        role: Role,
        /// Groups it belongs to; may be given several times.
        #[arg(long = "group")]
        groups: Vec<String>,
        /// All that it may do, as of keys; may be given several times.
        #[arg(long = "scope")]
        scopes: Vec<Reach>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Print the services that were not revoked.
    List(Settings),
    /// Revoke a service for good; its sockets are closed within a second.
    Revoke {
        /// Its id, as `service list` prints it.
        id: String,
        #[command(flatten)]
        settings: Settings,
    },
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Walk the whole audit log; exit code 1 and the first wrong row when it is not as it was written.
    Verify(Settings),
}

#[derive(Args)]
struct Settings {
    /// A file with settings.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The address to listen on, such as 127.0.0.1:7710; port 0 takes a free one.
    #[arg(long)]
    listen: Option<String>,
    /// The folder for everything that is kept.
    #[arg(long)]
    data: Option<PathBuf>,
    /// postgres://…, or the path of a SQLite file.
    #[arg(long)]
    database: Option<String>,
    /// A folder with bots; may be given several times.
    #[arg(long)]
    bots: Vec<PathBuf>,
    /// A folder with playbooks; may be given several times.
    #[arg(long)]
    playbooks: Vec<PathBuf>,
    /// A folder with connectors; may be given several times.
    #[arg(long)]
    connectors: Vec<PathBuf>,
}

fn role(text: &str) -> Result<Role, String> {
    Role::parse(text).ok_or_else(|| "a role is admin, user, readonly or executor".to_owned())
}

impl Settings {
    fn load(self) -> anyhow::Result<Config> {
        let Self { config, listen, data, database, bots, playbooks, connectors: connector_dirs } = self;
        Config::load(config.as_deref(), &Overrides { listen, data, database, bots, playbooks, connector_dirs })
    }
}

/// Runs the program to its end.
pub fn run() -> anyhow::Result<ExitCode> {
    let command = match CommandLine::parse().command {
        Command::Check(check) => return check::run(check),
        Command::Bot(command) => return bot::run(command),
        Command::Openapi => {
            print(&format!("{}\n", crate::api::document().to_pretty_json()?))?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Frames => {
            print(&format!("{:#}\n", crate::api::frames()))?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Flow(FlowCommand::Export { file }) => return export_flow(&file),
        Command::Flow(FlowCommand::Check { files }) => return check_flows(&files),
        Command::ScriptWorker { memory, millis } => {
            crate::engine::flow::script::serve(memory, millis, std::io::stdin(), std::io::stdout())?;
            return Ok(ExitCode::SUCCESS);
        }
        command => command,
    };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run_async(command))
}

async fn run_async(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(settings) => serve(settings.load()?).await?,
        Command::Link(settings) => link(&settings.load()?).await?,
        Command::Migrate(settings) => migrate(&settings.load()?).await?,
        Command::Doctor(settings) => return doctor(&settings.load()?).await,
        Command::Key(KeyCommand::Create { name, role, groups, serves, expires, scopes, rates, settings }) => {
            let expires_at = expires.as_deref().map(expiry).transpose()?;
            let wish = KeyWish { name, role, groups, serves, expires_at, rates, scopes };
            create_key(&settings.load()?, wish).await?;
        }
        Command::Grant(command) => grant(command).await?,
        Command::Connector(command) => return Box::pin(connector::run(command)).await,
        Command::Credential(command) => Box::pin(credential::run(command)).await?,
        Command::Vault(command) => Box::pin(vault::run(command)).await?,
        Command::User(command) => Box::pin(user::run(command)).await?,
        Command::Service(command) => service(command).await?,
        Command::Key(KeyCommand::List(settings)) => list_keys(&settings.load()?).await?,
        Command::Key(KeyCommand::Revoke { id, settings }) => revoke_key(&settings.load()?, &id).await?,
        Command::Audit(AuditCommand::Verify(settings)) => return verify_audit(&settings.load()?).await,
        Command::Chat(chat) => return Box::pin(chat::run(*chat)).await,
        Command::Check(_)
        | Command::Bot(_)
        | Command::Openapi
        | Command::Frames
        | Command::Flow(_)
        | Command::ScriptWorker { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a document; its faults are printed and there is none.
fn read_flow(file: &std::path::Path) -> anyhow::Result<Option<crate::manifest::flow::Document>> {
    let source = std::fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let about = crate::manifest::flow::About { file, name: &stem, title: &stem };
    match crate::manifest::flow::read(&source, about) {
        Ok(document) => Ok(Some(document)),
        Err(faults) => {
            for fault in faults {
                say(&fault.to_string());
            }
            Ok(None)
        }
    }
}

fn export_flow(file: &std::path::Path) -> anyhow::Result<ExitCode> {
    let Some(document) = read_flow(file)? else { return Ok(ExitCode::FAILURE) };
    print(&crate::manifest::flow::to_yaml(&document.value))?;
    Ok(ExitCode::SUCCESS)
}

fn check_flows(files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let mut fine = true;
    for file in files {
        match read_flow(file)? {
            Some(document) => document.warnings.iter().for_each(|warning| say(&warning.to_string())),
            None => fine = false,
        }
    }
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn serve(config: Config) -> anyhow::Result<()> {
    telemetry::start(&config.log.level, config.log.format == LogFormat::Json)?;
    // Before it says that it is there: whoever asks it to stop right then is heard, too.
    let mut asked_to_stop = StopSignals::listen()?;
    let running = app::start(&config, Clock::system()).await?;
    say(&format!("Parlour {} is at {}", env!("CARGO_PKG_VERSION"), running.public_url));
    match running.sign_in_link().await {
        Ok(link) => say(&format!("Sign in, once and within the hour: {link}")),
        // The database may go away in this very moment; the server stays, as it would at any other.
        Err(error) => tracing::warn!(%error, "no sign-in link was made; `parlour link` makes one"),
    }
    crash_point::listening();
    asked_to_stop.come().await;
    tracing::info!("stopping");
    running.stop().await;
    Ok(())
}

/// Prints what was asked for. That nobody reads on, as behind `| head`, is no fault.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::{ErrorKind, Write as _};
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("failed to write to standard output"),
        _ => Ok(()),
    }
}

/// Prints a line for whoever reads; a server goes on when nobody does any more.
fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}

struct StopSignals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl StopSignals {
    fn listen() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn come(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Where a server with these settings is reached.
fn reached_at(config: &Config) -> String {
    if config.public_url.is_empty() { format!("http://{}", config.listen) } else { config.public_url.clone() }
}

async fn link(config: &Config) -> anyhow::Result<()> {
    let tasks = Tasks::new();
    let (store, identity) = app::open_store(config, Clock::system(), &tasks).await?;
    let token = identity.make_sign_in_link().await?;
    let url = reached_at(config);
    print(&format!("{url}/auth/local?token={token}\n"))?;
    store.close();
    tasks.stop(Duration::from_secs(10)).await;
    Ok(())
}

async fn create_key(config: &Config, wish: KeyWish) -> anyhow::Result<()> {
    let tasks = Tasks::new();
    let (store, identity) = app::open_store(config, Clock::system(), &tasks).await?;
    let (token, _) = identity.make_key(wish).await?;
    print(&format!("{token}\n"))?;
    store.close();
    tasks.stop(Duration::from_secs(10)).await;
    Ok(())
}

async fn list_keys(config: &Config) -> anyhow::Result<()> {
    let tasks = Tasks::new();
    let (store, identity) = app::open_store(config, Clock::system(), &tasks).await?;
    for key in identity.all_keys().await? {
        let roles: Vec<&str> = key.roles.iter().map(|role| role.as_str()).collect();
        let time = |at: Option<Millis>| at.map_or_else(|| "never".to_owned(), rfc3339);
        print(&format!(
            "{}  {}  {}  used {}  expires {}  {}\n",
            key.id,
            roles.join(","),
            key.owner.as_deref().unwrap_or("-"),
            time(key.last_used_at),
            time(key.expires_at),
            key.name,
        ))?;
    }
    store.close();
    tasks.stop(Duration::from_secs(10)).await;
    Ok(())
}

async fn revoke_key(config: &Config, id: &str) -> anyhow::Result<()> {
    let tasks = Tasks::new();
    let (store, identity) = app::open_store(config, Clock::system(), &tasks).await?;
    let doer = Doer { name: Some("command line".to_owned()), ..Doer::default() };
    let revoked = identity.end_key(id, doer).await;
    store.close();
    tasks.stop(Duration::from_secs(10)).await;
    revoked?;
    print(&format!("{id} is revoked\n"))?;
    Ok(())
}

/// Does something with what signs people in, and closes the database in order.
async fn with_identity<T>(
    config: &Config,
    work: impl AsyncFnOnce(Arc<Identity>, Doer) -> crate::model::Result<T>,
) -> anyhow::Result<T> {
    let tasks = Tasks::new();
    let (store, identity) = app::open_store(config, Clock::system(), &tasks).await?;
    let done = work(identity, Doer { name: Some("command line".to_owned()), ..Doer::default() }).await;
    store.close();
    tasks.stop(Duration::from_secs(10)).await;
    Ok(done?)
}

async fn grant(command: GrantCommand) -> anyhow::Result<()> {
    match command {
        GrantCommand::Add(new) => {
            let NewGrant { to, allow, deny, when, note, settings } = *new;
            let effect = if allow.is_some() { Effect::Allow } else { Effect::Deny };
            let mut reach = allow.or(deny).context("--allow or --deny says what")?;
            for condition in when {
                let (name, values) = condition.split_once('=').with_context(|| {
                    format!("--when {condition}: give an argument and its values, such as environment=staging|dev")
                })?;
                reach.when.insert(name.to_owned(), values.split('|').map(str::to_owned).collect());
            }
            let wish = GrantWish { effect, subject: to, reach, note };
            let grant =
                with_identity(&settings.load()?, async |identity, doer| identity.give(wish, doer).await).await?;
            print(&format!("{}\n", grant.id))?;
        }
        GrantCommand::List(settings) => {
            let grants = with_identity(&settings.load()?, async |identity, _| identity.grants().await).await?;
            for Grant { id, effect, subject, reach, note, created_by, created_at } in grants {
                let (effect, at) = (effect.as_str(), rfc3339(created_at));
                print(&format!("{id}  {effect}  {subject}  {reach}  {at}  {created_by}  {note}\n"))?;
            }
        }
        GrantCommand::Remove { id, settings } => {
            with_identity(&settings.load()?, async |identity, doer| identity.take_back(&id, doer).await).await?;
            print(&format!("{id} is removed\n"))?;
        }
    }
    Ok(())
}

async fn service(command: ServiceCommand) -> anyhow::Result<()> {
    match command {
        ServiceCommand::Add { client_id, name, issuer, role, groups, scopes, settings } => {
            let name = name.unwrap_or_else(|| client_id.clone());
            let wish = ServiceWish { name, issuer, client_id, role, groups, scopes };
            let work = async |identity: Arc<Identity>, doer| identity.enrol_service(wish, doer).await;
            print(&format!("{}\n", with_identity(&settings.load()?, work).await?.id))?;
        }
        ServiceCommand::List(settings) => {
            let services = with_identity(&settings.load()?, async |identity, _| identity.services().await).await?;
            for service in services {
                let roles: Vec<&str> = service.roles.iter().map(|role| role.as_str()).collect();
                print(&format!(
                    "{}  {}  {}  {}  used {}  {}\n",
                    service.id,
                    roles.join(","),
                    service.client_id,
                    service.issuer,
                    service.last_used_at.map_or_else(|| "never".to_owned(), rfc3339),
                    service.name,
                ))?;
            }
        }
        ServiceCommand::Revoke { id, settings } => {
            with_identity(&settings.load()?, async |identity, doer| identity.revoke_service(&id, doer).await).await?;
            print(&format!("{id} is revoked\n"))?;
        }
    }
    Ok(())
}

async fn verify_audit(config: &Config) -> anyhow::Result<ExitCode> {
    let tasks = Tasks::new();
    let (store, _) = app::open_store(config, Clock::system(), &tasks).await?;
    let chain = store.verify_audit().await;
    store.close();
    tasks.stop(Duration::from_secs(10)).await;
    Ok(match chain? {
        Chain::Whole { rows } => {
            print(&format!("{rows} rows, each as it was written\n"))?;
            ExitCode::SUCCESS
        }
        Chain::Broken { seq, fault } => {
            print(&format!("row {seq} is the first that is not as it was written: {fault}\n"))?;
            ExitCode::FAILURE
        }
    })
}

async fn migrate(config: &Config) -> anyhow::Result<()> {
    let tasks = Tasks::new();
    let (store, _) = app::open_store(config, Clock::system(), &tasks).await?;
    print(&format!("{} is up to date\n", store.version()))?;
    store.close();
    tasks.stop(Duration::from_secs(10)).await;
    Ok(())
}

async fn doctor(config: &Config) -> anyhow::Result<ExitCode> {
    let tasks = Tasks::new();
    let (store, _) = app::open_store(config, Clock::system(), &tasks).await?;
    store.ping().await?;
    print(&format!("database  {} answers, up to date\n", store.version()))?;
    store.close();
    tasks.stop(Duration::from_secs(10)).await;
    let now = Clock::system().now();
    print(&format!("clock     {}\n", rfc3339(now)))?;
    print(&match crate::browser::program(&config.browser) {
        Some(program) => format!("browser   {}\n", program.display()),
        None => "browser   none; steps with browser.* fail until Chromium is installed\n".to_owned(),
    })?;
    let report = check::read(&config.bots, &config.connector_dirs);
    print(&report.write(Format::Text))?;
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `90d`, `12h`, `2027-01-31` or RFC 3339, as Unix milliseconds.
fn expiry(text: &str) -> anyhow::Result<Millis> {
    let now = jiff::Timestamp::from_millisecond(Clock::system().now())?;
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return Ok(timestamp.as_millisecond());
    }
    let utc = jiff::tz::TimeZone::UTC;
    if let Ok(date) = text.parse::<jiff::civil::Date>() {
        return Ok(date.to_zoned(utc)?.timestamp().as_millisecond());
    }
    let span: jiff::Span = text
        .parse()
        .with_context(|| format!("--expires {text}: give a time such as 90d, or a date such as 2027-01-31"))?;
    Ok(now.to_zoned(utc).checked_add(span)?.timestamp().as_millisecond())
}
