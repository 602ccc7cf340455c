//! Floor 8: puts the house together, runs it, takes it down.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::serve::ListenerExt as _;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc::Receiver;

use crate::api::{self, Address, Api, Chats, Rooms};
use crate::browser::Browsers;
use crate::bus::Bus;
use crate::chat::discord::Discord;
use crate::chat::outside::{Carrier, ChatAdapter, Outside};
use crate::chat::slack::Slack;
use crate::chat::{Cleared, FileLimits, Files, Hub, Patience};
use crate::clock::Clock;
use crate::config::Config;
use crate::connector::{self, Connectors};
use crate::engine::flow::artifacts::{ArtifactLimits, Artifacts};
use crate::engine::flow::{self, Flows};
use crate::engine::registry::Registry;
use crate::engine::{Engine, approval, remote, schedule};
use crate::fetch::{Fetch, StandIn};
use crate::files::Folder;
use crate::identity::Identity;
use crate::identity::oidc::Oidc;
use crate::identity::people::People;
use crate::identity::scim::Provisioning;
use crate::manifest::Watcher;
use crate::model::conversation::Millis;
use crate::outbox::{Hooks, Outbox, Teller, Transport};
use crate::store::audit::{Action, Deed, Doer};
use crate::store::prune::Pruned;
use crate::store::{Alone, Store, Target};
use crate::tasks::Tasks;
use crate::vault::Vault;

/// How long requests and sockets have to end at a shutdown.
const DRAIN: Duration = Duration::from_secs(20);

/// How often files that nobody wants are cleared away.
const CLEARING: Duration = Duration::from_secs(60 * 60);

/// A server that is running.
pub struct Running {
    pub address: SocketAddr,
    pub public_url: String,
    pub identity: Arc<Identity>,
    pub store: Arc<Store>,
    pub engine: Arc<Engine>,
    pub hub: Arc<Hub>,
    pub connectors: Arc<Connectors>,
    tasks: Tasks,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
    /// Given back last.
    _alone: Option<Alone>,
}

/// Opens the database and what signs people in: all that the commands beside `serve` need.
pub async fn open_store(config: &Config, clock: Clock, tasks: &Tasks) -> anyhow::Result<(Arc<Store>, Arc<Identity>)> {
    let target = Target::parse(&config.database_target());
    let store = Store::open(&target, Bus::new(), tasks).await?;
    let identity = Arc::new(Identity::new(store.clone(), clock, config)?);
    Ok((store, identity))
}

