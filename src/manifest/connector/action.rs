//! What can be done with a connector.

use serde_json::{Value, json};

use super::http::named_of;
use super::read::Sheet;
use super::{Action, AuthNeed, Body, PageKind, Pagination, Poll, Request, Session, Target, Transport};
use crate::expression::{Expression, Shape, Text};
use crate::model::effect::Effect;
use crate::schema::Schema;

/// What an action's own texts may name. Secrets are not among them.
const ROOTS: [&str; 3] = ["input", "config", "step"];

pub(super) fn read(sheet: &mut Sheet<'_>, name: &str, transport: Transport, has_base: bool) -> Action {
    let at = format!("/actions/{name}");
    let by_method = sheet.flag(&format!("{at}/effect_from_method")).unwrap_or(false);
    let effect = sheet.text(&format!("{at}/effect")).and_then(Effect::parse);
    if effect.is_none() != by_method {
        sheet.error(&at, "an action has an \"effect\": pure, idempotent, keyed or once");
    }
    let request = match transport {
        Transport::Smtp => {
            if sheet.text(&format!("{at}/request/native")).is_none() {
                sheet.error(&format!("{at}/request"), "this transport takes native: send");
            }
            Request::Native
        }
        Transport::Http => http(sheet, &format!("{at}/request"), has_base),
    };
    let (from_config, defaults) = defaults(sheet, &format!("{at}/input/properties"));
    let result = sheet.shape(&format!("{at}/result"));
    let success = sheet.expression(&format!("{at}/success"));
    let treated = sheet.get(&format!("{at}/treat_as_success")).and_then(Value::as_array).cloned().unwrap_or_default();
    Action {
        description: sheet.owned(&format!("{at}/description")),
        effect: effect.filter(|_| !by_method),
        is_hidden: sheet.flag(&format!("{at}/hidden")).unwrap_or(false),
        auth: match sheet.text(&format!("{at}/auth")) {
            Some("none") => AuthNeed::None,
            Some("optional") => AuthNeed::Optional,
            _ => AuthNeed::Required,
        },
        session: match sheet.text(&format!("{at}/session")) {
            Some("begin") => Some(Session::Begin),
            Some("end") => Some(Session::End),
            _ => None,
        },
        input: sheet.schema(&format!("{at}/input")).unwrap_or_else(anything),
        from_config,
        defaults,
        output: sheet.get(&format!("{at}/output")).cloned().unwrap_or_else(|| json!({ "type": "object" })),
        request,
        success,
        result,
        treat_as_success: treated.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        timeout: sheet.duration(&format!("{at}/timeout")),
        poll: poll(sheet, &format!("{at}/poll")),
        pagination: pagination(sheet, &format!("{at}/pagination")),
        name: name.to_owned(),
    }
}

/// An action without a schema takes any object.
fn anything() -> Schema {
    let any = Schema::compile(&json!({ "type": "object" }));
    any.unwrap_or_else(|error| panic!("a schema of any object cannot be used: {error}"))
}

type Defaults = (Vec<(String, String)>, Vec<(String, Value)>);

fn defaults(sheet: &mut Sheet<'_>, at: &str) -> Defaults {
    let (mut from_config, mut fixed) = (Vec::new(), Vec::new());
    for key in sheet.keys(at) {
        let property = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        if let Some(from) = sheet.text(&format!("{property}/default_from")) {
            match from.strip_prefix("config.") {
                Some(of_config) => from_config.push((key.clone(), of_config.to_owned())),
                None => sheet.error(&format!("{property}/default_from"), "this is config. and a key of the config"),
            }
        }
        if let Some(value) = sheet.get(&format!("{property}/default")) {
            fixed.push((key, value.clone()));
        }
    }
    (from_config, fixed)
}

