//! Finds secrets in text that was written for people: by the names before them, and by the `@` after them. All bytes it looks for are ASCII, so
//! every cut lies between characters.

use std::borrow::Cow;
use std::ops::Range;

use super::{MASK, is_secret};

/// Values of these hold spaces.
const WHOLE_LINE: [&str; 2] = ["authorization", "cookie"];
/// The credentials after the word `Bearer` are longer than any word of prose that follows it.
const BEARER_LENGTH: usize = 16;

/// Masks the values of what is named like a secret.
pub(super) fn mask_values(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut masked = String::new();
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == ESCAPE {
            at = after_colour(bytes, at);
            continue;
        }
        let start = at;
        while at < bytes.len() && is_name(bytes[at]) {
            at += 1;
        }
        if at == start {
            at += 1;
            continue;
        }
        if let Some(secret) = secret_after(text, start, at) {
            masked.push_str(&text[copied..secret.start]);
            masked.push_str(MASK);
            copied = secret.end;
            at = secret.end;
        }
    }
    if copied == 0 { Cow::Borrowed(text) } else { Cow::Owned(masked + &text[copied..]) }
}

/// The value that belongs to the name at `start..end`, if the name is one of a secret and a value follows.
fn secret_after(text: &str, start: usize, end: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let name = text[start..end].to_ascii_lowercase();
    if name == "bearer" && bytes.get(end) == Some(&b' ') {
        let stop = value_end(bytes, end + 1, false);
        return (stop > end + BEARER_LENGTH).then_some(end + 1..stop);
    }
    if !is_secret(&name) {
        return None;
    }
    let (separator, quoted_name) = skip_decoration(bytes, end);
    let (value, colon) = match bytes.get(separator)? {
        b'=' => (separator + 1, false),
        b':' => (separator + 1, true),
        b'%' if text[separator..].get(..3).is_some_and(|code| code.eq_ignore_ascii_case("%3d")) => {
            (separator + 3, false)
        }
        _ => return None,
    };
    // `spec.token: expected a name` is prose; a header's name or a quoted one is none.
    let header = name.contains('-') || WHOLE_LINE.contains(&name.as_str());
    if colon && !quoted_name && !header && !text[value..].trim_start().starts_with('"') {
        return None;
    }
    let value = if colon { value + usize::from(bytes.get(value) == Some(&b' ')) } else { value };
    let (value, quoted_value) = skip_decoration(bytes, value);
    let stop = if quoted_value {
        closing_quote(bytes, value)
    } else {
        value_end(bytes, value, WHOLE_LINE.contains(&name.as_str()))
    };
    let bare_json = colon && quoted_name && !quoted_value;
    if stop == value || bare_json && matches!(&text[value..stop], "null" | "true" | "false") {
        return None;
    }
    (!matches!(bytes[value], b'{' | b'[')).then_some(value..stop)
}

const ESCAPE: u8 = 0x1b;

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// The place after a colour sequence (`ESC [ … m`) that begins at `at`.
fn after_colour(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while end < bytes.len() && (bytes[end] == b'[' || bytes[end] == b';' || bytes[end].is_ascii_digit()) {
        end += 1;
    }
    end + usize::from(bytes.get(end) == Some(&b'm'))
}

/// Passes colours, and backslashes with one quote; says whether there was a quote.
fn skip_decoration(bytes: &[u8], mut at: usize) -> (usize, bool) {
    loop {
        match bytes.get(at) {
            Some(&ESCAPE) => at = after_colour(bytes, at),
            Some(b'\\') => at += 1,
            Some(b'"' | b'\'') => return (at + 1, true),
            _ => return (at, false),
        }
    }
}

/// The end of a value whose opening quote is just before `value`: the next quote of its kind that is escaped no deeper than the opening one,
/// or the line's end, lest a quote that is never closed hides the next secret.
fn closing_quote(bytes: &[u8], value: usize) -> usize {
    let backslashes = |quote: usize| bytes[..quote].iter().rev().take_while(|byte| **byte == b'\\').count();
    let open = value - 1;
    let depth = backslashes(open);
    (value..bytes.len())
        .find(|at| bytes[*at] == b'\n' || bytes[*at] == bytes[open] && backslashes(*at) <= depth)
        .map_or(bytes.len(), |close| close - backslashes(close).min(close - value))
}

fn value_end(bytes: &[u8], value: usize, with_spaces: bool) -> usize {
    let ends = |byte: u8| match byte {
        b'\n' | b'\r' | b'"' | b'\\' | ESCAPE => true,
        b' ' | b'\t' | b'&' | b'\'' | b',' | b';' | b')' | b']' | b'}' | b'<' | b'>' | b'#' => !with_spaces,
        _ => false,
    };
    (value..bytes.len()).find(|at| ends(bytes[*at])).unwrap_or(bytes.len())
}

/// Masks what stands before an `@`: credentials of a URL whole, of an e-mail address the local part. None: there is nothing to mask.
pub(super) fn mask_addresses(text: &str) -> Option<String> {
    let mut masked = String::new();
    let mut copied = 0;
    while let Some(first) = text[copied..].find('@').map(|found| copied + found) {
        let scheme = text[copied..first].rfind("://").map(|found| copied + found + 3);
        let (start, at) = match scheme.and_then(|start| Some((start, credentials_end(text, start)?))) {
            Some(credentials) => credentials,
            None if is_host(&text[first + 1..]) => (local_part(&text[copied..first]) + copied, first),
            None => (first, first),
        };
        masked.push_str(&text[copied..start]);
        if start < at {
            masked.push_str(MASK);
        }
        masked.push('@');
        copied = at + 1;
    }
    masked.push_str(&text[copied..]);
    (masked != text).then_some(masked)
}

/// The `@` that ends the credentials of a URL whose authority begins at `start`: the last one, since a password may hold some unescaped. It may
/// also hold a slash by mistake: then what looks like a port isn't one.
fn credentials_end(text: &str, start: usize) -> Option<usize> {
    let word = &text[start..];
    let word = &word[..word.find(|c: char| c.is_whitespace() || "\"'<>,\\".contains(c)).unwrap_or(word.len())];
    let authority = &word[..word.find(['/', '?', '#']).unwrap_or(word.len())];
    let port = authority.rsplit_once(':').is_none_or(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let searched = if authority.contains('@') || port { authority } else { word };
    searched.rfind('@').map(|at| start + at)
}

/// Where the local part of a mail address begins that ends with this text.
fn local_part(text: &str) -> usize {
    let local = |c: &char| c.is_alphanumeric() || "._%+-".contains(*c);
    text.len() - text.chars().rev().take_while(local).map(char::len_utf8).sum::<usize>()
}

/// The text begins with a name that has a dot inside, as a mail domain.
fn is_host(text: &str) -> bool {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-').unwrap_or(text.len());
    text[..end].trim_end_matches('.').trim_start_matches('.').contains('.')
}
