//! A call from its input to its result.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use super::binding::Binding;
use super::request::{self, Making, unusable};
use super::scrub::Secrets;
use super::{Call, Connectors, Failure, answer, effect_of, form};
use crate::expression::{Context, in_words};
use crate::fetch::{Request, Response};
use crate::manifest::connector::{Action, AuthNeed, Backoff, Connector, LimitRate, PageKind, Pagination, Session};
use crate::model::effect::Effect;
use crate::model::id::random_bytes;
use crate::schema::Schema;

/// One call under way.
struct Running<'a> {
    connectors: &'a Connectors,
    connector: &'a Connector,
    action: &'a Action,
    /// `input`, `config` and `step`.
    context: Context,
    input: Value,
    binding: Binding,
    effect: Effect,
    idempotency_key: &'a str,
    deadline: Instant,
    secrets: Secrets,
}

impl Connectors {
    /// Calls an action.
    pub async fn call(&self, call: Call<'_>) -> Result<Value, Failure> {
        let connector = self.catalogue.get(call.connector).ok_or_else(|| {
            let known = self.catalogue.all();
            let near = crate::template::nearest(call.connector, known.iter().map(|known| known.kind.as_str()));
            Failure::refused("unknown_connector", missing("connector", call.connector, near))
        })?;
        let action = connector.action(call.action).ok_or_else(|| {
            let near = crate::template::nearest(call.action, connector.actions.iter().map(|known| known.name.as_str()));
            Failure::refused("unknown_action", missing("action", &format!("{}.{}", call.connector, call.action), near))
        })?;
        let deadline = Instant::now() + call.timeout.min(LONGEST);
        let bound = self.bind(&connector, action, &call).await?;
        let input = complete(action, call.input, &bound.config)?;
        let step = json!({
            "idempotency_key": call.idempotency_key, "connector": connector.kind, "action": action.name
        });
        let context = Context::new().with("input", &input).with("config", &bound.config).with("step", &step);
        let effect = effect_of(action, &input);
        let mut running = Running {
            connectors: self,
            connector: &connector,
            action,
            context,
            input,
            binding: bound,
            effect,
            idempotency_key: call.idempotency_key,
            deadline,
            secrets: Secrets::default(),
        };
        let outcome = running.run().await;
        let secrets = &running.secrets;
        match outcome {
            Ok(value) => Ok(secrets.scrub_value(value)),
            Err(failure) => Err(Failure { message: secrets.scrub(failure.message), ..failure }),
        }
    }

    async fn bind(&self, connector: &Connector, action: &Action, call: &Call<'_>) -> Result<Binding, Failure> {
        let needs = action.auth == AuthNeed::Required && connector.auth.iter().any(|auth| auth.kind != "none");
        match call.credential {
            Some(reference) if action.auth != AuthNeed::None => self.binding(connector, reference, call).await,
            _ if needs => Err(Failure::refused(
                "credential_required",
                format!("{}.{} needs a credential", connector.kind, action.name),
            )),
            _ => Ok(Binding { config: json!({}), credential: None }),
        }
    }
}

/// The longest a mail server may take.
const MAIL: Duration = Duration::from_secs(60);

/// The longest a call may take, whatever it was given.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

fn missing(what: &str, name: &str, near: Option<&str>) -> String {
    let near = near.map(|near| format!(", did you mean \"{near}\"?")).unwrap_or_default();
    format!("there is no {what} \"{name}\"{near}")
}

/// The input with what the config and the manifest add, checked.
fn complete(action: &Action, input: Value, config: &Value) -> Result<Value, Failure> {
    let mut input = match input {
        Value::Object(input) => input,
        Value::Null => Map::new(),
        _ => return Err(Failure::refused("invalid_input", "the input is a map of keys and values")),
    };
    let is_missing = |input: &Map<String, Value>, name: &str| input.get(name).is_none_or(Value::is_null);
    for (name, key) in &action.from_config {
        if is_missing(&input, name)
            && let Some(value) = config.get(key)
        {
            input.insert(name.clone(), value.clone());
        }
    }
    for (name, value) in &action.defaults {
        if is_missing(&input, name) {
            input.insert(name.clone(), value.clone());
        }
    }
    let input = Value::Object(input);
    check("invalid_input", &action.input, &input)?;
    Ok(input)
}

