//! One Chromium: found, started with a profile that goes with it, and ended with all its processes.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use serde_json::json;
use tokio::process::{Child, Command};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use super::gate::{self, Refusals};
use super::pipe::{Pipe, Tab};
use super::profiles::forget;
use super::screen::Screen;
use super::{Failure, unavailable};
use crate::config;
use crate::fetch::Guard;

/// Where Chromium is looked for when the settings name no program.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

/// The program that would be started; none when there is none.
pub fn program(settings: &config::Browser) -> Option<PathBuf> {
    if !settings.program.as_os_str().is_empty() {
        return settings.program.is_file().then(|| settings.program.clone());
    }
    let path = std::env::var_os("PATH")?;
    NAMES.iter().find_map(|name| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|at| at.is_file()))
}

/// What is said where there is no Chromium.
pub(super) fn missing() -> Failure {
    unavailable(
        "there is no Chromium here: install it (on Debian, the package chromium), or name it in browser.program",
    )
}

/// A browser with one page. Dropped, it is gone with its profile.
pub(super) struct Browser {
    tab: Option<Tab>,
    pipe: Pipe,
    refusals: Refusals,
    child: Child,
    profile: PathBuf,
    work: JoinSet<()>,
}

impl Browser {
    pub(super) async fn start(
        settings: &config::Browser,
        guard: Guard,
        profile: PathBuf,
        screen: Arc<Screen>,
    ) -> Result<Self, Failure> {
        let program = program(settings).ok_or_else(missing)?;
        let broken = |error: std::io::Error| unavailable(format!("Chromium cannot be started: {error}"));
        let refusals = Refusals::default();
        let (proxy, serve) = gate::open(guard, refusals.clone()).await.map_err(broken)?;
        let child = command(settings, &program, &profile, proxy).spawn();
        let mut child = child.inspect_err(|_| forget(&profile)).map_err(broken)?;
        let (Some(writer), Some(reader)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(unavailable("Chromium has no pipes"));
        };
        let (pipe, talk) = Pipe::open(writer, reader);
        let mut work = JoinSet::new();
        spawn(&mut work, serve);
        spawn(&mut work, talk);
        let mut browser = Self { tab: None, pipe, refusals, child, profile, work };
        let tab = browser.attach(settings).await?;
        spawn(&mut browser.work, dismiss(tab.clone()));
        spawn(&mut browser.work, screen.cast(tab.clone()));
        browser.tab = Some(tab);
        Ok(browser)
    }

    async fn attach(&self, settings: &config::Browser) -> Result<Tab, Failure> {
        let target = self.pipe.call(None, "Target.createTarget", json!({ "url": "about:blank" })).await;
        let target = target.map_err(|_| {
            unavailable(
                "Chromium ended as it started; run as root, or in a container, it may need browser.sandbox = false",
            )
        })?;
        let params = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.pipe.call(None, "Target.attachToTarget", params).await?;
        let session = attached["sessionId"].as_str().unwrap_or_default().to_owned();
        let tab = Tab { pipe: self.pipe.clone(), session };
        tab.call("Page.enable", json!({})).await?;
        tab.call("Page.setLifecycleEventsEnabled", json!({ "enabled": true })).await?;
        let size =
            json!({ "width": settings.width, "height": settings.height, "deviceScaleFactor": 1, "mobile": false });
        tab.call("Emulation.setDeviceMetricsOverride", size).await?;
        // Nothing is kept here that a page wants to have downloaded.
        self.pipe.call(None, "Browser.setDownloadBehavior", json!({ "behavior": "deny" })).await?;
        Ok(tab)
    }

    /// Its page; there is one as soon as the browser has started.
    pub(super) fn tab(&self) -> Result<&Tab, Failure> {
        self.tab.as_ref().ok_or_else(Failure::gone)
    }

    /// What its gate refused.
    pub(super) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// A folder that goes with the browser.
    pub(super) fn folder(&self) -> &Path {
        &self.profile
    }

    /// Whether it still runs.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it, and waits until it has.
    pub(super) async fn end(mut self) {
        self.kill();
        let _ = self.child.wait().await;
    }

    fn kill(&self) {
        // The group: its helpers, too. They would end with their pipes, but not at once.
        if let Some(group) =
            self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.kill();
        forget(&self.profile);
    }
}

/// The work ends with the set, which ends with the browser.
fn spawn(work: &mut JoinSet<()>, future: impl Future<Output = ()> + Send + 'static) {
    work.spawn(future);
}

/// Closes what a page puts before itself: until then it answers nothing. What it asks is answered with no.
async fn dismiss(tab: Tab) {
    let mut events = tab.events();
    loop {
        match events.recv().await {
            Ok(event) if event["method"] == "Page.javascriptDialogOpening" => {
                let leaves = event["params"]["type"] == "beforeunload";
                let answer = tab.call("Page.handleJavaScriptDialog", json!({ "accept": leaves }));
                if answer.await.is_err_and(|failure| failure.code == "browser_lost") {
                    return;
                }
            }
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// The pipes are descriptors 3 and 4 to Chromium; the shell puts them there and becomes it.
fn command(settings: &config::Browser, program: &Path, profile: &Path, proxy: std::net::SocketAddr) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null", "sh"]).arg(program);
    command.arg(format!("--user-data-dir={}", profile.display()));
    command.arg(format!("--proxy-server=socks5://{proxy}"));
    command.arg(format!("--window-size={},{}", settings.width, settings.height));
    command.arg(format!("--js-flags=--max-old-space-size={}", (settings.memory / (1024 * 1024)).max(16)));
    command.args([
        "--headless=new",
        "--remote-debugging-pipe",
        // Otherwise addresses of this machine pass the proxy by.
        "--proxy-bypass-list=<-loopback>",
        // Names are resolved by the proxy alone; nothing goes over UDP.
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
        "--disable-quic",
        "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
        "--no-first-run",
        "--no-default-browser-check",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-default-apps",
        "--disable-extensions",
        "--disable-sync",
        "--disable-breakpad",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--mute-audio",
        "--hide-scrollbars",
        "--password-store=basic",
        // What Chromium would ask others for by itself.
        "--disable-client-side-phishing-detection",
        "--disable-component-extensions-with-background-pages",
        "--disable-domain-reliability",
        "--disable-field-trial-config",
        "--disable-search-engine-choice-screen",
        "--metrics-recording-only",
        "--no-pings",
        "--no-service-autorun",
        "--gaia-url=http://nobody.invalid",
        "--google-base-url=http://nobody.invalid",
        concat!(
            "--disable-features=AimEnabled,AimServerEligibilityEnabled,AutofillServerCommunication,",
            "CertificateTransparencyComponentUpdater,DialMediaRouteProvider,GlobalMediaControls,HttpsUpgrades,",
            "InterestFeedContentSuggestions,LensOverlay,MediaRouter,NavigationPredictor,NetworkTimeServiceQuerying,",
            "OptimizationHints,PreconnectToSearch,SearchPrefetchServicePrefetching,Translate"
        ),
    ]);
    if !settings.sandbox {
        command.arg("--no-sandbox");
    }
    command
        .env_clear()
        .env("HOME", profile)
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LANG", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    command
}
