//! Times as a document writes them: `500ms`, `2s`, `1h30m`.

use crate::model::conversation::Millis;

const UNITS: [(&str, Millis); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// The time in milliseconds; `None` when it is not one.
pub fn parse(text: &str) -> Option<Millis> {
    let mut rest = text;
    let mut sum: Millis = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: Millis = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (_, size) = UNITS.iter().find(|(unit, _)| *unit == &rest[..letters])?;
        sum = sum.checked_add(number.checked_mul(*size)?)?;
        rest = &rest[letters..];
    }
    (!text.is_empty()).then_some(sum)
}

/// The shortest way to write it.
pub fn write(mut millis: Millis) -> String {
    if millis <= 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (unit, size) in UNITS.iter().rev() {
        if millis >= *size {
            out.push_str(&format!("{}{unit}", millis / size));
            millis %= size;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, millis) in
            [("500ms", 500), ("2s", 2000), ("1h30m", 5_400_000), ("1d", 86_400_000), ("1s500ms", 1500), ("0s", 0)]
        {
            assert_eq!(parse(text), Some(millis), "{text}");
            assert_eq!(write(millis), text);
        }
        for wrong in ["", "5", "5 minutes", "m", "1.5s", "-1s", "1w", "99999999999999999d"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
