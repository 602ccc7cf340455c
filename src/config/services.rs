//! Programs that come with tokens of other issuers.

use serde::{Deserialize, Deserializer};

use super::is_confidential;

/// Programs that come with tokens of other issuers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Services {
    pub issuers: Vec<Issuer>,
}

impl Services {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        for Issuer { issuer, audience, algorithms, client_id_claim } in &self.issuers {
            anyhow::ensure!(
                is_confidential(issuer),
                "services.issuers: issuer {issuer:?} must begin with https:// (http:// only for this machine)"
            );
            anyhow::ensure!(!audience.is_empty(), "services.issuers: the audience of {issuer} is missing");
            anyhow::ensure!(
                !client_id_claim.is_empty(),
                "services.issuers: client_id_claim of {issuer} names no claim"
            );
            anyhow::ensure!(!algorithms.is_empty(), "services.issuers: algorithms of {issuer} are missing");
            for algorithm in algorithms {
                anyhow::ensure!(
                    ALGORITHMS.contains(&algorithm.as_str()),
                    "services.issuers: {algorithm:?} of {issuer} is none of {}",
                    ALGORITHMS.join(", ")
                );
            }
            anyhow::ensure!(
                self.issuers.iter().filter(|other| other.issuer == *issuer).count() == 1,
                "services.issuers: {issuer} is there twice"
            );
        }
        Ok(())
    }
}

/// An issuer whose tokens enrolled programs may bring.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// Exactly as it names itself.
    pub issuer: String,
    /// What its tokens for this server say in `aud`.
    pub audience: String,
    /// By which algorithms they may be signed; asymmetric ones only.
    #[serde(default = "algorithms")]
    pub algorithms: Vec<String>,
    /// The claims that may name the client; the first that is there counts.
    #[serde(default = "client_id_claims", deserialize_with = "one_or_many")]
    pub client_id_claim: Vec<String>,
}

/// Signatures that prove something: with a key of the issuer's own.
const ALGORITHMS: [&str; 9] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

fn algorithms() -> Vec<String> {
    ["RS256", "PS256", "ES256", "EdDSA"].map(str::to_owned).to_vec()
}

fn client_id_claims() -> Vec<String> {
    ["azp", "appid", "client_id"].map(str::to_owned).to_vec()
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}
