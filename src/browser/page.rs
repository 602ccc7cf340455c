//! What steps do on a page.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::picture::{self, Picture};
use super::process::Browser;
use super::{Done, Failure, Order, input};
use crate::config;
use crate::fetch::Guard;
use crate::files::clean_name;
use crate::model::effect::Effect;
use crate::model::id::new_id;

/// An action, what doing it again would do, and its parameters besides `timeout`.
pub(super) type Action = (&'static str, Effect, &'static [&'static str]);

pub(super) const ACTIONS: [Action; 12] = [
    ("navigate", Effect::Idempotent, &["url", "wait_until"]),
    ("click", Effect::Once, &["selector"]),
    ("fill", Effect::Idempotent, &["selector", "value"]),
    ("keyboard", Effect::Once, &["key"]),
    ("file_upload", Effect::Idempotent, &["selector", "file", "files", "file_path"]),
    ("screenshot", Effect::Pure, &["name", "full_page"]),
    ("wait", Effect::Pure, &["selector", "state"]),
    ("verify", Effect::Pure, &["selector", "exists"]),
    ("verify_text", Effect::Pure, &["selector", "text", "match"]),
    ("verify_attribute", Effect::Pure, &["selector", "attribute", "value"]),
    ("verify_state", Effect::Pure, &["selector", "state"]),
    ("get_text", Effect::Pure, &["selector"]),
];

/// How long an action waits for what it needs, unless its `timeout` says otherwise, in milliseconds.
const PATIENCE: u64 = 30_000;

/// How often a page is looked at while something is waited for.
const LOOK: Duration = Duration::from_millis(50);

/// The longest text that is taken from a page, in characters.
const LONGEST: usize = 64 * 1024;

/// Finds an element: CSS, `text=…` (the innermost that shows it) or `xpath=…`.
const FIND: &str = r#"
const find = selector => {
  if (selector.startsWith("xpath="))
    return document.evaluate(selector.slice(6), document, null, XPathResult.FIRST_ORDERED_NODE_TYPE, null).singleNodeValue;
  if (selector.startsWith("text=")) {
    const wanted = selector.slice(5).trim();
    const all = [...document.querySelectorAll("body *")].filter(e => (e.innerText ?? "").includes(wanted));
    return all.find(e => !all.some(other => other !== e && e.contains(other))) ?? null;
  }
  return document.querySelector(selector);
};
const visible = e => { const r = e.getBoundingClientRect(); const s = getComputedStyle(e);
  return r.width > 0 && r.height > 0 && s.visibility !== "hidden" && s.display !== "none"; };
const text = e => (e instanceof HTMLInputElement || e instanceof HTMLTextAreaElement || e instanceof HTMLSelectElement)
  ? e.value : (e.innerText ?? e.textContent ?? "");
"#;

/// The parameters of one step.
pub(super) struct Input<'a> {
    action: &'a str,
    values: &'a Value,
}

impl Input<'_> {
    pub(super) fn wrong(&self, why: impl std::fmt::Display) -> Failure {
        Failure::new("invalid_parameters", format!("browser.{}: {why}", self.action))
    }

    pub(super) fn optional(&self, name: &str) -> Result<Option<&str>, Failure> {
        match &self.values[name] {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text)),
            _ => Err(self.wrong(format_args!("{name} must be a text"))),
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<&str, Failure> {
        self.optional(name)?.ok_or_else(|| self.wrong(format_args!("{name} is missing")))
    }

    /// As JSON, in which every text is also one of JavaScript.
    pub(super) fn literal(&self, name: &str) -> Result<Value, Failure> {
        self.text(name).map(|text| json!(text))
    }

    fn flag(&self, name: &str, default: bool) -> Result<bool, Failure> {
        match &self.values[name] {
            Value::Null => Ok(default),
            Value::Bool(flag) => Ok(*flag),
            // Older playbooks fill in texts.
            Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err(self.wrong(format_args!("{name} must be true or false"))),
        }
    }

    /// `timeout` is in milliseconds.
    fn until(&self) -> Result<Instant, Failure> {
        let given = &self.values["timeout"];
        let millis = match given {
            Value::Null => Some(PATIENCE),
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_u64(),
        };
        let millis = millis.ok_or_else(|| self.wrong("timeout must be a number of milliseconds"))?;
        Ok(Instant::now() + Duration::from_millis(millis.min(24 * 60 * 60 * 1000)))
    }

    fn choice<'a>(&'a self, name: &str, choices: &[&'a str]) -> Result<&'a str, Failure> {
        let Some(given) = self.optional(name)? else { return Ok(choices[0]) };
        match choices.iter().find(|choice| choice.eq_ignore_ascii_case(given)) {
            Some(choice) => Ok(choice),
            None => Err(self.wrong(format_args!("{name} must be one of {}, not {given}", choices.join(", ")))),
        }
    }
}

/// Refuses parameters that an action does not have: a misspelt one would count for nothing.
pub(super) fn check(order: &Order<'_>) -> Result<(), Failure> {
    let Some((name, _, parameters)) = ACTIONS.iter().find(|(name, ..)| *name == order.action) else {
        let known: Vec<&str> = ACTIONS.iter().map(|(name, ..)| *name).collect();
        let message = format!("there is no action browser.{}; there are {}", order.action, known.join(", "));
        return Err(Failure::new("unknown_action", message));
    };
    let given = order.input.as_object().into_iter().flat_map(serde_json::Map::keys);
    match given.into_iter().find(|key| *key != "timeout" && !parameters.contains(&key.as_str())) {
        Some(key) => {
            let message = format!("browser.{name} has no parameter {key}; it has {}, timeout", parameters.join(", "));
            Err(Failure::new("invalid_parameters", message))
        }
        None => Ok(()),
    }
}

/// Does an action, and says what is to be kept of the page.
pub(super) async fn perform(browser: &Browser, guard: &Guard, order: &Order<'_>, settings: &config::Browser) -> Done {
    let input = Input { action: order.action, values: order.input };
    let mut pictures = Vec::new();
    let result = match order.action {
        "navigate" => navigate(browser, guard, &input).await,
        "click" => click(browser, &input).await,
        "fill" => fill(browser, &input).await,
        "keyboard" => match browser.tab() {
            Ok(tab) => input::keyboard(tab, &input).await,
            Err(failure) => Err(failure),
        },
        "file_upload" => upload(browser, &input, &order.files).await,
        "screenshot" => screenshot(browser, &input, settings).await.map(|picture| {
            let told = json!({ "name": picture.name });
            pictures.push(picture);
            told
        }),
        "wait" => wait(browser, &input).await,
        "get_text" => get_text(browser, &input).await,
        _ => verify(browser, &input).await,
    };
    Done { result, pictures }
}

async fn navigate(browser: &Browser, guard: &Guard, input: &Input<'_>) -> Result<Value, Failure> {
    let written = input.text("url")?;
    let url = Url::parse(written.trim()).map_err(|_| input.wrong(format_args!("{written:?} is no address")))?;
    guard.check(&url).map_err(|refused| Failure::new("address_refused", refused.0))?;
    let event = match input.choice("wait_until", &["load", "domcontentloaded", "networkidle", "commit"])? {
        "load" => Some("load"),
        "domcontentloaded" => Some("DOMContentLoaded"),
        "networkidle" => Some("networkIdle"),
        _ => None,
    };
    let until = input.until()?;
    browser.refusals().take();
    let tab = browser.tab()?;
    let mut events = tab.events();
    let late = || Failure { retryable: true, ..Failure::new("timeout", format!("{url} was not loaded in time")) };
    let went = tab.call("Page.navigate", json!({ "url": url.as_str() }));
    let went = timeout_at(until, went).await.map_err(|_| late())??;
    if let Some(error) = went["errorText"].as_str().filter(|error| !error.is_empty()) {
        return Err(match browser.refusals().take() {
            Some(refused) => Failure::new("address_refused", refused),
            None => Failure { retryable: true, ..Failure::new("page_unreachable", format!("{url}: {error}")) },
        });
    }
    if let (Some(event), Some(loader)) = (event, went["loaderId"].as_str()) {
        loop {
            let seen = match timeout_at(until, events.recv()).await.map_err(|_| late())? {
                Ok(seen) => seen,
                Err(RecvError::Closed) => return Err(Failure::gone()),
                Err(RecvError::Lagged(_)) => continue,
            };
            let params = &seen["params"];
            if seen["method"] == "Page.lifecycleEvent" && params["loaderId"] == loader && params["name"] == event {
                break;
            }
        }
    }
    let about = "({ url: location.href, title: document.title, \
                 status: performance.getEntriesByType('navigation')[0]?.responseStatus ?? null })";
    evaluate(browser, about).await
}

async fn click(browser: &Browser, input: &Input<'_>) -> Result<Value, Failure> {
    let place = reach(browser, input).await?;
    let at = |axis: &str| place[axis].as_f64().unwrap_or_default();
    input::click(browser.tab()?, at("x"), at("y")).await?;
    Ok(json!({ "clicked": input.text("selector")? }))
}

/// Where an element can be clicked, once it is there, to be seen, enabled, and nothing lies over it.
async fn reach(browser: &Browser, input: &Input<'_>) -> Result<Value, Failure> {
    let selector = input.literal("selector")?;
    let look = format!(
        r#"const e = find({selector});
        if (!e) return {{ why: "is not there" }};
        e.scrollIntoView({{ block: "center", inline: "center", behavior: "instant" }});
        if (!visible(e)) return {{ why: "cannot be seen" }};
        if (e.disabled) return {{ why: "is disabled" }};
        const r = e.getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2;
        const top = document.elementFromPoint(x, y);
        if (!top || !(e.contains(top) || top.shadowRoot?.contains(e) || top.closest("label")?.control === e))
          return {{ why: "is covered by another element" }};
        return {{ done: {{ x, y }} }};"#
    );
    poll(browser, input, &look).await
}

async fn fill(browser: &Browser, input: &Input<'_>) -> Result<Value, Failure> {
    let (selector, value) = (input.literal("selector")?, input.text("value")?);
    let literal = json!(value);
    // By the setter of the element's kind, since frameworks put one of their own before it.
    let look = format!(
        r#"const e = find({selector}), value = {literal};
        if (!e) return {{ why: "is not there" }};
        if (!visible(e)) return {{ why: "cannot be seen" }};
        if (e.disabled || e.readOnly) return {{ why: "cannot be changed" }};
        e.focus();
        if (e.isContentEditable) e.textContent = value;
        else if (e instanceof HTMLSelectElement) {{
          const option = [...e.options].find(o => o.value === value) ?? [...e.options].find(o => o.label === value);
          if (!option) return {{ why: "has no such choice" }};
          option.selected = true;
        }} else if (e instanceof HTMLInputElement || e instanceof HTMLTextAreaElement) {{
          Object.getOwnPropertyDescriptor(Object.getPrototypeOf(e), "value").set.call(e, value);
          if (e.value !== value) return {{ why: "does not take this value" }};
        }} else return {{ why: "is no field" }};
        e.dispatchEvent(new Event("input", {{ bubbles: true }}));
        e.dispatchEvent(new Event("change", {{ bubbles: true }}));
        return {{ done: true }};"#
    );
    poll(browser, input, &look).await?;
    Ok(json!({ "filled": input.text("selector")? }))
}

async fn screenshot(browser: &Browser, input: &Input<'_>, settings: &config::Browser) -> Result<Picture, Failure> {
    let name = input.optional("name")?.unwrap_or("page");
    let whole = input.flag("full_page", false)?;
    let bytes = picture::take(browser.tab()?, settings, whole).await?;
    let name = clean_name(&name.replace(['/', '\\'], "-"));
    let has_ending = name.to_ascii_lowercase().ends_with(".png");
    Ok(Picture { name: if has_ending { name } else { format!("{name}.png") }, bytes })
}

/// Hands files to a field of the page, under their own names.
async fn upload(browser: &Browser, input: &Input<'_>, files: &[(String, PathBuf)]) -> Result<Value, Failure> {
    let selector = input.literal("selector")?;
    let look = format!(
        r#"const e = find({selector});
        if (!e) return {{ why: "is not there" }};
        if (!(e instanceof HTMLInputElement) || e.type !== "file") return {{ why: "is no field for files" }};
        if (e.disabled) return {{ why: "is disabled" }};
        if (!e.multiple && {} > 1) return {{ why: "takes one file only" }};
        return {{ done: true }};"#,
        files.len()
    );
    poll(browser, input, &look).await?;
    let failed = |error: std::io::Error| Failure::new("file_not_readable", format!("a file cannot be read: {error}"));
    let mut paths = Vec::with_capacity(files.len());
    for (name, bytes) in files {
        // The page sees the last part of the path.
        let folder = browser.folder().join("files").join(new_id());
        tokio::fs::create_dir_all(&folder).await.map_err(failed)?;
        let path = folder.join(clean_name(name));
        tokio::fs::copy(bytes, &path).await.map_err(failed)?;
        paths.push(path.display().to_string());
    }
    let tab = browser.tab()?;
    let params = json!({ "expression": format!("(() => {{ {FIND} return find({selector}); }})()") });
    let found = tab.call("Runtime.evaluate", params).await?;
    let params = json!({ "files": paths, "objectId": found["result"]["objectId"] });
    tab.call("DOM.setFileInputFiles", params).await?;
    Ok(json!({ "files": files.iter().map(|(name, _)| name).collect::<Vec<_>>() }))
}

async fn wait(browser: &Browser, input: &Input<'_>) -> Result<Value, Failure> {
    let selector = input.literal("selector")?;
    let state = input.choice("state", &["visible", "attached", "hidden", "detached"])?;
    let holds = match state {
        "visible" => "e && visible(e)",
        "attached" => "e",
        "hidden" => "!e || !visible(e)",
        _ => "!e",
    };
    let look = format!(
        "const e = find({selector}); return ({holds}) ? {{ done: true }} : {{ why: 'did not become {state}' }};"
    );
    poll(browser, input, &look).await?;
    Ok(json!({ "state": state }))
}

async fn get_text(browser: &Browser, input: &Input<'_>) -> Result<Value, Failure> {
    let selector = input.literal("selector")?;
    let look = format!(
        "const e = find({selector}); return e ? {{ done: text(e).slice(0, {LONGEST}) }} : {{ why: 'is not there' }};"
    );
    Ok(json!({ "text": poll(browser, input, &look).await? }))
}

async fn verify(browser: &Browser, input: &Input<'_>) -> Result<Value, Failure> {
    let selector = input.literal("selector")?;
    let body = match input.action {
        "verify" => match input.flag("exists", true)? {
            true => "return e ? { done: true } : { why: 'is not there' };".to_owned(),
            false => "return e ? { why: 'is there' } : { done: true };".to_owned(),
        },
        "verify_text" => {
            let wanted = input.literal("text")?;
            let (holds, words) = match input.choice("match", &["contains", "exact", "regex"])? {
                "contains" => ("has.includes(wanted)", "does not contain"),
                "exact" => ("has.trim() === wanted", "is not"),
                _ => ("new RegExp(wanted).test(has)", "does not match"),
            };
            format!(
                "const wanted = {wanted}; if (!e) return {{ why: 'is not there' }}; const has = text(e);
                 return {holds} ? {{ done: has.slice(0, {LONGEST}) }}
                   : {{ why: `says ${{JSON.stringify(has.slice(0, 200))}}, which {words} ${{JSON.stringify(wanted)}}` }};"
            )
        }
        "verify_attribute" => {
            let (name, wanted) = (input.literal("attribute")?, input.literal("value")?);
            format!(
                "if (!e) return {{ why: 'is not there' }}; const has = e.getAttribute({name});
                 return has === {wanted} ? {{ done: has }}
                   : {{ why: `has ${{JSON.stringify(has)}} as ${{{name}}}, not ${{JSON.stringify({wanted})}}` }};"
            )
        }
        _ => {
            let states = ["visible", "hidden", "enabled", "disabled", "checked", "unchecked"];
            input.text("state")?;
            let state = input.choice("state", &states)?;
            let holds = match state {
                "visible" => "visible(e)",
                "hidden" => "!visible(e)",
                "enabled" => "!e.disabled",
                "disabled" => "e.disabled === true",
                "checked" => "e.checked === true",
                _ => "e.checked === false",
            };
            format!(
                "if (!e) return {{ why: 'is not there' }};
                 return {holds} ? {{ done: true }} : {{ why: 'is not {state}' }};"
            )
        }
    };
    let held = poll(browser, input, &format!("const e = find({selector}); {body}")).await;
    held.map(|value| json!({ "verified": true, "value": value })).map_err(|failure| match failure.code {
        "element_not_ready" => Failure { code: "verification_failed", ..failure },
        _ => failure,
    })
}

/// Looks until the function answers with `done`, and says `why` it did not when the time is over.
async fn poll(browser: &Browser, input: &Input<'_>, function: &str) -> Result<Value, Failure> {
    let until = input.until()?;
    let selector = input.text("selector")?;
    let source = format!("(() => {{ {FIND} {function} }})()");
    let mut why = "was not found".to_owned();
    loop {
        match timeout_at(until, evaluate(browser, &source)).await {
            Ok(Ok(mut answer)) => {
                if let Some(done) = answer.get_mut("done") {
                    return Ok(done.take());
                }
                answer["why"].as_str().unwrap_or_default().clone_into(&mut why);
            }
            // The page is going elsewhere.
            Ok(Err(failure)) if failure.code == "browser_failed" => why = failure.message,
            Ok(Err(failure)) => return Err(failure),
            Err(_) => {}
        }
        if Instant::now() + LOOK >= until {
            // What the page could not load may be why.
            let refused = browser.refusals().take().map(|refused| format!("; {refused}")).unwrap_or_default();
            return Err(Failure::new("element_not_ready", format!("{selector} {why}{refused}")));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn evaluate(browser: &Browser, source: &str) -> Result<Value, Failure> {
    let params = json!({ "expression": source, "returnByValue": true });
    let mut answer = browser.tab()?.call("Runtime.evaluate", params).await?;
    if let Some(exception) = answer.get("exceptionDetails") {
        let told = exception["exception"]["description"].as_str().or(exception["text"].as_str()).unwrap_or_default();
        let first = told.lines().next().unwrap_or_default();
        return Err(Failure::new("page_failed", format!("the page answers: {first}")));
    }
    Ok(answer["result"]["value"].take())
}
