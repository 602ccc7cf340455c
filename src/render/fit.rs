//! Making text fit: how long it is, where it is split, how it is cut.

use super::markup::{Block, Span};

/// How long a text is for a chat's limits. Slack and Discord do not say what they count; UTF-16 is never less than
/// characters.
pub(super) fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// At most `max` of a text, with an ellipsis where it was cut.
pub(super) fn cut(text: &str, max: usize) -> String {
    if length(text) <= max {
        return text.to_owned();
    }
    let mut left = max.saturating_sub(1);
    let fits = text.chars().take_while(|c| {
        let fits = c.len_utf16() <= left;
        left = left.saturating_sub(c.len_utf16());
        fits
    });
    let mut out: String = fits.collect();
    out.truncate(out.trim_end().len());
    out.push('…');
    out
}

/// One line of a text, for labels and headers.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Splits blocks until each is measured at most `max`.
pub(super) fn split(blocks: Vec<Block>, max: usize, measure: &dyn Fn(&Block) -> usize) -> Vec<Block> {
    let mut out = Vec::new();
    let mut waiting: Vec<Block> = blocks.into_iter().rev().collect();
    while let Some(block) = waiting.pop() {
        if measure(&block) <= max {
            out.push(block);
            continue;
        }
        match halves(block) {
            Ok((first, second)) => {
                waiting.push(second);
                waiting.push(first);
            }
            // Nothing is left to split: a single character or an empty shape.
            Err(block) => out.push(block),
        }
    }
    out
}

/// A block as two, about equally long; itself when it cannot be split.
fn halves(block: Block) -> Result<(Block, Block), Block> {
    match block {
        Block::Paragraph(spans) => match split_spans(spans) {
            Ok((first, second)) => Ok((Block::Paragraph(first), Block::Paragraph(second))),
            Err(spans) => Err(Block::Paragraph(spans)),
        },
        Block::Heading(spans) => match split_spans(spans) {
            Ok((first, second)) => Ok((Block::Heading(first), Block::Heading(second))),
            Err(spans) => Err(Block::Heading(spans)),
        },
        Block::Quote(mut blocks) => match split_blocks(&mut blocks) {
            Some(second) => Ok((Block::Quote(blocks), Block::Quote(second))),
            None => Err(Block::Quote(blocks)),
        },
        Block::List { start, mut items } => match items.len() {
            0 => Err(Block::List { start, items }),
            1 => match split_blocks(&mut items[0]) {
                // What follows of one item goes on without a second mark.
                Some(second) => Ok((Block::List { start, items }, Block::Quote(second))),
                None => Err(Block::List { start, items }),
            },
            count => {
                let second = items.split_off(count / 2);
                let next = start.map(|start| start + items.len() as u64);
                Ok((Block::List { start, items }, Block::List { start: next, items: second }))
            }
        },
        Block::Code { lang, text } => match split_text(&text) {
            Some((first, second)) => Ok((
                Block::Code { lang: lang.clone(), text: first.trim_end_matches('\n').to_owned() },
                Block::Code { lang, text: second.trim_start_matches('\n').to_owned() },
            )),
            None => Err(Block::Code { lang, text }),
        },
        Block::Table { head, mut rows } if rows.len() > 1 => {
            let second = rows.split_off(rows.len() / 2);
            Ok((Block::Table { head: head.clone(), rows }, Block::Table { head, rows: second }))
        }
        // One row of a table that is too long is read cell by cell.
        Block::Table { head, rows } => {
            let mut cells: Vec<Block> =
                head.into_iter().chain(rows.into_iter().flatten()).map(Block::Paragraph).collect();
            match split_blocks(&mut cells) {
                Some(second) => Ok((Block::Quote(cells), Block::Quote(second))),
                None => Err(Block::Quote(cells)),
            }
        }
        Block::Rule => Err(Block::Rule),
    }
}

/// Leaves the first half in `blocks` and returns the second.
fn split_blocks(blocks: &mut Vec<Block>) -> Option<Vec<Block>> {
    match blocks.len() {
        0 => None,
        1 => {
            let block = blocks.pop()?;
            match halves(block) {
                Ok((first, second)) => {
                    blocks.push(first);
                    Some(vec![second])
                }
                Err(block) => {
                    blocks.push(block);
                    None
                }
            }
        }
        count => Some(blocks.split_off(count / 2)),
    }
}

fn split_spans(mut spans: Vec<Span>) -> Result<(Vec<Span>, Vec<Span>), Vec<Span>> {
    let total: usize = spans.iter().map(|span| span.text.len()).sum();
    let mut passed = 0;
    let Some(at) = spans.iter().position(|span| {
        passed += span.text.len();
        passed * 2 >= total
    }) else {
        return Err(spans);
    };
    // Between two spans when one of them is not the greater part, else within it.
    let within = split_text(&spans[at].text).filter(|_| spans[at].text.len() * 2 > total);
    let within = within.map(|(first, second)| (first.trim_end().to_owned(), second.trim_start().to_owned()));
    if let Some((first, second)) = within {
        let mut after = spans.split_off(at);
        spans.push(Span { text: first, ..after[0].clone() });
        after[0].text = second;
        return Ok((spans, after));
    }
    let at = if at == 0 { 1 } else { at };
    if at >= spans.len() {
        return Err(spans);
    }
    let mut second = spans.split_off(at);
    if let Some(last) = spans.last_mut() {
        last.text.truncate(last.text.trim_end().len());
    }
    second[0].text = second[0].text.trim_start().to_owned();
    Ok((spans, second))
}

/// Splits near the middle: at the end of a line, else at a space, else anywhere between two characters.
fn split_text(text: &str) -> Option<(&str, &str)> {
    let middle = text.len() / 2;
    let (low, high) = (text.floor_char_boundary(text.len() / 4), text.ceil_char_boundary(text.len() * 3 / 4));
    let nearest = |wanted: fn(char) -> bool| {
        let found = text[low..high].char_indices().filter(|&(_, c)| wanted(c)).map(|(at, c)| low + at + c.len_utf8());
        found.filter(|&at| at < text.len()).min_by_key(|at| at.abs_diff(middle))
    };
    let anywhere = || text.char_indices().map(|(at, _)| at).filter(|&at| at > 0).min_by_key(|at| at.abs_diff(middle));
    let at = nearest(|c| c == '\n').or_else(|| nearest(|c| c == ' ')).or_else(anywhere)?;
    Some(text.split_at(at))
}