/// Starts the server; it answers when this returns.
pub async fn start(config: &Config, clock: Clock) -> anyhow::Result<Running> {
    for folder in &config.bots {
        let place = folder.display();
        anyhow::ensure!(
            folder.is_dir(),
            "there is no folder of bots at {place}; name one with --bots (setting `bots`)"
        );
    }
    let tasks = Tasks::new();
    let listener = TcpListener::bind(&config.listen)
        .await
        .with_context(|| format!("failed to listen on {} (setting `listen`)", config.listen))?;
    let address = listener.local_addr()?;
    let alone = Target::parse(&config.database_target()).take()?;
    let (store, identity) = open_store(config, clock.clone(), &tasks).await?;
    if alone.is_some() {
        // Whoever worked here before is gone: nobody has to wait for their leases.
        store.lapse_steps(clock.now()).await?;
        store.lapse_tokens(clock.now()).await?;
        let freed = store.free_leases(clock.now()).await?;
        if freed > 0 {
            tracing::info!(freed, "deliveries given back that processes had before the start");
        }
    }
    // The watch begins before the first reading, so that no change falls between.
    let (watcher, changes) = Watcher::channel(&config.bots).context("failed to watch the folders of bots")?;
    let folders = config.bots.clone();
    let registry = tokio::task::spawn_blocking(move || Registry::open(folders)).await?;
    let record = Recorder { store: store.clone(), clock: clock.clone() };
    reload_on_change(&registry, watcher, changes, record, &tasks);
    let outbound = Outbound::open(config, &store, &clock, &tasks).await?;
    let connectors = open_connectors(config, &outbound, &tasks).await?;
    let folder = open_folder(config, store.epoch())?;
    let browsers = browsers(config, &outbound, &tasks);
    let flows = flows(config, connectors.clone(), browsers, artifacts(config, &store, &clock, &folder));
    let engine = Engine::new(registry, store.clone(), clock.clone(), flows);
    remote::keep_deadlines(&engine, &tasks);
    approval::watch(&engine, &tasks);
    flow::keep_flows(&engine, &tasks);
    schedule::keep_schedules(&engine, &tasks);
    let files = files(config, folder);
    let millis = |time: SignedDuration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 2);
    let patience = Patience { expires: millis(config.dialogs.expires), reminder: millis(config.dialogs.reminder) };
    let hub = Hub::new(engine.clone(), files, patience);
    hub.watch_expiry(&tasks);
    clear_files(&hub, &engine, &tasks);
    prune(&store, &clock, millis(config.retention.ended), &tasks);
    let reached = Address::new(&config.public_url, address);
    engine.reached_at(&reached.public_url);
    connectors.reached_at(&reached.public_url);
    let people = People::new(&config.directory, store.clone(), identity.clone(), clock.clone())?;
    let provisioning = Provisioning::new(&config.scim, &config.oidc, store.clone(), identity.clone(), clock.clone());
    let oidc =
        Oidc::new(&config.oidc, &config.scim, &reached.public_url, store.clone(), identity.clone(), clock.clone())?;
    let hooks = open_hooks(config, &outbound, &tasks).await?;
    let chats = open_chats(config, &reached.public_url, &hub, &identity, &outbound, &tasks).await?;
    let rooms = Rooms {
        engine: engine.clone(),
        hub: hub.clone(),
        identity: identity.clone(),
        people,
        provisioning,
        connectors: connectors.clone(),
        hooks,
        oidc,
        chats,
        tasks: tasks.clone(),
    };
    let api = Api::new(rooms, &reached, config);
    tasks.spawn("watch", api::watch(api.clone()));
    tasks.spawn("people", api::watch_people(api.clone()));
    // Every door may ask who is at the other end.
    let router = api::router(api).into_make_service_with_connect_info::<SocketAddr>();
    // An acknowledgement and the reply are two small writes; the second would wait up to 40 ms for the client's system to
    // confirm the first.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "failed to switch off the delay of small writes");
        }
    });
    let stop = tasks.stop_token().clone();
    #[expect(
        clippy::disallowed_methods,
        reason = "the accept loop is awaited by `Running`, not by the tasks it serves"
    )]
    let server = tokio::spawn(async move {
        axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await }).await
    });
    Ok(Running {
        address,
        public_url: reached.public_url,
        identity,
        store,
        engine,
        hub,
        connectors,
        tasks,
        server,
        _alone: alone,
    })
}

/// The vault of an open store.
pub async fn open_vault(config: &Config, store: &Arc<Store>, clock: &Clock) -> anyhow::Result<Arc<Vault>> {
    std::fs::create_dir_all(&config.data)?;
    let vault = Vault::open(&config.vault, &config.data, store.clone(), clock.clone()).await;
    vault.map(Arc::new).context("failed to open the vault")
}

/// What connectors and webhooks share.
pub struct Outbound {
    fetch: Fetch,
    vault: Arc<Vault>,
    store: Arc<Store>,
    clock: Clock,
    tasks: Tasks,
}

impl Outbound {
    pub async fn open(config: &Config, store: &Arc<Store>, clock: &Clock, tasks: &Tasks) -> anyhow::Result<Self> {
        let vault = open_vault(config, store, clock).await?;
        Ok(Self {
            fetch: Fetch::new(&config.fetch)?,
            vault,
            store: store.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
        })
    }

