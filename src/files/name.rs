//! What a file is called.

/// The longest name, in bytes: what common file systems take.
const LONGEST: usize = 200;
/// An ending up to this long survives when a name is cut.
const LONGEST_ENDING: usize = 16;

/// A name without folders, control characters and characters that turn the direction of writing (`gpj.exe` must not
/// read as `exe.jpg`), and of bounded length. Never empty.
pub fn clean_name(given: &str) -> String {
    let name = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = name.chars().filter(|c| !c.is_control() && !turns_direction(*c)).collect();
    let name = name.trim().trim_end_matches('.').trim_end();
    if name.is_empty() {
        return "file".to_owned();
    }
    if name.len() <= LONGEST {
        return name.to_owned();
    }
    let ending = name.rfind('.').map(|at| &name[at..]).filter(|ending| ending.len() <= LONGEST_ENDING);
    let ending = ending.unwrap_or_default();
    let stem = &name[..name.floor_char_boundary(LONGEST - ending.len())];
    format!("{}{ending}", stem.trim_end())
}

fn turns_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_could_lead_astray() {
        for (given, name) in [
            ("log.txt", "log.txt"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\ann\\plan.pdf", "plan.pdf"),
            ("/etc/", "file"),
            ("..", "file"),
            (".", "file"),
            ("", "file"),
            (" \u{7f}\n", "file"),
            ("a\r\nSet-Cookie: x", "aSet-Cookie: x"),
            ("nul\0.txt", "nul.txt"),
            ("photo\u{202e}gpj.exe", "photogpj.exe"),
            (" Größe 日本.csv ", "Größe 日本.csv"),
            (".bashrc", ".bashrc"),
            ("report.", "report"),
        ] {
            assert_eq!(clean_name(given), name, "{given:?}");
        }
    }

    #[test]
    fn a_long_name_keeps_its_ending() {
        let name = clean_name(&format!("{}.tar", "ä".repeat(300)));
        assert!(name.len() <= LONGEST && name.ends_with("ä.tar"), "{name}");
        assert!(clean_name(&format!("a.{}", "b".repeat(300))).len() <= LONGEST);
    }
}
