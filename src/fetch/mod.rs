//! Floor 2: requests to the outside. Connectors, hooks and webhooks reach it through [`Fetch`] and nothing else.
//!
//! Which addresses may be reached is decided by the [`Guard`] at the moment of connecting, and again for every
//! connection. Redirects are not followed, a proxy in the environment is not used, answers are bounded in time and size.

mod guard;
mod stand_in;

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use url::Url;

use crate::config;

pub use guard::{Guard, Refused};
pub use reqwest::Method as HttpMethod;
pub use reqwest::header as headers;
pub use stand_in::StandIn;

/// How long opening a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// Headers that say how a message is carried. They are this client's, whoever writes the others.
const OWN_HEADERS: [&str; 9] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "proxy-authorization",
];

/// One request to the outside.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Shorter or longer than the setting `fetch.timeout`.
    pub timeout: Option<Duration>,
    /// The largest answer in bytes, if it is less than the setting `fetch.max_response`.
    pub max_response: Option<usize>,
}

impl Request {
    pub fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Bytes::new(), timeout: None, max_response: None }
    }

    /// Adds a header that somebody wrote; one of the same name is replaced.
    pub fn header(&mut self, name: &str, value: &str) -> Result<(), Refused> {
        if OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            return Err(Refused(format!("the header {name} is not for you to set")));
        }
        let named = HeaderName::try_from(name).map_err(|_| Refused(format!("{name:?} cannot name a header")))?;
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| Refused(format!("the value of header {name} has characters that no header has")))?;
        // None of them is written to any log.
        value.set_sensitive(true);
        self.headers.insert(named, value);
        Ok(())
    }
}

/// What came back, whatever its status.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nothing was sent, and nothing will be.
    #[error("{0}")]
    Refused(#[from] Refused),
    /// Nobody took the connection; nothing was sent.
    #[error("{host} cannot be reached: {reason}")]
    Unreachable { host: String, reason: String },
    /// Sent, at least in part; whether it had an effect is not known.
    #[error("{host} did not answer in time")]
    TimedOut { host: String },
    #[error("the connection to {host} broke: {reason}")]
    Broken { host: String, reason: String },
    /// It answered, so it had its effect; the answer is not kept.
    #[error("{host} answered with more than {limit} bytes")]
    TooLarge { host: String, limit: u64 },
}

impl Failure {
    /// Whether bytes of the request may have reached the peer.
    pub fn may_have_arrived(&self) -> bool {
        !matches!(self, Self::Refused(_) | Self::Unreachable { .. })
    }
}

/// The client. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Fetch {
    client: Client,
    guard: Guard,
    timeout: Duration,
    max_response: usize,
    /// Answers instead of the world.
    stand_in: Option<StandIn>,
}

impl Fetch {
    pub fn new(settings: &config::Fetch) -> anyhow::Result<Self> {
        let guard = Guard::new(&settings.allow_private);
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(8)
            .referer(false)
            .user_agent(concat!("parlour/", env!("CARGO_PKG_VERSION")))
            .dns_resolver2(guard::Guarded(guard.clone()))
            .build()?;
        let timeout = settings.timeout.unsigned_abs();
        let max_response = usize::try_from(settings.max_response)?;
        Ok(Self { client, guard, timeout, max_response, stand_in: None })
    }

    /// A client that reaches nobody: `stand_in` answers whatever is sent.
    pub fn answered_by(settings: &config::Fetch, stand_in: StandIn) -> anyhow::Result<Self> {
        Ok(Self { stand_in: Some(stand_in), ..Self::new(settings)? })
    }

