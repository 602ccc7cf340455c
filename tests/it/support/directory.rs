//! A directory that the test holds in its hand: it signs what it is told to, and counts who asks for its keys.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use openidconnect::PrivateSigningKey as _;
use openidconnect::core::{CoreEdDsaPrivateSigningKey, CoreHmacKey, CoreJwsSigningAlgorithm as Algorithm};
use parlour::model::id::random_bytes;
use serde_json::{Value, json};

use super::server::{Answer, Client, Server};

/// The id of its only key.
pub(crate) const KEY_ID: &str = "first";

/// What a token is signed with.
pub(crate) enum Signature<'k> {
    Own,
    Shared(&'k [u8]),
    /// Another key than the one it shows.
    Foreign,
    None,
}

/// A code that was given out.
#[derive(Clone)]
struct Code {
    /// What the verifier must hash to; nothing is checked without.
    challenge: Option<String>,
    answer: Value,
}

#[derive(Default)]
struct Shown {
    down: bool,
    issuer: String,
    codes: HashMap<String, Code>,
    keys: Value,
    keys_served: usize,
}

pub(crate) struct Directory {
    pub(crate) issuer: String,
    key: CoreEdDsaPrivateSigningKey,
    foreign: CoreEdDsaPrivateSigningKey,
    shown: Arc<Mutex<Shown>>,
    /// It ends with the value.
    _server: tokio::task::JoinSet<()>,
}

fn signing_key() -> CoreEdDsaPrivateSigningKey {
    // PKCS #8 around 32 random bytes.
    let mut bytes = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    bytes.extend(random_bytes::<32>().expect("random bytes"));
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(bytes));
    let id = openidconnect::JsonWebKeyId::new(KEY_ID.to_owned());
    CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, Some(id)).expect("a key")
}

