//! When a schedule is due; pure.
//!
//! A cron expression is about local times. Each local time is met once: one that daylight saving skips is met as much later as
//! the clock was moved, one that it repeats is met the first time.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::model::conversation::Millis;

/// The shortest time between two runs of one schedule.
pub const SHORTEST: Millis = 10 * 1000;

/// What is later than this was missed.
const GRACE: Millis = 60 * 1000;

const HOUR: Millis = 60 * 60 * 1000;

/// How far back the last time before now is looked for, step by step: it is rarely long ago, and may be one of very many.
const LOOKS: [Millis; 4] = [HOUR, 24 * HOUR, 32 * 24 * HOUR, 5 * 366 * 24 * HOUR];

/// When it is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// Five fields, and the name of a time zone.
    Cron {
        text: String,
        timezone: String,
    },
    /// Again and again, so many milliseconds after the schedule was made.
    Every(Millis),
    Once(Millis),
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

words! {
    /// What becomes of times at which no server was there.
    Missed {
        Skip = "skip",
        /// The last of them.
        RunOnce = "run_once",
        /// Each, one after the other.
        RunAll = "run_all",
    }
}

words! {
    /// What becomes of a time at which the run before is still under way.
    Overlap {
        Allow = "allow",
        Skip = "skip",
        CancelRunning = "cancel_running",
    }
}

/// What is to be done about a schedule that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The time that a run is for; none: all of them were missed.
    pub run: Option<Millis>,
    pub next: Option<Millis>,
}

impl Rule {
    /// A cron expression that means something.
    pub fn cron(text: &str, timezone: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        if fields.len() != 5 {
            return Err("a cron expression has five fields: minute, hour, day of month, month, day of week".to_owned());
        }
        let rule = Self::Cron { text: fields.join(" "), timezone: timezone.to_owned() };
        cronexpr::parse_crontab(&format!("{} UTC", fields.join(" "))).map_err(|error| {
            // Above the last line it repeats the text, with our zone.
            let text = error.to_string();
            let why = text.lines().last().unwrap_or_default();
            format!("\"{}\" is no cron expression: {}", fields.join(" "), why.trim_start_matches([' ', '^']))
        })?;
        TimeZone::get(timezone).map_err(|_| format!("there is no time zone \"{timezone}\""))?;
        Ok(rule)
    }

    /// The first time after `after`; `from` is when the schedule was made.
    pub fn next_after(&self, from: Millis, after: Millis) -> Option<Millis> {
        match self {
            Self::Once(at) => (*at > after).then_some(*at),
            Self::Every(every) => {
                let passed = after.saturating_sub(from).div_euclid(*every).max(-1);
                Some(from + (passed + 1) * every)
            }
            Self::Cron { text, timezone } => {
                let crontab = cronexpr::parse_crontab(&format!("{text} UTC")).ok()?;
                let zone = TimeZone::get(timezone).ok()?;
                let mut local = zone.to_datetime(Timestamp::from_millisecond(after).ok()?);
                loop {
                    // The expression is met by local times as such; the zone says afterwards which moments they are.
                    local = next_local(&crontab, local)?;
                    let at = zone.to_ambiguous_zoned(local).compatible().ok()?.timestamp().as_millisecond();
                    if at > after {
                        return Some(at);
                    }
                }
            }
        }
    }

    /// What is to be done about a schedule that was due at `due`, now that it is `now`.
    pub fn step(&self, from: Millis, due: Millis, now: Millis, missed: Missed) -> Step {
        if missed == Missed::RunAll {
            return Step { run: Some(due), next: self.next_after(from, due) };
        }
        let last = self.last_before(from, due, now);
        let is_late = now.saturating_sub(last) > GRACE;
        Step { run: (missed == Missed::RunOnce || !is_late).then_some(last), next: self.next_after(from, now) }
    }

    /// The last time that is not after `now`, `due` being the first.
    fn last_before(&self, from: Millis, due: Millis, now: Millis) -> Millis {
        for look in LOOKS {
            let start = now.saturating_sub(look);
            if start <= due {
                break;
            }
            let Some(mut last) = self.next_after(from, start).filter(|at| *at <= now) else { continue };
            while let Some(next) = self.next_after(from, last).filter(|at| *at <= now) {
                last = next;
            }
            return last;
        }
        let mut last = due;
        while let Some(next) = self.next_after(from, last).filter(|at| *at <= now) {
            last = next;
        }
        last
    }
}