    /// Whether something answers instead of the world.
    pub fn is_answered(&self) -> bool {
        self.stand_in.is_some()
    }

    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Reads an address and says at once what will not be reached. What its name resolves to is looked at too, when it
    /// resolves; that it does is no condition, since the check that counts comes with each connection.
    pub async fn check(&self, text: &str) -> Result<Url, Refused> {
        let url = Url::parse(text.trim()).map_err(|_| Refused(NO_ADDRESS.to_owned()))?;
        self.guard.check(&url)?;
        if let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) {
            let resolved = tokio::time::timeout(CONNECT, self.guard.resolve(host, port)).await;
            if let Ok(Ok(Err(refused))) = resolved {
                return Err(refused);
            }
        }
        Ok(url)
    }

    /// Sends a request and reads its answer whole.
    pub async fn send(&self, request: Request) -> Result<Response, Failure> {
        if let Some(stand_in) = &self.stand_in {
            return stand_in.answer(request);
        }
        let limit = request.max_response.unwrap_or(self.max_response).min(self.max_response);
        let mut opened = self.open(request, limit as u64).await?;
        let mut body = Vec::new();
        while let Some(piece) = opened.piece().await? {
            body.extend_from_slice(&piece);
        }
        Ok(Response { status: opened.status, headers: opened.headers, body: body.into() })
    }

    /// Sends a request and answers as soon as the head of its answer is there; the rest is read piece by piece, up to
    /// `limit` bytes. `max_response` does not count here.
    pub async fn open(&self, request: Request, limit: u64) -> Result<Opened, Failure> {
        if self.stand_in.is_some() {
            return Err(Refused("nothing is fetched piece by piece where answers are made up".to_owned()).into());
        }
        let Request { method, url, headers, body, timeout, max_response: _ } = request;
        self.guard.check(&url)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let sending = self
            .client
            .request(method, url)
            .headers(headers)
            .body(body)
            .timeout(timeout.unwrap_or(self.timeout))
            .send();
        let mut answer = sending.await.map_err(|error| failure(&host, error))?;
        if answer.content_length().is_some_and(|length| length > limit) {
            return Err(Failure::TooLarge { host, limit });
        }
        let headers = std::mem::take(answer.headers_mut());
        Ok(Opened { status: answer.status().as_u16(), headers, answer, host, limit, read: 0 })
    }
}

/// An answer whose body is still coming.
#[derive(Debug)]
pub struct Opened {
    pub status: u16,
    pub headers: HeaderMap,
    answer: reqwest::Response,
    host: String,
    limit: u64,
    read: u64,
}

impl Opened {
    /// The next bytes; none at the end.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        let piece = self.answer.chunk().await.map_err(|error| failure(&self.host, error))?;
        if let Some(piece) = &piece {
            self.read += piece.len() as u64;
            if self.read > self.limit {
                return Err(Failure::TooLarge { host: self.host.clone(), limit: self.limit });
            }
        }
        Ok(piece)
    }
}

const NO_ADDRESS: &str = "this is no address such as https://example.com/path";