    /// The same with something that answers instead of the world.
    pub async fn answered_by(
        config: &Config,
        store: &Arc<Store>,
        clock: &Clock,
        tasks: &Tasks,
        stand_in: StandIn,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            fetch: Fetch::answered_by(&config.fetch, stand_in)?,
            ..Self::open(config, store, clock, tasks).await?
        })
    }

    /// The connectors, without a watch over their folders.
    pub async fn connectors(&self, config: &Config) -> anyhow::Result<Arc<Connectors>> {
        let overrides = config.connectors.iter();
        let base_urls = overrides.map(|(kind, settings)| (kind.clone(), settings.base_url.clone())).collect();
        let settings = connector::Settings { folders: config.connector_dirs.clone(), base_urls };
        let Self { fetch, vault, store, clock, tasks } = self;
        let (fetch, vault, store) = (fetch.clone(), vault.clone(), store.clone());
        let around = (clock.clone(), tasks.clone());
        Ok(tokio::task::spawn_blocking(move || Connectors::open(settings, fetch, store, vault, around)).await?)
    }
}

/// Webhooks, and the task that tells them.
async fn open_hooks(config: &Config, outbound: &Outbound, tasks: &Tasks) -> anyhow::Result<Arc<Hooks>> {
    let Outbound { fetch, vault, store, clock, .. } = outbound;
    store.look_for_webhooks().await?;
    let shared = || (store.clone(), vault.clone(), fetch.clone(), clock.clone());
    let (store, vault, fetch, clock) = shared();
    Teller::new(store, vault, fetch, clock, &config.webhooks).start(tasks);
    let (store, vault, fetch, clock) = shared();
    Ok(Arc::new(Hooks::new(store, vault, fetch, clock)))
}

async fn open_connectors(config: &Config, outbound: &Outbound, tasks: &Tasks) -> anyhow::Result<Arc<Connectors>> {
    for folder in &config.connector_dirs {
        let place = folder.display();
        anyhow::ensure!(
            folder.is_dir(),
            "there is no folder of connectors at {place} (--connectors, `connector_dirs`)"
        );
    }
    let (watcher, mut changes) =
        Watcher::of_files(&config.connector_dirs).context("failed to watch the folders of connectors")?;
    let connectors = outbound.connectors(config).await?;
    let (watched, stop) = (connectors.clone(), tasks.stop_token().clone());
    tasks.spawn("connector watcher", async move {
        let _watcher = watcher;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = changes.recv() => if changed.is_none() { return },
            }
            let reading = watched.clone();
            if let Err(error) = tokio::task::spawn_blocking(move || reading.catalogue().reload()).await {
                tracing::error!(%error, "failed to read the connectors again");
            }
        }
    });
    Ok(connectors)
}

/// Sets the chats outside up, and starts what carries to and fro.
async fn open_chats(
    config: &Config,
    public_url: &str,
    hub: &Arc<Hub>,
    identity: &Arc<Identity>,
    outbound: &Outbound,
    tasks: &Tasks,
) -> anyhow::Result<Chats> {
    let (store, clock) = (hub.store(), hub.clock());
    let carrier = |hosts| Carrier::new(outbound.fetch.clone(), hub.clone(), hosts);
    let rooms = (store, &outbound.vault, clock);
    let slack = Slack::new(&config.slack, public_url, carrier(&config.slack.file_hosts), rooms)?;
    let discord = Discord::new(&config.discord, public_url, store, carrier(&config.discord.file_hosts))?;
    let mut adapters: Vec<Arc<dyn ChatAdapter>> = Vec::new();
    adapters.extend(slack.clone().map(|slack| slack as Arc<dyn ChatAdapter>));
    adapters.extend(discord.clone().map(|discord| discord as Arc<dyn ChatAdapter>));
    let transports = adapters.iter().map(|adapter| adapter.clone() as Arc<dyn Transport>).collect();
    let outbox = Outbox::new(
        store.clone(),
        identity.clone(),
        clock.clone(),
        public_url,
        transports,
        config.outside.groups.clone(),
    );
    let is_any = !adapters.is_empty();
    let outside = Outside::new(hub.clone(), identity.clone(), clock.clone(), config.outside.guest_role, adapters);
    if is_any {
        store.take_up_outside(clock.now()).await?;
        outside.start(tasks);
        outbox.start(tasks);
    }
    if let Some(slack) = &slack {
        slack.listen(&outside, tasks);
    }
    if let Some(discord) = &discord {
        discord.listen(&outside, tasks);
    }
    Ok(Chats { outside, outbox, slack, discord })
}

