//! What steps do on a page.

use std::sync::PoisonError;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::Failure;
use super::process::Browser;
use crate::fetch::Guard;
use crate::model::effect::Effect;

/// The actions, and what doing each again would do.
pub(super) const ACTIONS: [(&str, Effect); 10] = [
    ("navigate", Effect::Idempotent),
    ("click", Effect::Once),
    ("fill", Effect::Idempotent),
    ("keyboard", Effect::Once),
    ("wait", Effect::Pure),
    ("verify", Effect::Pure),
    ("verify_text", Effect::Pure),
    ("verify_attribute", Effect::Pure),
    ("verify_state", Effect::Pure),
    ("get_text", Effect::Pure),
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
    const all = [...document.body.querySelectorAll("*")].filter(e => (e.innerText ?? "").includes(wanted));
    return all.find(e => !all.some(other => other !== e && e.contains(other))) ?? null;
  }
  return document.querySelector(selector);
};
const visible = e => { const r = e.getBoundingClientRect(); const s = getComputedStyle(e);
  return r.width > 0 && r.height > 0 && s.visibility !== "hidden" && s.display !== "none"; };
const text = e => (e instanceof HTMLInputElement || e instanceof HTMLTextAreaElement || e instanceof HTMLSelectElement)
  ? e.value : (e.innerText ?? e.textContent ?? "");
"#;

/// Named keys: `key`, `code`, the code of Windows, and what is typed.
const KEYS: [(&str, &str, u32, &str); 14] = [
    ("Enter", "Enter", 13, "\r"),
    ("Tab", "Tab", 9, ""),
    ("Escape", "Escape", 27, ""),
    ("Backspace", "Backspace", 8, ""),
    ("Delete", "Delete", 46, ""),
    ("Home", "Home", 36, ""),
    ("End", "End", 35, ""),
    ("PageUp", "PageUp", 33, ""),
    ("PageDown", "PageDown", 34, ""),
    ("ArrowLeft", "ArrowLeft", 37, ""),
    ("ArrowUp", "ArrowUp", 38, ""),
    ("ArrowRight", "ArrowRight", 39, ""),
    ("ArrowDown", "ArrowDown", 40, ""),
    ("Space", "Space", 32, " "),
];

/// The parameters of one step.
struct Input<'a> {
    action: &'a str,
    values: &'a Value,
}

impl Input<'_> {
    fn wrong(&self, why: impl std::fmt::Display) -> Failure {
        Failure::new("invalid_parameters", format!("browser.{}: {why}", self.action))
    }

    fn optional(&self, name: &str) -> Result<Option<&str>, Failure> {
        match &self.values[name] {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text)),
            _ => Err(self.wrong(format_args!("{name} must be a text"))),
        }
    }

    fn text(&self, name: &str) -> Result<&str, Failure> {
        self.optional(name)?.ok_or_else(|| self.wrong(format_args!("{name} is missing")))
    }

    /// As JSON, in which every text is also one of JavaScript.
    fn literal(&self, name: &str) -> Result<Value, Failure> {
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

pub(super) async fn perform(browser: &Browser, guard: &Guard, action: &str, values: &Value) -> Result<Value, Failure> {
    let input = Input { action, values };
    match action {
        "navigate" => navigate(browser, guard, &input).await,
        "click" => click(browser, &input).await,
        "fill" => fill(browser, &input).await,
        "keyboard" => keyboard(browser, &input).await,
        "wait" => wait(browser, &input).await,
        "get_text" => get_text(browser, &input).await,
        _ => verify(browser, &input).await,
    }
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
    browser.refusal.lock().unwrap_or_else(PoisonError::into_inner).take();
    let mut events = browser.pipe.events();
    let late = || Failure { retryable: true, ..Failure::new("timeout", format!("{url} was not loaded in time")) };
    let went = browser.pipe.call(Some(&browser.page), "Page.navigate", json!({ "url": url.as_str() }));
    let went = timeout_at(until, went).await.map_err(|_| late())??;
    if let Some(error) = went["errorText"].as_str().filter(|error| !error.is_empty()) {
        let refused = browser.refusal.lock().unwrap_or_else(PoisonError::into_inner).take();
        return Err(match refused {
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
    for (kind, buttons) in [("mouseMoved", 0), ("mousePressed", 1), ("mouseReleased", 0)] {
        let params = json!({
            "type": kind, "x": place["x"], "y": place["y"], "buttons": buttons,
            "button": if kind == "mouseMoved" { "none" } else { "left" }, "clickCount": 1,
        });
        // From here on it may have been done.
        let sent = browser.pipe.call(Some(&browser.page), "Input.dispatchMouseEvent", params).await;
        sent.map_err(|failure| Failure { uncertain: true, ..failure })?;
    }
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

async fn keyboard(browser: &Browser, input: &Input<'_>) -> Result<Value, Failure> {
    let written = input.text("key")?;
    let mut parts: Vec<&str> = written.split('+').collect();
    let name = parts.pop().filter(|name| !name.is_empty());
    // `+` itself, alone or after others.
    let name = name.unwrap_or("+");
    let mut modifiers = 0;
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        modifiers |= match part.to_ascii_lowercase().as_str() {
            "alt" => 1,
            "control" | "ctrl" => 2,
            "meta" => 4,
            "shift" => 8,
            _ => return Err(input.wrong(format_args!("{part} is no modifier; there are Alt, Control, Meta and Shift"))),
        };
    }
    let (key, code, number, typed) = match KEYS.iter().find(|(key, ..)| key.eq_ignore_ascii_case(name)) {
        Some((key, code, number, typed)) => {
            (if *key == "Space" { " " } else { key }, (*code).to_owned(), *number, *typed)
        }
        None if name.chars().count() == 1 => {
            let upper = name.to_uppercase();
            let number = upper.chars().next().filter(char::is_ascii_alphanumeric).map_or(0, u32::from);
            let code = if number >= 65 { format!("Key{upper}") } else { format!("Digit{upper}") };
            (name, if number > 0 { code } else { String::new() }, number, name)
        }
        None => {
            let known: Vec<&str> = KEYS.iter().map(|(key, ..)| *key).collect();
            return Err(input.wrong(format_args!("{name} is no key; there are characters and {}", known.join(", "))));
        }
    };
    // With Control and the like nothing is typed.
    let typed = if modifiers & !8 == 0 { typed } else { "" };
    for kind in [if typed.is_empty() { "rawKeyDown" } else { "keyDown" }, "keyUp"] {
        let mut params = json!({
            "type": kind, "key": key, "code": code, "modifiers": modifiers, "windowsVirtualKeyCode": number,
        });
        if kind == "keyDown" {
            params["text"] = json!(typed);
        }
        let sent = browser.pipe.call(Some(&browser.page), "Input.dispatchKeyEvent", params).await;
        sent.map_err(|failure| Failure { uncertain: true, ..failure })?;
    }
    Ok(json!({ "key": written }))
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
            return Err(Failure::new("element_not_ready", format!("{selector} {why}")));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn evaluate(browser: &Browser, source: &str) -> Result<Value, Failure> {
    let params = json!({ "expression": source, "returnByValue": true });
    let mut answer = browser.pipe.call(Some(&browser.page), "Runtime.evaluate", params).await?;
    if let Some(exception) = answer.get("exceptionDetails") {
        let told = exception["exception"]["description"].as_str().or(exception["text"].as_str()).unwrap_or_default();
        let first = told.lines().next().unwrap_or_default();
        return Err(Failure::new("page_failed", format!("the page answers: {first}")));
    }
    Ok(answer["result"]["value"].take())
}
