//! How names compare: without case, hyphens and underscores.

/// The form under which a command, parameter or bot name is looked up: lower case, `-` and `_` taken out.
///
/// `MyCommandName`, `my-command-name` and `my_command_name` are one name.
pub fn fold(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

/// Whether two bytes of names are alike: without case, `-` and `_` as one. Unlike [`fold`] it needs no copy.
pub fn is_same_byte(a: u8, b: u8) -> bool {
    a.eq_ignore_ascii_case(&b) || (matches!(a, b'-' | b'_') && matches!(b, b'-' | b'_'))
}

/// Whether `name` may name a bot: `[a-z][a-z0-9-]*`, at most 64 bytes.
pub fn is_bot_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Whether `name` may name a command or a parameter: a letter, then letters, digits, `-`, `_` or `.`, at most 64 bytes.
pub fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_compare_without_case_hyphens_and_underscores() {
        assert_eq!(fold("MyCommandName"), fold("my-command-name"));
        assert_eq!(fold("my_command_name"), "mycommandname");
        assert!(is_bot_name("ops-2") && !is_bot_name("Ops") && !is_bot_name("2ops") && !is_bot_name(""));
        assert!(is_name("MyCommandName") && is_name("targets.owner") && !is_name("a b") && !is_name("-x"));
    }
}