/// What works on runs.
pub(crate) fn flows(
    config: &Config,
    connectors: Arc<Connectors>,
    browsers: Option<Arc<Browsers>>,
    artifacts: Artifacts,
) -> Flows {
    let millis = |duration: jiff::SignedDuration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4);
    let limits = flow::Limits {
        workers: config.flows.workers.max(1),
        lease: millis(config.flows.lease),
        script_memory: config.flows.script_memory,
        script_program: (!config.flows.script_program.as_os_str().is_empty())
            .then(|| config.flows.script_program.clone()),
    };
    Flows::new(config.playbooks.clone(), limits, flow::actions::Actions::new(connectors, browsers, artifacts))
}

/// The browsers of this server; none when something answers instead of the world.
pub(crate) fn browsers(config: &Config, outbound: &Outbound, tasks: &Tasks) -> Option<Arc<Browsers>> {
    if outbound.fetch.is_answered() {
        return None;
    }
    let guard = outbound.fetch.guard().clone();
    let browsers = Arc::new(Browsers::new(config.browser.clone(), guard, config.data.join("browsers")));
    browsers.watch(tasks);
    Some(browsers)
}

/// Where what runs leave is kept: among the files.
pub(crate) fn artifacts(config: &Config, store: &Arc<Store>, clock: &Clock, folder: &Arc<Folder>) -> Artifacts {
    let settings = &config.artifacts;
    let limits = ArtifactLimits {
        max_size: settings.max_size,
        most: i64::from(settings.most),
        kept_for: i64::try_from(settings.kept_for.as_millis()).unwrap_or(i64::MAX / 2),
    };
    Artifacts::new(store.clone(), clock.clone(), folder.clone(), limits)
}

/// The folder of the bytes that are kept beside the database.
pub(crate) fn open_folder(config: &Config, epoch: &str) -> anyhow::Result<Arc<Folder>> {
    let root = config.data.join("files");
    let place = root.display().to_string();
    let folder = Folder::open(root, epoch).with_context(|| format!("failed to open the folder for files, {place}"))?;
    if folder.is_foreign() {
        let mark = folder.mark().display().to_string();
        tracing::warn!(
            folder = place,
            mark,
            "the folder for files was begun with another database; nothing is cleared away in it until the mark is removed"
        );
    }
    Ok(Arc::new(folder))
}

/// The files that are sent along, in that folder.
pub(crate) fn files(config: &Config, folder: Arc<Folder>) -> Files {
    let unused_for = i64::try_from(config.files.unused_for.as_millis()).unwrap_or(i64::MAX / 2);
    let limits = FileLimits { max_size: config.files.max_size, quota: config.files.quota, unused_for };
    Files::new(folder, limits)
}