fn http(sheet: &mut Sheet<'_>, at: &str, has_base: bool) -> Request {
    let method = sheet.template(&format!("{at}/method"));
    if method.is_none() {
        sheet.error(at, "\"method\" is missing");
    }
    let (path, url) = (sheet.template(&format!("{at}/path")), sheet.template(&format!("{at}/url")));
    for (key, text) in [("path", &path), ("url", &url), ("method", &method)] {
        if let Some(text) = text {
            named_of(sheet, &format!("{at}/{key}"), text, &ROOTS);
        }
    }
    let target = match (path, url) {
        (Some(path), None) => {
            if !has_base {
                sheet.error(&format!("{at}/path"), "a path needs the connector's \"base_url\"");
            }
            if !sheet.text(&format!("{at}/path")).is_some_and(|path| path.starts_with('/')) {
                sheet.error(&format!("{at}/path"), "a path begins with a slash");
            }
            Target::Path(path)
        }
        (None, Some(url)) => Target::Url(url),
        // What is written but cannot be read has its own fault.
        (None, None) if ["path", "url"].iter().any(|key| sheet.text(&format!("{at}/{key}")).is_some()) => {
            Target::Path(Text::plain("/"))
        }
        _ => {
            sheet.error(at, "a request has a \"path\" or a \"url\"");
            Target::Path(Text::plain("/"))
        }
    };
    let mut shape = |key: &str| {
        let at = format!("{at}/{key}");
        let shape = sheet.shape(&at);
        check_names(sheet, &at, shape.as_ref());
        shape
    };
    let (headers, query, json, form) = (shape("headers"), shape("query"), shape("json"), shape("form"));
    let (file, fields) = (shape("multipart/file"), shape("multipart/fields"));
    let text = sheet.template(&format!("{at}/body"));
    let multipart =
        file.map(|file| Body::Multipart { name: sheet.owned(&format!("{at}/multipart/name")), file, fields });
    let bodies: Vec<Body> =
        [json.map(Body::Json), form.map(Body::Form), text.map(Body::Text), multipart].into_iter().flatten().collect();
    if bodies.len() > 1 {
        sheet.error(at, "a request has one of \"json\", \"form\", \"body\" and \"multipart\"");
    }
    let body = bodies.into_iter().next().unwrap_or(Body::None);
    let method = method.unwrap_or_else(|| Text::plain("GET"));
    Request::Http { method, target, headers, query, body }
}

fn check_names(sheet: &mut Sheet<'_>, at: &str, shape: Option<&Shape>) {
    for name in shape.into_iter().flat_map(Shape::expressions).flat_map(Expression::names) {
        let root = name.split('.').next().unwrap_or_default();
        if !ROOTS.contains(&root) {
            sheet.error(at, format!("\"{name}\" cannot be named here: only {}", ROOTS.join(", ")));
        }
    }
}

fn poll(sheet: &mut Sheet<'_>, at: &str) -> Option<Poll> {
    let every = sheet.duration(&format!("{at}/every"))?;
    if every.is_zero() {
        sheet.error(&format!("{at}/every"), "this is longer than nothing");
    }
    let fail = sheet.expression(&format!("{at}/fail"));
    sheet.expression(&format!("{at}/until")).map(|until| Poll { until, fail, every })
}

fn pagination(sheet: &mut Sheet<'_>, at: &str) -> Option<Pagination> {
    let kind = match sheet.text(&format!("{at}/kind"))? {
        "cursor" => PageKind::Cursor,
        "link" => PageKind::Link,
        "page" => PageKind::Page,
        _ => PageKind::Offset,
    };
    let items = sheet.expression(&format!("{at}/items"))?;
    let next = sheet.expression(&format!("{at}/next"));
    let parameter = sheet.text(&format!("{at}/param/query")).map(str::to_owned);
    if kind == PageKind::Cursor && next.is_none() {
        sheet.error(at, "a cursor has \"next\": where the next one stands in the answer");
    }
    if kind != PageKind::Link && parameter.is_none() {
        sheet.error(at, "\"param\" is missing: where the next page is asked for");
    }
    let number = |key: &str| sheet.get(&format!("{at}/{key}")).and_then(Value::as_i64);
    Some(Pagination {
        kind,
        items,
        next,
        parameter,
        start: number("start").unwrap_or(i64::from(kind == PageKind::Page)),
        max_pages: number("max_pages").and_then(|number| u32::try_from(number).ok()).unwrap_or(50),
    })
}
