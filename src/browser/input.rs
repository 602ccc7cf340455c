//! The mouse and the keys of a page.

use serde_json::{Value, json};

use super::Failure;
use super::page::Input;
use super::pipe::Tab;

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

/// Clicks at a place of what can be seen.
pub(super) async fn click(tab: &Tab, x: f64, y: f64) -> Result<(), Failure> {
    for (kind, buttons) in [("mouseMoved", 0), ("mousePressed", 1), ("mouseReleased", 0)] {
        let params = json!({
            "type": kind, "x": x, "y": y, "buttons": buttons,
            "button": if kind == "mouseMoved" { "none" } else { "left" }, "clickCount": 1,
        });
        let sent = tab.call("Input.dispatchMouseEvent", params).await;
        // From the press on it may have been done.
        sent.map_err(|failure| Failure { uncertain: kind != "mouseMoved", ..failure })?;
    }
    Ok(())
}

pub(super) async fn keyboard(tab: &Tab, input: &Input<'_>) -> Result<Value, Failure> {
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
        let sent = tab.call("Input.dispatchKeyEvent", params).await;
        sent.map_err(|failure| Failure { uncertain: true, ..failure })?;
    }
    Ok(json!({ "key": written }))
}
