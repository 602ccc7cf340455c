//! Slack's own markup in what people type, as words.

/// A message as it was meant: `<@U1>` is `@U1`, `<#C1|ops>` is `#ops`, a link is its address, and what Slack escaped is
/// itself again.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        match after.find('>') {
            Some(end) => {
                out.push_str(&word(&after[1..end]));
                rest = &after[end + 1..];
            }
            None => {
                out.push_str(after);
                rest = "";
            }
        }
    }
    out.push_str(rest);
    out.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

fn word(entity: &str) -> String {
    let (target, label) = entity.split_once('|').map_or((entity, None), |(target, label)| (target, Some(label)));
    match target.as_bytes().first() {
        Some(b'@') => target.to_owned(),
        Some(b'#') => format!("#{}", label.filter(|label| !label.is_empty()).unwrap_or(&target[1..])),
        Some(b'!') => label.map_or_else(|| format!("@{}", &target[1..]), str::to_owned),
        _ => target.strip_prefix("mailto:").unwrap_or(target).to_owned(),
    }
}

/// The text without the mention of the bot, and whether it was mentioned.
pub(super) fn without_mention(text: &str, bot: &str) -> (String, bool) {
    if bot.is_empty() {
        return (text.to_owned(), false);
    }
    let mut out = text.to_owned();
    let mut mentioned = false;
    while let Some(start) = out.find(&format!("<@{bot}")) {
        let Some(end) = out[start..].find('>') else { break };
        // `<@U1>` or `<@U1|name>`, not somebody whose id begins with the same letters.
        let inner = &out[start + 2..start + end];
        if inner.split('|').next() != Some(bot) {
            break;
        }
        mentioned = true;
        out.replace_range(start..=start + end, "");
    }
    (out.trim().to_owned(), mentioned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_become_words() {
        for (text, expected) in [
            ("deploy web", "deploy web"),
            ("ask <@U2|bea> in <#C1|ops>", "ask @U2 in #ops"),
            ("<#C1> <#C1|>", "#C1 #C1"),
            ("see <https://example.com/?a=1&amp;b=2|example.com>", "see https://example.com/?a=1&b=2"),
            ("<mailto:a@example.com|a@example.com>", "a@example.com"),
            ("<!here> 1 &lt; 2 &amp;&amp; 3 &gt; 2", "@here 1 < 2 && 3 > 2"),
            ("an open < end", "an open < end"),
            ("&amp;lt;", "&lt;"),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
    }

    #[test]
    fn a_mention_is_taken_off_wherever_it_stands() {
        assert_eq!(without_mention("<@U0> deploy web", "U0"), ("deploy web".to_owned(), true));
        assert_eq!(without_mention("deploy <@U0|bot> web", "U0"), ("deploy  web".to_owned(), true));
        assert_eq!(without_mention("<@U01> deploy", "U0"), ("<@U01> deploy".to_owned(), false));
        assert_eq!(without_mention("deploy", ""), ("deploy".to_owned(), false));
    }
}
