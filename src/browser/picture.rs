//! What is kept of a page: how it looks, and what it is made of.

use base64::Engine as _;
use serde_json::{Value, json};

use super::Failure;
use super::pipe::Tab;
use crate::config;

/// The longest page that is kept, in characters.
const LONGEST: usize = 2 * 1024 * 1024;

/// The highest picture of a whole page, in pixels: a page may go on for ever.
const HIGHEST: f64 = 8_000.0;

/// Something to be kept of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// A file name.
    pub name: String,
    pub bytes: Vec<u8>,
}

/// A PNG of the page: what can be seen of it, or the whole.
pub(super) async fn take(tab: &Tab, settings: &config::Browser, whole: bool) -> Result<Vec<u8>, Failure> {
    let mut params = json!({ "format": "png" });
    if whole {
        let about = tab.call("Page.getLayoutMetrics", json!({})).await?;
        let height = about["cssContentSize"]["height"].as_f64().unwrap_or(f64::from(settings.height));
        let (width, height) = (f64::from(settings.width), height.clamp(1.0, HIGHEST));
        params["captureBeyondViewport"] = json!(true);
        params["clip"] = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
    }
    let taken = tab.call("Page.captureScreenshot", params).await?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(taken["data"].as_str().unwrap_or_default());
    let bytes = bytes.unwrap_or_default();
    if bytes.is_empty() {
        return Err(Failure::new("browser_failed", "the page gave no picture"));
    }
    Ok(bytes)
}

/// How a page looked when a step failed, and what it consisted of. Where neither can be had, there is nothing.
pub(super) async fn of_a_failure(tab: &Tab, settings: &config::Browser) -> Vec<Picture> {
    let mut pictures = Vec::new();
    if let Ok(bytes) = take(tab, settings, false).await {
        pictures.push(Picture { name: "failure.png".to_owned(), bytes });
    }
    let source = format!("(document.documentElement?.outerHTML ?? '').slice(0, {LONGEST})");
    let params = json!({ "expression": source, "returnByValue": true });
    let page = tab.call("Runtime.evaluate", params).await.unwrap_or(Value::Null);
    if let Some(html) = page["result"]["value"].as_str().filter(|html| !html.is_empty()) {
        pictures.push(Picture { name: "failure.html".to_owned(), bytes: html.as_bytes().to_vec() });
    }
    pictures
}