/// Everything that is wrong with a value, as one failure.
pub(super) fn check(code: &str, schema: &Schema, value: &Value) -> Result<(), Failure> {
    let faults = schema.faults(value);
    if faults.is_empty() {
        return Ok(());
    }
    let told = faults.iter().take(5).map(|fault| match fault.field() {
        field if field.is_empty() || fault.message.starts_with("unknown key") => fault.text(),
        field => format!("{field}: {}", fault.text()),
    });
    Err(Failure::refused(code, told.collect::<Vec<_>>().join("; ")))
}

impl Running<'_> {
    async fn run(&mut self) -> Result<Value, Failure> {
        if self.connector.transport == crate::manifest::connector::Transport::Smtp {
            return self.send_mail().await;
        }
        let fixed = self.connectors.base_urls.get(&self.connector.kind).map(String::as_str);
        let base = request::base(self.connector, fixed, &self.context, self.binding.credential.as_ref())?;
        let is_base_fixed =
            fixed.is_some() || self.connector.http.base_url.as_ref().is_some_and(|text| text.literal().is_some());
        let place = Place { base, is_fixed: is_base_fixed };
        if let Some(pagination) = &self.action.pagination {
            return self.pages(&place, pagination).await;
        }
        let request = self.making(&place).make()?;
        let response = match &self.action.poll {
            Some(poll) => self.poll(&place, request, poll).await?,
            None => self.repeat(&place, request).await?,
        };
        if self.action.session == Some(Session::End)
            && let Some(whose) = self.session(&place)
        {
            self.connectors.sessions.forget(&whose);
        }
        self.result(&response)
    }

    async fn send_mail(&mut self) -> Result<Value, Failure> {
        let lacking = || Failure::refused("credential_required", format!("{} needs a credential", self.connector.name));
        let credential = self.binding.credential.as_ref().ok_or_else(lacking)?;
        if let Some(Value::String(password)) = credential.fields.get("password") {
            self.secrets.add(password);
        }
        let mail = super::smtp::Mail {
            input: &self.input,
            credential,
            idempotency_key: self.idempotency_key,
            now: self.connectors.clock.now(),
            timeout: self.deadline.saturating_duration_since(Instant::now()).min(MAIL),
        };
        mail.send(self.connectors.fetch.guard()).await
    }

    /// The token to sign with; another one than `refused`, if there is.
    async fn token(&self, refused: Option<&str>) -> Result<Option<Zeroizing<String>>, Failure> {
        let Some(credential) = &self.binding.credential else { return Ok(None) };
        self.connectors.access_token(self.connector, credential, refused, self.left()).await
    }

    fn making<'m>(&'m self, place: &'m Place) -> Making<'m> {
        Making {
            connector: self.connector,
            action: self.action,
            context: &self.context,
            base: place.base.as_ref(),
            is_base_fixed: place.is_fixed,
            credential: self.binding.credential.as_ref(),
            idempotency_key: self.idempotency_key,
        }
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Sends a request until it succeeds, must not be sent again, or the time is over.
    async fn repeat(&mut self, place: &Place, request: Request) -> Result<Response, Failure> {
        let retry = self.connector.http.retry.clone();
        let mut attempt = 1;
        loop {
            let failure = match self.send(place, request.clone()).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            let may_again = failure.retryable && (!failure.uncertain || self.effect.may_repeat());
            if !may_again || attempt >= retry.max_attempts {
                return Err(failure);
            }
            let told = failure.retry_after.filter(|_| retry.respects_retry_after);
            let pause = match told {
                Some(told) => told,
                None => match retry.backoff {
                    Backoff::None => Duration::ZERO,
                    Backoff::Constant => jittered(retry.initial, retry.is_jittered),
                    Backoff::Exponential => {
                        let grown = retry.initial.saturating_mul(2u32.saturating_pow(attempt - 1)).min(retry.max);
                        jittered(grown, retry.is_jittered)
                    }
                },
            };
            if pause >= self.left() {
                return Err(failure);
            }
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// Sends a request once: signed, within the limits, judged.
    async fn send(&mut self, place: &Place, request: Request) -> Result<Response, Failure> {
        self.keep_limits().await?;
        let response = self.exchange(place, request).await?;
        let answer = answer::as_json(&response);
        self.hear_limits(&answer);
        let context = self.context.clone().with("response", &answer);
        match answer::judge(self.connector, self.action, &context, &response) {
            None => Ok(response),
            Some(failure) => Err(failure),
        }
    }

    fn sign(&mut self, place: &Place, request: &mut Request, token: Option<&str>) -> Result<(), Failure> {
        let mut secrets = std::mem::take(&mut self.secrets);
        let signed = self.making(place).sign(request, token, &mut secrets);
        self.secrets = secrets;
        signed
    }

    async fn exchange(&mut self, place: &Place, unsigned: Request) -> Result<Response, Failure> {
        let token = self.token(None).await?;
        let token = token.as_ref().map(|token| token.as_str());
        let mut request = unsigned.clone();
        self.sign(place, &mut request, token)?;
        let Some(whose) = self.session(place) else {
            let response = self.deliver(request).await?;
            if token.is_none() || response.status != 401 {
                return Ok(response);
            }
            // A token that was taken back before its end: nothing was done, so once more with another one.
            let Some(other) = self.token(token).await? else { return Ok(response) };
            let mut request = unsigned;
            self.sign(place, &mut request, Some(&other))?;
            return self.deliver(request).await;
        };
        let fresh = self.action.session == Some(Session::Begin);
        for is_second in [false, true] {
            let cookies = self.connectors.sessions.cookies(&whose).filter(|_| !fresh && !is_second);
            let cookies = match cookies {
                Some(cookies) => cookies,
                None => self.sign_in(place, &whose).await?,
            };
            let mut signed = request.clone();
            signed.header("cookie", &cookies).map_err(|refused| request::wrong(refused.0))?;
            let response = self.deliver(signed).await?;
            let keep = self.connector.http.session.unwrap_or_default();
            // The session has ended over there: once more with a new one.
            if response.status == 401 && !is_second && !fresh {
                self.connectors.sessions.forget(&whose);
                continue;
            }
            self.connectors.sessions.keep(&whose, &response.headers, keep);
            return Ok(response);
        }
        Err(Failure::refused("signed_out", format!("{} does not take the sign-in", self.connector.name)))
    }

    async fn deliver(&self, mut request: Request) -> Result<Response, Failure> {
        let wanted = self.action.timeout.or(self.connector.http.timeout);
        let given = self.input.get("timeout").and_then(Value::as_u64).map(Duration::from_millis);
        let left = self.left();
        if left.is_zero() {
            return Err(Failure {
                retryable: true,
                ..Failure::refused("timeout", "there was no time left to send it")
            });
        }
        request.timeout = Some(given.or(wanted).unwrap_or(left).min(left));
        self.connectors.fetch.send(request).await.or_else(|failure| {
            let failure = answer::unanswered(&failure);
            // A service may be known to break off while it does what it was asked.
            if self.action.treat_as_success.contains(&failure.code) {
                return Ok(Response { status: 200, headers: Default::default(), body: Default::default() });
            }
            Err(failure)
        })
    }

    /// Whose cookies go along, where a service knows people by cookies.
    fn session(&self, place: &Place) -> Option<String> {
        let credential = self.binding.credential.as_ref()?;
        credential.auth(self.connector)?.apply.login.as_ref()?;
        let origin = place.base.as_ref()?.origin().ascii_serialization();
        Some(format!("{}/{}/{}/{origin}", self.connector.kind, credential.id, credential.version))
    }

    /// Sends the form that signs in, and keeps the cookies it is answered with.
    async fn sign_in(&mut self, place: &Place, whose: &str) -> Result<String, Failure> {
        let refused =
            || Failure::refused("not_authenticated", format!("{} did not accept the credential", self.connector.name));
        let (Some(credential), Some(base)) = (&self.binding.credential, &place.base) else { return Err(refused()) };
        let auth = credential.auth(self.connector).ok_or_else(refused)?;
        let (path, fields) = auth.apply.login.as_ref().ok_or_else(refused)?;
        let url = request::join(base, path)?;
        credential.may_go_to(self.connector, place.base.as_ref().filter(|_| place.is_fixed), &url)?;
        let context = Context::new().with("secret", &credential.fields);
        let mut pairs = Vec::new();
        for (name, text) in fields {
            pairs.push((name.clone(), text.render(&context, |text| text).map_err(|_| refused())?));
        }
        let mut login = Request::new(crate::fetch::HttpMethod::POST, url);
        login.header("content-type", "application/x-www-form-urlencoded").map_err(|wrong| request::wrong(wrong.0))?;
        login.body = form::encode(&pairs).into();
        let mut response = self.deliver(login).await;
        // Signing in has no effect that matters: what failed may be tried again.
        if let Err(failure) = &mut response {
            failure.uncertain = false;
        }
        let response = response?;
        if !(200..400).contains(&response.status) {
            return Err(refused());
        }
        let keep = self.connector.http.session.unwrap_or_default();
        self.connectors.sessions.keep(whose, &response.headers, keep);
        self.connectors.sessions.cookies(whose).filter(|cookies| !cookies.is_empty()).ok_or_else(refused)
    }

    fn scope(&self, text: &crate::expression::Text) -> String {
        let whose = self.binding.credential.as_ref().map_or("-", |credential| credential.id.as_str());
        let scope = text.render(&self.context, |text| text).unwrap_or_else(|_| "connection".to_owned());
        format!("{}/{whose}/{scope}", self.connector.kind)
    }

    /// Waits for its turn.
    async fn keep_limits(&self) -> Result<(), Failure> {
        for limit in &self.connector.http.limits {
            let scope = self.scope(&limit.scope);
            let wait = match &limit.rate {
                LimitRate::Fixed { limit, per } => self.connectors.limits.take(&scope, *limit, *per, self.left()),
                LimitRate::Told { .. } => {
                    let rest = self.connectors.limits.closed_for(&scope);
                    if rest > self.left() { Err(rest) } else { Ok(rest) }
                }
            };
            match wait {
                Ok(wait) => tokio::time::sleep(wait).await,
                Err(wait) => {
                    let message = format!("{} takes no more requests now", self.connector.name);
                    let failure = Failure::refused("rate_limited", message);
                    return Err(Failure { retryable: true, retry_after: Some(wait), ..failure });
                }
            }
        }
        Ok(())
    }

    /// What the service says of its limits counts from now on.
    fn hear_limits(&self, answer: &Value) {
        for limit in &self.connector.http.limits {
            let LimitRate::Told { remaining, reset_after } = &limit.rate else { continue };
            let number = |name: &str| answer["headers"].get(name)?.as_str()?.parse::<f64>().ok();
            if let (Some(left), Some(seconds)) = (number(remaining), number(reset_after))
                && left < 1.0
                && (0.0..86_400.0).contains(&seconds)
            {
                self.connectors.limits.close(&self.scope(&limit.scope), Duration::from_secs_f64(seconds));
            }
        }
    }

    /// Asks until it holds. While it does not, an answer that is no success or nobody who answers are not the end.
    async fn poll(
        &mut self,
        place: &Place,
        request: Request,
        poll: &crate::manifest::connector::Poll,
    ) -> Result<Response, Failure> {
        let mut last = None;
        loop {
            match self.send(place, request.clone()).await {
                Ok(response) => {
                    let context = self.context.clone().with("response", &answer::as_json(&response));
                    if poll.until.holds(&context).unwrap_or(false) {
                        return Ok(response);
                    }
                    if poll.fail.as_ref().is_some_and(|fail| fail.holds(&context).unwrap_or(false)) {
                        return Err(Failure::refused("wait_failed", "what was waited for has failed"));
                    }
                }
                Err(failure) if failure.retryable => last = Some(failure),
                Err(failure) => return Err(failure),
            }
            if poll.every >= self.left() {
                let message = match last {
                    Some(failure) => format!("it did not come in time; last: {failure}"),
                    None => "it did not come in time".to_owned(),
                };
                return Err(Failure { retryable: true, ..Failure::refused("timeout", message) });
            }
            tokio::time::sleep(poll.every).await;
        }
    }

    /// Reads a list to its end, or to as many pages as its manifest allows.
    async fn pages(&mut self, place: &Place, pagination: &Pagination) -> Result<Value, Failure> {
        let mut items: Vec<Value> = Vec::new();
        let mut request = self.making(place).make()?;
        let first = request.url.clone();
        let mut cursor = match pagination.kind {
            PageKind::Page | PageKind::Offset => Some(json!(pagination.start)),
            PageKind::Cursor | PageKind::Link => None,
        };
        for page in 1..=pagination.max_pages {
            if let (Some(name), Some(value)) = (&pagination.parameter, &cursor)
                && (page > 1 || pagination.kind != PageKind::Cursor)
            {
                request.url = with_parameter(&first, name, &in_words(value));
            }
            let response = self.repeat(place, request.clone()).await?;
            let context = self.context.clone().with("response", &answer::as_json(&response));
            let found = pagination.items.evaluate(&context).map_err(|failure| unusable(&failure))?;
            let found = found.as_array().cloned().unwrap_or_default();
            let count = found.len();
            items.extend(found);
            cursor = match pagination.kind {
                PageKind::Page => Some(json!(pagination.start + i64::from(page))),
                PageKind::Offset => Some(json!(pagination.start + i64::try_from(items.len()).unwrap_or(i64::MAX))),
                PageKind::Cursor => {
                    let next = pagination.next.as_ref().map(|next| next.evaluate_if_there(&context));
                    next.transpose().map_err(|failure| unusable(&failure))?.flatten()
                }
                PageKind::Link => next_link(&response, &request.url).map(|url| Value::String(url.into())),
            };
            let is_end = count == 0 && pagination.kind != PageKind::Link;
            match &cursor {
                None | Some(Value::Null) => break,
                Some(Value::String(text)) if text.is_empty() => break,
                _ if is_end => break,
                // The address comes from the service: it stays where the first page was.
                Some(Value::String(url)) if pagination.kind == PageKind::Link => match Url::parse(url) {
                    Ok(url) if url.origin() == first.origin() => request.url = url,
                    _ => break,
                },
                _ => {}
            }
        }
        let whole = json!({ "items": items });
        match &self.action.result {
            None => Ok(whole),
            Some(result) => {
                let context = self.context.clone().with("items", &whole["items"]);
                result.evaluate(&context).map_err(|failure| unusable(&failure))
            }
        }
    }

    fn result(&self, response: &Response) -> Result<Value, Failure> {
        let answer = answer::as_json(response);
        let Some(result) = &self.action.result else { return Ok(answer["body"].clone()) };
        let context = self.context.clone().with("response", &answer);
        // It was done; only what came back is not as the manifest expects.
        result.evaluate(&context).map_err(|failure| Failure {
            uncertain: self.effect == Effect::Once,
            ..Failure::refused(
                "unexpected_answer",
                format!("{} answered something unexpected: {failure}", self.connector.name),
            )
        })
    }
}

/// Where a connector's requests go.
struct Place {
    base: Option<Url>,
    /// Whether that follows from the manifest and the settings alone.
    is_fixed: bool,
}

fn with_parameter(url: &Url, name: &str, value: &str) -> Url {
    let others: Vec<(String, String)> =
        url.query_pairs().filter(|(key, _)| key != name).map(|(key, value)| (key.into(), value.into())).collect();
    let mut url = url.clone();
    url.query_pairs_mut().clear().extend_pairs(others).append_pair(name, value);
    url
}

/// The address that a `Link` header calls the next one.
fn next_link(response: &Response, base: &Url) -> Option<Url> {
    let links = response.headers.get_all(crate::fetch::headers::LINK).iter().filter_map(|value| value.to_str().ok());
    let mut each = links.flat_map(|links| links.split(','));
    let next = each.find(|link| {
        let mut parts = link.split(';').skip(1);
        parts.any(|part| matches!(part.trim().replace('"', "").as_str(), "rel=next"))
    })?;
    let address = next.trim().strip_prefix('<')?.split('>').next()?;
    base.join(address).ok()
}

/// Somewhere between nothing and the whole, so that many who failed together do not come back together.
fn jittered(pause: Duration, is_jittered: bool) -> Duration {
    if !is_jittered {
        return pause;
    }
    let random = random_bytes::<4>().map_or(u32::MAX, u32::from_le_bytes);
    pause.mul_f64(f64::from(random) / f64::from(u32::MAX))
}