/// Clears away files that nobody wants and artifacts that were kept long enough, now and from time to time.
fn clear_files(hub: &Arc<Hub>, engine: &Arc<Engine>, tasks: &Tasks) {
    let (hub, engine, stop) = (hub.clone(), engine.clone(), tasks.stop_token().clone());
    tasks.spawn("file clearing", async move {
        loop {
            match hub.clear_files(|| !stop.is_cancelled()).await {
                Ok(cleared) if cleared == Cleared::default() => {}
                Ok(cleared) => tracing::info!(unsent = cleared.unsent, orphans = cleared.orphans, "files cleared away"),
                Err(error) => {
                    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    tracing::error!(source, "failed to clear files away: {error}");
                }
            }
            match engine.clear_artifacts(|| !stop.is_cancelled()).await {
                Ok(0) => {}
                Ok(cleared) => tracing::info!(cleared, "artifacts cleared away"),
                Err(error) => {
                    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    tracing::error!(source, "failed to clear artifacts away: {error}");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(CLEARING) => {}
            }
        }
    });
}

/// Takes rows away that nothing reads any more, now and from time to time.
fn prune(store: &Arc<Store>, clock: &Clock, kept_for: Millis, tasks: &Tasks) {
    let (store, clock, stop) = (store.clone(), clock.clone(), tasks.stop_token().clone());
    tasks.spawn("pruning", async move {
        loop {
            match store.prune(clock.now() - kept_for, || !stop.is_cancelled()).await {
                Ok(pruned) if pruned == Pruned::default() => {}
                Ok(Pruned { actions, deliveries }) => {
                    tracing::info!(actions, deliveries, "rows that are over were pruned")
                }
                Err(error) => tracing::error!(%error, "failed to prune"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(CLEARING) => {}
            }
        }
    });
}

/// The version of each bot that serves, and how it does.
fn versions(registry: &Registry) -> BTreeMap<String, Value> {
    let snapshot = registry.snapshot();
    let of = |name: &str| snapshot.bot(name).map(|loaded| loaded.bot.version.clone());
    snapshot
        .statuses()
        .map(|(name, status)| (name.to_owned(), json!({ "version": of(name), "status": status.word() })))
        .collect()
}

/// Adds to the audit log what no request asked for.
struct Recorder {
    store: Arc<Store>,
    clock: Clock,
}

impl Recorder {
    async fn bots_reloaded(&self, bots: &BTreeMap<String, Value>) {
        let deed = Deed {
            at: self.clock.now(),
            action: Action::BotsReload,
            doer: Doer::default(),
            target: None,
            details: json!({ "bots": bots }),
        };
        if let Err(error) = self.store.record(deed).await {
            tracing::error!(%error, "a change of the bots was not added to the audit log");
        }
    }
}

/// Reads the bots again whenever their files change.
fn reload_on_change(
    registry: &Arc<Registry>,
    watcher: Watcher,
    mut changes: Receiver<()>,
    recorder: Recorder,
    tasks: &Tasks,
) {
    let (registry, stop) = (registry.clone(), tasks.stop_token().clone());
    tasks.spawn("bot watcher", async move {
        let _watcher = watcher;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = changes.recv() => if changed.is_none() { return },
            }
            let (before, reading) = (versions(&registry), registry.clone());
            if let Err(error) = tokio::task::spawn_blocking(move || reading.reload()).await {
                tracing::error!(%error, "failed to read the bots again");
            }
            let after = versions(&registry);
            if before != after {
                recorder.bots_reloaded(&after).await;
            }
        }
    });
}

impl Running {
    /// The address of a one-time sign-in link.
    pub async fn sign_in_link(&self) -> anyhow::Result<String> {
        let token = self.identity.make_sign_in_link().await?;
        Ok(format!("{}/auth/local?token={token}", self.public_url))
    }

    /// Takes no new work, lets what is under way end, writes what is queued.
    pub async fn stop(self) {
        self.tasks.stop_token().cancel();
        let server = tokio::time::timeout(DRAIN, self.server).await;
        if !matches!(server, Ok(Ok(Ok(())))) {
            tracing::warn!("requests were still under way at the end");
        }
        self.store.close();
        let left = self.tasks.stop(DRAIN).await;
        if left > 0 {
            tracing::warn!(left, "tasks were still running at the end");
        }
    }
}
