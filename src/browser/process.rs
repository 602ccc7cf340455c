//! One Chromium: found, started with a profile that goes with it, and ended with all its processes.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::json;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use super::gate::{self, LastRefusal};
use super::pipe::Pipe;
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

/// A browser with one page. Dropped, it is gone with its profile.
pub(super) struct Browser {
    pub(super) pipe: Pipe,
    /// The session of its page.
    pub(super) page: String,
    pub(super) refusal: LastRefusal,
    child: Child,
    profile: PathBuf,
    _work: JoinSet<()>,
}

impl Browser {
    pub(super) async fn start(settings: &config::Browser, guard: Guard, profile: PathBuf) -> Result<Self, Failure> {
        let Some(program) = program(settings) else {
            return Err(unavailable(
                "there is no Chromium here: install it (on Debian, the package chromium), or name it in browser.program",
            ));
        };
        let broken = |error: std::io::Error| unavailable(format!("Chromium cannot be started: {error}"));
        let refusal = LastRefusal::default();
        let (proxy, serve) = gate::open(guard, refusal.clone()).await.map_err(broken)?;
        std::fs::create_dir_all(&profile).map_err(broken)?;
        let child = command(settings, &program, &profile, proxy).spawn();
        let mut child = child.inspect_err(|_| forget(&profile)).map_err(broken)?;
        let (Some(writer), Some(reader)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(unavailable("Chromium has no pipes"));
        };
        let (pipe, talk) = Pipe::open(writer, reader);
        let mut work = JoinSet::new();
        #[expect(clippy::disallowed_methods, reason = "they end with the set, which ends with the browser")]
        {
            work.spawn(serve);
            work.spawn(talk);
        }
        let mut browser = Self { pipe, page: String::new(), refusal, child, profile, _work: work };
        browser.page = browser.attach().await?;
        Ok(browser)
    }

    async fn attach(&self) -> Result<String, Failure> {
        let target = self.pipe.call(None, "Target.createTarget", json!({ "url": "about:blank" })).await;
        let target = target.map_err(|_| {
            unavailable(
                "Chromium ended as it started; run as root, or in a container, it may need browser.sandbox = false",
            )
        })?;
        let params = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.pipe.call(None, "Target.attachToTarget", params).await?;
        let page = attached["sessionId"].as_str().unwrap_or_default().to_owned();
        for domain in ["Page.enable", "Runtime.enable"] {
            self.pipe.call(Some(&page), domain, json!({})).await?;
        }
        self.pipe.call(Some(&page), "Page.setLifecycleEventsEnabled", json!({ "enabled": true })).await?;
        // Nothing is kept here that a page wants to have downloaded.
        self.pipe.call(None, "Browser.setDownloadBehavior", json!({ "behavior": "deny" })).await?;
        Ok(page)
    }

    /// Whether it still runs.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The group: its helpers, too. They would end with their pipes, but not at once.
        if let Some(group) =
            self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        forget(&self.profile);
    }
}

fn forget(profile: &Path) {
    if let Err(error) = std::fs::remove_dir_all(profile)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::debug!(%error, "a browser's profile could not be removed");
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
