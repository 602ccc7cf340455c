//! When clocks somewhere show a time.

use crate::model::conversation::Millis;

/// The next moment at which clocks of a time zone show `time`, in milliseconds.
pub(super) fn next_time(now: Millis, time: &str, zone: &str) -> Result<Millis, String> {
    let time: jiff::civil::Time =
        time.parse().map_err(|_| format!("next_time takes a time such as '02:00', not '{time}'"))?;
    let zone = jiff::tz::TimeZone::get(zone).map_err(|_| format!("there is no time zone '{zone}'"))?;
    let at = jiff::Timestamp::from_millisecond(now).map_err(|error| error.to_string())?.to_zoned(zone);
    let today = at.date().to_datetime(time).to_zoned(at.time_zone().clone());
    let today = today.map_err(|error| error.to_string())?;
    let next = if today.timestamp() > at.timestamp() {
        today
    } else {
        let tomorrow = at.date().tomorrow().map_err(|error| error.to_string())?;
        tomorrow.to_datetime(time).to_zoned(at.time_zone().clone()).map_err(|error| error.to_string())?
    };
    Ok(next.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_790_000_000_000;

    #[test]
    fn clocks_are_asked_where_they_stand() {
        // 2026-09-21 14:13:20 UTC.
        let at = |time, zone| next_time(NOW, time, zone).map(|at| at - NOW);
        assert_eq!(at("14:14", "UTC"), Ok(40_000));
        assert_eq!(at("14:13", "UTC"), Ok(24 * 3_600_000 - 20_000));
        // 23:43:20 there, nine and a half hours ahead.
        assert_eq!(at("02:00", "Australia/Adelaide"), Ok((2 * 3600 + 16 * 60 + 40) * 1000));
        assert!(at("25:00", "UTC").is_err() && at("02:00", "Mars/Base").is_err());
    }
}
