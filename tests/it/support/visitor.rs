//! A person's browser as far as signing in needs one: cookies of several sites, redirects, and forms that are sent.

use std::collections::BTreeMap;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Method, StatusCode, Url};

/// What is on the screen in the end.
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) status: StatusCode,
    pub(crate) text: String,
}

impl Page {
    /// The address that the page's form goes to.
    fn action(&self) -> Url {
        let action = self.text.split("action=\"").nth(1).and_then(|rest| rest.split('"').next());
        self.url.join(action.unwrap_or_else(|| panic!("no form at {}: {}", self.url, self.text))).expect("an address")
    }

    /// The hidden fields of the page's form.
    fn hidden(&self) -> Vec<(String, String)> {
        let fields = self.text.split("<input ").skip(1).filter(|field| field.contains("type=\"hidden\""));
        let value = |field: &str, name: &str| {
            let rest = field.split(&format!("{name}=\"")).nth(1)?;
            Some(rest.split('"').next()?.to_owned())
        };
        fields.filter_map(|field| Some((value(field, "name")?, value(field, "value")?))).collect()
    }
}

pub(crate) struct Visitor {
    http: reqwest::Client,
    /// By origin and name; no site here needs their paths.
    cookies: BTreeMap<(String, String), String>,
}

impl Visitor {
    pub(crate) fn new() -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        Self { http: http.build().expect("a client"), cookies: BTreeMap::new() }
    }

    /// The cookies of a site, as a header.
    pub(crate) fn cookies(&self, url: &Url) -> String {
        let origin = url.origin().ascii_serialization();
        let own = self.cookies.iter().filter(|((site, _), _)| *site == origin);
        own.map(|((_, name), value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// Forgets the cookies of a site.
    pub(crate) fn forget(&mut self, url: &str) {
        let origin = url.parse::<Url>().expect("an address").origin().ascii_serialization();
        self.cookies.retain(|(site, _), _| *site != origin);
    }

    pub(crate) async fn open(&mut self, url: &str) -> Page {
        self.go(Method::GET, url.parse().expect("an address"), &[]).await
    }

    /// Fills in the page's form and sends it.
    pub(crate) async fn submit(&mut self, page: &Page, fields: &[(&str, &str)]) -> Page {
        let mut form = page.hidden();
        form.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.go(Method::POST, page.action(), &form).await
    }

    /// Asks and goes where it is sent, until there is something to see.
    async fn go(&mut self, method: Method, url: Url, form: &[(String, String)]) -> Page {
        let (mut method, mut url) = (method, url);
        for _ in 0..20 {
            let mut request = self.http.request(method.clone(), url.clone()).header(COOKIE, self.cookies(&url));
            if method == Method::POST {
                request = request.form(form);
            }
            let answer = request.send().await.unwrap_or_else(|error| panic!("{error}"));
            let origin = url.origin().ascii_serialization();
            for cookie in answer.headers().get_all(SET_COOKIE) {
                let pair = cookie.to_str().expect("text").split(';').next().unwrap_or_default();
                let (name, value) = pair.split_once('=').expect("a cookie");
                self.cookies.insert((origin.clone(), name.to_owned()), value.to_owned());
            }
            let status = answer.status();
            match answer.headers().get(LOCATION).filter(|_| status.is_redirection()) {
                Some(next) => url = url.join(next.to_str().expect("text")).expect("an address"),
                None => return Page { url, status, text: answer.text().await.expect("a page") },
            }
            method = Method::GET;
        }
        panic!("sent around in circles, last to {url}");
    }
}
