//! Ways to sign in.

use super::read::Sheet;
use super::{Apply, Auth, Field, FieldKind, Grant, OAuth2};
use crate::expression::Text;

pub(super) fn read(sheet: &mut Sheet<'_>, at: &str) -> Auth {
    let fields: Vec<Field> =
        sheet.keys(&format!("{at}/fields")).into_iter().map(|name| field(sheet, at, name)).collect();
    let oauth2 = sheet.get(&format!("{at}/oauth2")).is_some().then(|| oauth2(sheet, &format!("{at}/oauth2"))).flatten();
    let apply = apply(sheet, &format!("{at}/apply"));
    let kind = sheet.owned(&format!("{at}/kind"));
    if let Some(OAuth2 { grant: Grant::AuthorizationCode, token_field, .. }) = &oauth2 {
        let is_known = |name: &str| fields.iter().any(|field| field.name == name);
        if !is_known("client_id") {
            sheet.error(at, "\"client_id\" is missing in fields: people sign in for a client");
        }
        if let Some(field) = token_field.as_deref().filter(|field| !is_known(field)) {
            sheet.error(&format!("{at}/oauth2/token_field"), format!("\"{field}\" is no field of this credential"));
        }
    }
    for text in apply.texts().chain(oauth2.iter().flat_map(OAuth2::texts)) {
        for name in text.expressions().flat_map(|expression| expression.names()) {
            let known = match name.split_once('.') {
                Some(("secret", field)) => fields.iter().any(|known| known.name == field),
                Some(("token", "access_token")) => oauth2.is_some(),
                _ => false,
            };
            if !known {
                sheet.error(at, format!("\"{name}\" is no field of this credential"));
            }
        }
    }
    Auth {
        id: sheet.owned(&format!("{at}/id")),
        kind,
        is_default: sheet.flag(&format!("{at}/default")).unwrap_or(false),
        description: sheet.owned(&format!("{at}/description")),
        fields,
        apply,
        oauth2,
        test: sheet.text(&format!("{at}/test/action")).map(str::to_owned),
    }
}

fn field(sheet: &mut Sheet<'_>, at: &str, name: String) -> Field {
    let at = format!("{at}/fields/{name}");
    let pattern = sheet.text(&format!("{at}/pattern")).map(str::to_owned);
    let pattern = pattern.and_then(|pattern| {
        let compiled = regex::RegexBuilder::new(&pattern).size_limit(1 << 18).build();
        compiled.map_err(|_| sheet.error(&format!("{at}/pattern"), "this is no pattern")).ok()
    });
    Field {
        kind: match sheet.text(&format!("{at}/type")) {
            Some("integer") => FieldKind::Integer,
            Some("boolean") => FieldKind::Flag,
            _ => FieldKind::Text,
        },
        is_secret: sheet.flag(&format!("{at}/secret")).unwrap_or(false),
        is_required: sheet.flag(&format!("{at}/required")).unwrap_or(false),
        pattern,
        default: sheet.get(&format!("{at}/default")).cloned(),
        description: sheet.owned(&format!("{at}/description")),
        is_host: sheet.flag(&format!("{at}/host")).unwrap_or(false),
        name,
    }
}

fn apply(sheet: &mut Sheet<'_>, at: &str) -> Apply {
    let mut pairs = |part: &str| {
        let written = sheet.templates(&format!("{at}/{part}"));
        let mut pairs = Vec::new();
        for (name, value) in written {
            match Text::compile_braces(&name) {
                Ok(name) => pairs.push((name, value)),
                Err(fault) => sheet.error(&format!("{at}/{part}"), fault.message),
            }
        }
        pairs
    };
    let (headers, query) = (pairs("header"), pairs("query"));
    let basic = sheet.template(&format!("{at}/basic/username")).zip(sheet.template(&format!("{at}/basic/password")));
    let login = sheet.text(&format!("{at}/login/path")).map(str::to_owned);
    let login = login.map(|path| (path, sheet.templates(&format!("{at}/login/form"))));
    Apply { headers, query, basic, login }
}

impl Apply {
    fn texts(&self) -> impl Iterator<Item = &Text> {
        let pairs = self.headers.iter().chain(&self.query).chain(&self.basic);
        let form = self.login.iter().flat_map(|(_, form)| form.iter().map(|(_, value)| value));
        pairs.flat_map(|(name, value)| [name, value]).chain(form)
    }
}

fn oauth2(sheet: &mut Sheet<'_>, at: &str) -> Option<OAuth2> {
    let grant = match sheet.text(&format!("{at}/grant")) {
        Some("client_credentials") => Grant::ClientCredentials,
        _ => Grant::AuthorizationCode,
    };
    let authorize_url = sheet.template(&format!("{at}/authorize_url"));
    if grant == Grant::AuthorizationCode && authorize_url.is_none() {
        sheet.error(at, "\"authorize_url\" is missing: people are sent there");
    }
    let token_url = sheet.template(&format!("{at}/token_url"))?;
    let scopes = (0..sheet.length(&format!("{at}/scopes")))
        .filter_map(|index| sheet.template(&format!("{at}/scopes/{index}")))
        .collect();
    Some(OAuth2 {
        grant,
        authorize_url,
        token_url,
        scopes,
        secret_in_body: sheet.text(&format!("{at}/client_auth")) != Some("basic"),
        pkce: sheet.flag(&format!("{at}/pkce")).unwrap_or(true),
        token_field: sheet.text(&format!("{at}/token_field")).map(str::to_owned),
        parameters: sheet.templates(&format!("{at}/parameters")),
    })
}

impl OAuth2 {
    fn texts(&self) -> impl Iterator<Item = &Text> {
        let parameters = self.parameters.iter().map(|(_, text)| text);
        self.authorize_url.iter().chain(std::iter::once(&self.token_url)).chain(&self.scopes).chain(parameters)
    }
}