impl Directory {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let issuer = format!("http://{}/realm", listener.local_addr().expect("an address"));
        let key = signing_key();
        let keys = json!({ "keys": [key.as_verification_key()] });
        let shown = Arc::new(Mutex::new(Shown { issuer: issuer.clone(), keys, ..Shown::default() }));
        let router = Router::new()
            .route("/realm/.well-known/openid-configuration", get(discovery))
            .route("/realm/keys", get(keys_document))
            .route("/realm/token", post(token))
            .with_state(shown.clone());
        let mut server = tokio::task::JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { issuer, key, foreign: signing_key(), shown, _server: server }
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.shown.lock().expect("nobody panicked")
    }

    /// Answers nothing but errors from now on, or works again.
    pub(crate) fn set_down(&self, down: bool) {
        self.shown().down = down;
    }

    /// How often its keys were asked for.
    pub(crate) fn keys_served(&self) -> usize {
        self.shown().keys_served
    }

    /// The bytes of its public key, as somebody could use them who takes them for a shared one.
    pub(crate) fn public_key(&self) -> (Vec<u8>, String) {
        let shown = self.shown().keys["keys"][0].clone();
        let bytes = URL_SAFE_NO_PAD.decode(shown["x"].as_str().expect("a point")).expect("bytes");
        (bytes, shown.to_string())
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value, signature: &Signature<'_>) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let bytes = match signature {
            Signature::Own => self.key.sign(&Algorithm::EdDsa, signed.as_bytes()),
            Signature::Foreign => self.foreign.sign(&Algorithm::EdDsa, signed.as_bytes()),
            Signature::Shared(key) => CoreHmacKey::new(*key).sign(&Algorithm::HmacSha256, signed.as_bytes()),
            Signature::None => Ok(Vec::new()),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes.expect("a signature")))
    }

    /// Signs somebody in at the server: what an honest directory says about them, changed. The browser's answer, and the
    /// browser.
    pub(crate) async fn sign_in(
        &self,
        server: &Server,
        subject: &str,
        change: impl FnOnce(&mut Value),
    ) -> (Answer, Client) {
        let answer = server.anybody().get("/auth/login?redirect=/health").await;
        assert_eq!(answer.status.as_u16(), 303, "{}", answer.text);
        let cookie =
            answer.headers["set-cookie"].to_str().expect("text").split(';').next().unwrap_or_default().to_owned();
        let place: reqwest::Url = answer.headers["location"].to_str().expect("text").parse().expect("an address");
        let part = |name: &str| place.query_pairs().find(|(key, _)| key == name).expect("a part").1.into_owned();
        let now = server.clock.now() / 1000;
        let mut claims = json!({
            "iss": self.issuer, "aud": "parlour", "sub": subject, "iat": now, "exp": now + 300, "nonce": part("nonce"),
            "name": subject, "roles": ["user"], "groups": [],
        });
        change(&mut claims);
        let token = self.signed(&claims);
        let code = URL_SAFE_NO_PAD.encode(subject);
        self.give_code(&code, Some(&part("code_challenge")), Some(&token));
        let path = format!("/auth/callback?code={code}&state={}", part("state"));
        let answer = server.anybody().with("cookie", &cookie).get(&path).await;
        let cookies = answer.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().expect("text"));
        let session = cookies.map(|cookie| cookie.split(';').next().unwrap_or_default());
        let session = session.into_iter().find(|pair| pair.starts_with("parlour=")).unwrap_or_default().to_owned();
        (answer, server.anybody().with("cookie", &session).with("origin", &server.url))
    }

    /// What a server needs to sign people in here.
    pub(crate) fn settings(&self, config: &mut parlour::config::Config) {
        config.oidc.issuer.clone_from(&self.issuer);
        config.oidc.client_id = "parlour".to_owned();
        config.rate_limits.enabled = false;
    }

    /// A token as it should be.
    pub(crate) fn signed(&self, claims: &Value) -> String {
        self.sign(&json!({ "alg": "EdDSA", "kid": KEY_ID }), claims, &Signature::Own)
    }

    /// Gives out a code for this id token. With a challenge it wants to see the verifier.
    pub(crate) fn give_code(&self, code: &str, challenge: Option<&str>, id_token: Option<&str>) {
        let mut answer = json!({ "access_token": format!("access-{code}"), "token_type": "Bearer" });
        if let Some(id_token) = id_token {
            answer["id_token"] = json!(id_token);
        }
        self.shown().codes.insert(code.to_owned(), Code { challenge: challenge.map(str::to_owned), answer });
    }
}

type Shared = State<Arc<Mutex<Shown>>>;

fn answer(shown: &Shown, body: Value) -> Response {
    if shown.down { StatusCode::BAD_GATEWAY.into_response() } else { Json(body).into_response() }
}

async fn discovery(State(shown): Shared) -> Response {
    let shown = shown.lock().expect("nobody panicked");
    let own = |path: &str| format!("{}/{path}", shown.issuer);
    // It leaves out most of what it should say, and claims to sign in ways that nobody should take.
    let body = json!({
        "issuer": shown.issuer, "authorization_endpoint": own("authorize"), "token_endpoint": own("token"),
        "jwks_uri": own("keys"), "id_token_signing_alg_values_supported": ["none", "HS256", "EdDSA"],
    });
    answer(&shown, body)
}

async fn keys_document(State(shown): Shared) -> Response {
    let mut shown = shown.lock().expect("nobody panicked");
    shown.keys_served += 1;
    answer(&shown, shown.keys.clone())
}

async fn token(State(shown): Shared, Form(form): Form<HashMap<String, String>>) -> Response {
    let shown = shown.lock().expect("nobody panicked");
    let hash = |text: &str| {
        use sha2::Digest as _;
        URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(text.as_bytes()))
    };
    let given = shown.codes.get(form.get("code").map_or("", String::as_str));
    let verifier = form.get("code_verifier").map_or("", String::as_str);
    let fits = |code: &&Code| code.challenge.as_ref().is_none_or(|challenge| *challenge == hash(verifier));
    match given.filter(fits) {
        Some(code) => answer(&shown, code.answer.clone()),
        None => (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" }))).into_response(),
    }
}