fn next_local(crontab: &cronexpr::Crontab, local: DateTime) -> Option<DateTime> {
    let as_utc = TimeZone::UTC.to_timestamp(local).ok()?;
    Some(crontab.find_next(cronexpr::MakeTimestamp(as_utc)).ok()?.datetime())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{moment, rfc3339};

    fn at(text: &str) -> Millis {
        moment(text).unwrap()
    }

    fn cron(text: &str) -> Rule {
        Rule::cron(text, "Europe/Berlin").unwrap()
    }

    fn next(rule: &Rule, after: &str, count: usize) -> Vec<String> {
        let mut after = at(after);
        let times = (0..count).map(|_| {
            after = rule.next_after(0, after).unwrap();
            rfc3339(after).replace(":00.000Z", "Z")
        });
        times.collect()
    }

    #[test]
    fn cron_means_local_time() {
        let rule = cron("0 2 * * 1-5");
        // A Friday in winter, a Friday in summer.
        assert_eq!(next(&rule, "2026-01-09T00:59:00Z", 2), ["2026-01-09T01:00Z", "2026-01-12T01:00Z"]);
        assert_eq!(next(&rule, "2026-07-10T00:00:00Z", 2), ["2026-07-13T00:00Z", "2026-07-14T00:00Z"]);
    }

    #[test]
    fn a_time_that_daylight_saving_skips_is_met_later_and_one_it_repeats_once() {
        // On 2026-03-29 it is 03:00 after 01:59, on 2026-10-25 it is 02:00 after 02:59.
        let rule = cron("30 2 * * *");
        assert_eq!(
            next(&rule, "2026-03-28T12:00:00Z", 3),
            ["2026-03-29T01:30Z", "2026-03-30T00:30Z", "2026-03-31T00:30Z"]
        );
        assert_eq!(next(&rule, "2026-10-24T12:00:00Z", 2), ["2026-10-25T00:30Z", "2026-10-26T01:30Z"]);
        // In the hour that comes again nothing does.
        let rule = cron("*/30 * * * *");
        assert_eq!(
            next(&rule, "2026-10-25T00:00:00Z", 3),
            ["2026-10-25T00:30Z", "2026-10-25T02:00Z", "2026-10-25T02:30Z"]
        );
        assert_eq!(
            next(&rule, "2026-03-29T00:29:00Z", 4),
            ["2026-03-29T00:30Z", "2026-03-29T01:00Z", "2026-03-29T01:30Z", "2026-03-29T02:00Z"]
        );
    }

    #[test]
    fn every_counts_from_when_it_was_made() {
        let rule = Rule::Every(1000);
        assert_eq!(rule.next_after(500, 500), Some(1500));
        assert_eq!(rule.next_after(500, 1499), Some(1500));
        assert_eq!(rule.next_after(500, 1500), Some(2500));
        assert_eq!(rule.next_after(500, 0), Some(500));
        assert_eq!(Rule::Once(7).next_after(0, 6), Some(7));
        assert_eq!(Rule::Once(7).next_after(0, 7), None);
    }

    #[test]
    fn what_was_missed_is_run_as_it_says() {
        let rule = cron("0 * * * *");
        let (due, now) = (at("2026-01-01T10:00:00Z"), at("2026-01-03T15:20:00Z"));
        let step = |missed| rule.step(0, due, now, missed);
        let last = at("2026-01-03T15:00:00Z");
        let after = Some(at("2026-01-03T16:00:00Z"));
        assert_eq!(step(Missed::RunOnce), Step { run: Some(last), next: after });
        assert_eq!(step(Missed::Skip), Step { run: None, next: after });
        assert_eq!(step(Missed::RunAll), Step { run: Some(due), next: Some(at("2026-01-01T11:00:00Z")) });
        // What is on time is not missed.
        let on_time = rule.step(0, last, last + 1, Missed::Skip);
        assert_eq!(on_time, Step { run: Some(last), next: after });
        // Once, long ago.
        let once = Rule::Once(due);
        assert_eq!(once.step(0, due, now, Missed::RunOnce), Step { run: Some(due), next: None });
        // Very many are not counted one by one.
        let rule = cron("* * * * *");
        let step = rule.step(0, at("2020-01-01T00:00:00Z"), now, Missed::RunOnce);
        assert_eq!(step.run, Some(at("2026-01-03T15:20:00Z")));
        let yearly = cron("0 0 29 2 *");
        let step = yearly.step(0, at("2020-02-28T23:00:00Z"), now, Missed::RunOnce);
        assert_eq!(step.run, Some(at("2024-02-28T23:00:00Z")));
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (text, zone, says) in [
            ("* * * *", "UTC", "five fields"),
            ("0 2 * * * Asia/Tokyo", "UTC", "five fields"),
            ("61 * * * *", "UTC", "61"),
            ("0 2 * * *", "Mars/Olympus", "Mars/Olympus"),
        ] {
            let error = Rule::cron(text, zone).unwrap_err();
            assert!(error.contains(says), "{text} {zone}: {error}");
        }
    }

    #[test]
    fn a_day_that_never_comes_has_no_next_time() {
        assert_eq!(cron("0 0 31 2 *").next_after(0, 0), None);
    }
}
