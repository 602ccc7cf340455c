//! Reads Rust sources far enough to see which modules they name, which texts they hold and which words they use.
//!
//! Comments are dropped, so a link in a doc comment may point anywhere.

/// One piece of a source text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// An identifier or keyword.
    Word(String),
    /// The inside of a string literal, as written.
    Text(String),
    /// `::`
    Path,
    /// Any other character that is not white space.
    Sign(char),
}

/// A piece and the line it begins on.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) line: usize,
    pub(crate) piece: Piece,
}

impl Token {
    /// Whether this is the identifier or keyword `word`.
    pub(crate) fn is_word(&self, word: &str) -> bool {
        matches!(&self.piece, Piece::Word(own) if own == word)
    }

    fn is_sign(&self, sign: char) -> bool {
        self.piece == Piece::Sign(sign)
    }
}

/// The tokens of a source text.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut reader = Reader { rest: source, line: 1, tokens: Vec::new() };
    while let Some(next) = reader.rest.chars().next() {
        reader.read(next);
    }
    reader.tokens
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    tokens: Vec<Token>,
}

impl<'a> Reader<'a> {
    fn read(&mut self, next: char) {
        if self.rest.starts_with("//") {
            self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.skip(block_comment(self.rest));
        } else if let Some((opening, closing)) = raw_quotes(self.rest) {
            self.text(opening, &closing, |rest| rest.find(&closing));
        } else if next == '"' || matches!(self.rest.get(..2), Some("b\"" | "c\"")) {
            self.text(self.rest.find('"').map_or(1, |at| at + 1), "\"", closing_quote);
        } else if next == '\'' {
            self.skip(quote(self.rest));
        } else if next.is_alphanumeric() || next == '_' {
            self.word();
        } else if self.rest.starts_with("::") {
            self.push(Piece::Path, 2);
        } else if next.is_whitespace() {
            self.skip(next.len_utf8());
        } else {
            self.push(Piece::Sign(next), next.len_utf8());
        }
    }

    fn skip(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn push(&mut self, piece: Piece, length: usize) {
        self.tokens.push(Token { line: self.line, piece });
        self.skip(length);
    }

    fn word(&mut self) {
        let rest = self.rest.strip_prefix("r#").unwrap_or(self.rest);
        let marker = self.rest.len() - rest.len();
        let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let word = rest[..length].to_owned();
        self.push(Piece::Word(word), marker + length);
    }

    fn text(&mut self, opening: usize, closing: &str, end: impl Fn(&str) -> Option<usize>) {
        let line = self.line;
        self.skip(opening);
        let text = self.skip(end(self.rest).unwrap_or(self.rest.len())).to_owned();
        self.skip(closing.len().min(self.rest.len()));
        self.tokens.push(Token { line, piece: Piece::Text(text) });
    }
}

/// Where the closing quote of an ordinary string stands.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes.then_some(at)
    })
}

/// The length of what opens a raw string and the text that closes it.
fn raw_quotes(text: &str) -> Option<(usize, String)> {
    let after_letters =
        text.strip_prefix("br").or_else(|| text.strip_prefix("cr")).or_else(|| text.strip_prefix('r'))?;
    let after_hashes = after_letters.trim_start_matches('#');
    let hashes = after_letters.len() - after_hashes.len();
    after_hashes.starts_with('"').then(|| (text.len() - after_hashes.len() + 1, format!("\"{}", "#".repeat(hashes))))
}

/// The length of a block comment; they nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of a character literal, or of the quote that opens a lifetime.
fn quote(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => {
            // The character after the backslash is part of the escape, even when it is a quote.
            characters.next();
            characters.find(|(_, c)| *c == '\'').map_or(text.len(), |(at, _)| at + 1)
        }
        Some(_) => match characters.next() {
            Some((at, '\'')) => at + 1,
            _ => 1,
        },
        None => 1,
    }
}

/// A path into the crate that a source names, from the crate's root on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) line: usize,
    pub(crate) path: Vec<String>,
}

/// Every path that begins with `crate`, `super` or `self`, in `use` trees, in code and in attribute texts.
///
/// `module` is where the source stands, so that `super` can be followed.
pub(crate) fn crate_paths(tokens: &[Token], module: &[&str]) -> Vec<Named> {
    let mut walk = Walk { tokens, named: Vec::new() };
    // Where each open `mod … {` stands: the depth of its brace and its name.
    let mut inner: Vec<(usize, String)> = Vec::new();
    let mut depth = 0;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let current = || module.iter().map(|name| (*name).to_owned()).chain(inner.iter().map(|(_, name)| name.clone()));
        let followed_by_path = tokens.get(at + 1).is_some_and(|next| next.piece == Piece::Path);
        match &token.piece {
            Piece::Sign('{') => {
                depth += 1;
                if let Some([Token { piece: Piece::Word(word), .. }, Token { piece: Piece::Word(name), .. }]) =
                    at.checked_sub(2).and_then(|before| tokens.get(before..at))
                    && word == "mod"
                {
                    inner.push((depth, name.clone()));
                }
            }
            Piece::Sign('}') => {
                inner.pop_if(|(opened, _)| *opened == depth);
                depth = depth.saturating_sub(1);
            }
            Piece::Word(head) if followed_by_path && matches!(head.as_str(), "crate" | "super" | "self") => {
                at = walk.tree(at, current().collect());
                continue;
            }
            Piece::Text(text) if text.starts_with("crate::") => {
                let line = token.line;
                walk.named.extend(
                    crate_paths(&self::tokens(text), module).into_iter().map(|named| Named { line, path: named.path }),
                );
            }
            _ => {}
        }
        at += 1;
    }
    walk.named
}

struct Walk<'a> {
    tokens: &'a [Token],
    named: Vec<Named>,
}

impl Walk<'_> {
    /// Follows one `use` tree or path from `at`, below `prefix`; returns where it ends.
    fn tree(&mut self, mut at: usize, mut prefix: Vec<String>) -> usize {
        while let Some(token) = self.tokens.get(at) {
            match &token.piece {
                Piece::Sign('{') => return self.branches(at + 1, &prefix),
                Piece::Word(word) if word == "crate" => prefix.clear(),
                Piece::Word(word) if word == "super" => drop(prefix.pop()),
                Piece::Word(word) if word == "self" => {}
                Piece::Word(word) => prefix.push(word.clone()),
                Piece::Sign('*') => prefix.push("*".to_owned()),
                _ => {
                    self.named.push(Named { line: token.line, path: prefix });
                    return at;
                }
            }
            at += 1;
            match self.tokens.get(at) {
                Some(next) if next.piece == Piece::Path => at += 1,
                _ => {
                    self.named.push(Named { line: token.line, path: prefix });
                    return at;
                }
            }
        }
        at
    }

    /// Follows the branches of a `use` group whose brace stands before `at`.
    fn branches(&mut self, mut at: usize, prefix: &[String]) -> usize {
        while let Some(token) = self.tokens.get(at) {
            if token.is_sign('}') {
                return at + 1;
            }
            at = match token.piece {
                Piece::Word(_) | Piece::Sign('{' | '*') => self.tree(at, prefix.to_vec()),
                _ => at + 1,
            };
            // `as name` belongs to the branch before it.
            if self.tokens.get(at).is_some_and(|next| next.is_word("as")) {
                at += 2;
            }
        }
        at
    }
}
