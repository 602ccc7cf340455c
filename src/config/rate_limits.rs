//! How many requests may come in which time.

use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use serde::Deserialize;

use crate::model::conversation::Millis;

/// The limits of the HTTP doors. Each list holds windows that all count at once; an empty one is no limit.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimits {
    pub enabled: bool,
    /// Of an address without a credential.
    pub anonymous: Vec<Rate>,
    /// Of an address that signs in or asks whether it has.
    pub sign_in: Vec<Rate>,
    pub user: Vec<Rate>,
    pub admin: Vec<Rate>,
    /// Of a key without limits of its own.
    pub key: Vec<Rate>,
    /// Of what a page reads with the cookie of a login.
    pub page: Vec<Rate>,
    /// Networks that ask `/health` as often as they like.
    pub trusted_probes: Vec<IpNet>,
}

/// So many requests in a window of a second, minute, hour or day; written `1000/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Rate {
    /// At least 1.
    pub most: u32,
    pub per: Millis,
}

/// The windows by the words they are written with.
const WINDOWS: [(&str, Millis); 4] = [("s", 1000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no rate; write it as 60/min or 1000/h (s, min, h, d)");
        let (most, window) = text.split_once('/').ok_or_else(wrong)?;
        let most = most.trim().parse().ok().filter(|most| *most > 0).ok_or_else(wrong)?;
        let (_, per) = WINDOWS.into_iter().find(|(word, _)| *word == window.trim()).ok_or_else(wrong)?;
        Ok(Self { most, per })
    }
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = WINDOWS.iter().find(|(_, per)| *per == self.per).map_or("?", |(word, _)| word);
        write!(f, "{}/{word}", self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_as_it_is_written() {
        for (text, most, per) in
            [("60/min", 60, 60_000), ("1000/h", 1000, 3_600_000), ("5/s", 5, 1000), ("9/d", 9, 86_400_000)]
        {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate, rate.to_string().as_str()), (Rate { most, per }, text));
        }
        for wrong in ["", "60", "0/h", "-1/h", "60/hour", "60/", "/h", "99999999999/h"] {
            assert!(wrong.parse::<Rate>().unwrap_err().contains("60/min"), "{wrong}");
        }
    }
}