/// The client's error without the address, which may carry a secret.
fn failure(host: &str, error: reqwest::Error) -> Failure {
    let host = host.to_owned();
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    let mut deepest = String::new();
    while let Some(inner) = source {
        if let Some(refused) = inner.downcast_ref::<Refused>() {
            return Failure::Refused(refused.clone());
        }
        source = inner.source();
        if source.is_none() {
            deepest = inner.to_string();
        }
    }
    let error = error.without_url();
    if error.is_connect() {
        let reason = if error.is_timeout() { "it takes no connection in time".to_owned() } else { deepest };
        return Failure::Unreachable { host, reason };
    }
    if error.is_builder() {
        return Failure::Refused(Refused(format!("the request cannot be sent: {deepest}")));
    }
    if error.is_timeout() { Failure::TimedOut { host } } else { Failure::Broken { host, reason: deepest } }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn fetch(allowed: &[&str]) -> Fetch {
        let allow_private = allowed.iter().map(|network| network.parse().unwrap()).collect();
        let timeout = jiff::SignedDuration::from_secs(5);
        Fetch::new(&config::Fetch { allow_private, timeout, max_response: 1000 }).unwrap()
    }

    fn get(address: &str) -> Request {
        Request::new(Method::GET, Url::parse(address).unwrap())
    }

    /// Answers each connection with these bytes, and with the next ones the next.
    async fn server(answers: &'static [&'static str]) -> (SocketAddr, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        #[expect(clippy::disallowed_methods, reason = "a peer of this test alone")]
        let serving = tokio::spawn(async move {
            let mut heard = Vec::new();
            for answer in answers {
                let (mut connection, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let length = connection.read(&mut request).await.unwrap();
                heard.push(String::from_utf8_lossy(&request[..length]).into_owned());
                connection.write_all(answer.as_bytes()).await.unwrap();
                if answer.contains("chunked") {
                    // It may be gone before the end: it has what it may have.
                    let _ = connection.write_all(&[b'x'; 1001]).await;
                }
            }
            heard
        });
        (address, serving)
    }

    #[tokio::test]
    async fn a_name_that_means_this_machine_is_refused_while_connecting() {
        let (address, serving) = server(&["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]).await;
        let port = address.port();
        for name in [format!("http://127.0.0.1:{port}/"), format!("http://localhost:{port}/")] {
            let failure = fetch(&[]).send(get(&name)).await.unwrap_err();
            assert!(matches!(failure, Failure::Refused(_)), "{name}: {failure}");
            assert!(!failure.may_have_arrived());
        }
        // Past the look at the name itself: the address it resolves to is what counts.
        let guarded = fetch(&["127.0.0.0/32", "::1/128"]);
        let failure = guarded.send(get(&format!("http://localhost:{port}/"))).await.unwrap_err();
        assert!(!failure.may_have_arrived(), "{failure}");
        let answer = fetch(&["127.0.0.0/8"]).send(get(&format!("http://127.0.0.1:{port}/"))).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(serving.await.unwrap().len(), 1, "the others reached nobody");
    }

    #[tokio::test]
    async fn redirects_are_not_followed_and_answers_are_bounded() {
        let (address, serving) = server(&[
            "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1001\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3e9\r\n",
        ])
        .await;
        let url = format!("http://{address}/");
        let fetch = fetch(&["127.0.0.0/8"]);
        let answer = fetch.send(get(&url)).await.unwrap();
        assert_eq!((answer.status, answer.headers["location"].to_str().unwrap()), (302, "http://169.254.169.254/"));
        assert!(matches!(fetch.send(get(&url)).await, Err(Failure::TooLarge { limit: 1000, .. })));
        let mut small = get(&url);
        small.max_response = Some(100);
        assert!(matches!(fetch.send(small).await, Err(Failure::TooLarge { limit: 100, .. })));
        let heard = serving.await.unwrap();
        assert!(heard[0].starts_with("GET / HTTP/1.1\r\n") && heard[0].contains("parlour/"), "{}", heard[0]);
    }

    #[tokio::test]
    async fn it_is_known_whether_anything_may_have_arrived() {
        let fetch = fetch(&["127.0.0.0/8"]);
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gone = nobody.local_addr().unwrap();
        drop(nobody);
        let failure = fetch.send(get(&format!("http://{gone}/secret"))).await.unwrap_err();
        assert!(matches!(failure, Failure::Unreachable { .. }) && !failure.may_have_arrived(), "{failure}");
        assert!(!failure.to_string().contains("secret"));
        let (address, _serving) = server(&[""]).await;
        let failure = fetch.send(get(&format!("http://{address}/"))).await.unwrap_err();
        assert!(failure.may_have_arrived(), "{failure}");
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut request = get(&format!("http://{}/", silent.local_addr().unwrap()));
        request.timeout = Some(Duration::from_millis(50));
        let failure = fetch.send(request).await.unwrap_err();
        assert!(matches!(failure, Failure::TimedOut { .. }) && failure.may_have_arrived(), "{failure}");
    }

    #[test]
    fn how_a_message_is_carried_is_nobodys_to_write() {
        let mut request = get("https://example.com/");
        for (name, value) in [
            ("Host", "evil"),
            ("Transfer-Encoding", "chunked"),
            ("content-length", "0"),
            ("X-A", "a\r\nX-B: b"),
            ("X-A\r\nX-B", "b"),
            ("X A", "b"),
            ("", "b"),
        ] {
            assert!(request.header(name, value).is_err(), "{name}: {value}");
        }
        request.header("Authorization", "Bearer hunter2").unwrap();
        assert!(!format!("{request:?}").contains("hunter2"));
    }
}
