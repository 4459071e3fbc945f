//! The lines of a backup file: each is checked, and one that is wrong is named by its number.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;

use crate::Misconfigured;
use crate::command::backup::format::{Header, Line, LineError};

/// A line may be so long, in bytes. Thousands of viewings fit.
const LONGEST: u64 = 4 * 1024 * 1024;

/// The lines behind a header.
pub struct Lines {
    /// The header.
    pub header: Header,
    reader: Box<dyn BufRead + Send>,
    file: String,
    now: Timestamp,
    number: u64,
}

/// Reads a file to its end and stores nothing: an error names the line.
pub fn check(file: &Path, now: Timestamp) -> Result<()> {
    let mut lines = Lines::open(file, now)?;
    while !lines.batch(1_000)?.is_empty() {}
    Ok(())
}

impl Lines {
    /// Opens a file, or standard input for `-`, and reads the header.
    pub fn open(file: &Path, now: Timestamp) -> Result<Self> {
        let reader: Box<dyn BufRead + Send> = if file == Path::new("-") {
            Box::new(BufReader::new(io::stdin()))
        } else {
            let opened = File::open(file)
                .map_err(|error| Misconfigured(format!("the backup {} can't be opened: {error}", file.display())))?;
            Box::new(BufReader::new(opened))
        };
        Self::new(reader, file.display().to_string(), now)
    }

    fn new(reader: Box<dyn BufRead + Send>, file: String, now: Timestamp) -> Result<Self> {
        let mut lines = Self { header: Header::new("", now), reader, file, now, number: 0 };
        let first = lines.next_line()?.unwrap_or_default();
        lines.header = Header::read(&first).map_err(|error| lines.bad(&error))?;
        Ok(lines)
    }

    /// Up to `limit` titles with their line numbers; empty at the end. Blank lines are passed over.
    pub fn batch(&mut self, limit: usize) -> Result<Vec<(u64, Line)>> {
        let mut batch = Vec::new();
        while batch.len() < limit {
            let Some(text) = self.next_line()? else { break };
            if text.trim().is_empty() {
                continue;
            }
            let line = Line::read(&text, self.now).map_err(|error| self.bad(&error))?;
            batch.push((self.number, line));
        }
        Ok(batch)
    }

    fn next_line(&mut self) -> Result<Option<String>> {
        let mut bytes = Vec::new();
        let read = (&mut self.reader).take(LONGEST + 1).read_until(b'\n', &mut bytes);
        let read = read.with_context(|| format!("the backup {} can't be read", self.file))?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let too_long = bytes.len() as u64 > LONGEST;
        match String::from_utf8(bytes) {
            Ok(text) if !too_long => Ok(Some(text)),
            _ => Err(Misconfigured(format!(
                "{}, line {}: expected text of at most 4 MiB; nothing was stored of it",
                self.file, self.number
            ))
            .into()),
        }
    }

    fn bad(&self, error: &LineError) -> Misconfigured {
        Misconfigured(format!("{}, line {}: {error}", self.file, self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        r#"{"format":"watchstate-backup","version":1,"person":"anna","createdAt":"2026-06-01T00:00:00Z"}"#;
    const HEAT: &str = r#"{"kind":"movie","title":"Heat","ids":{"imdb":"tt0113277"},"played":true}"#;

    fn lines(text: &str) -> Result<Lines> {
        let reader = io::Cursor::new(text.to_owned().into_bytes());
        Lines::new(Box::new(reader), "anna.jsonl".into(), "2026-06-01T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn lines_come_in_batches_with_their_numbers() {
        let mut lines = lines(&format!("{HEADER}\n{HEAT}\n\n{HEAT}\n{HEAT}")).unwrap();
        let numbers = |batch: Vec<(u64, Line)>| batch.into_iter().map(|(number, _)| number).collect::<Vec<_>>();
        assert_eq!(lines.header.person, "anna");
        assert_eq!(numbers(lines.batch(2).unwrap()), [2, 4]);
        assert_eq!(numbers(lines.batch(2).unwrap()), [5]);
        assert!(lines.batch(2).unwrap().is_empty());
    }

    #[test]
    fn a_line_that_is_wrong_is_named_by_file_and_number() {
        let cases = [
            (String::new(), "anna.jsonl, line 0: it is no header"),
            (HEAT.to_owned(), "anna.jsonl, line 1: it is no header"),
            (
                format!("{HEADER}\n{HEAT}\n{{\"kind\":\"movie\",\"ids\":{{\"imdb\":\"x\"}}}}\n"),
                "anna.jsonl, line 3: ids",
            ),
            (format!("{HEADER}\n{HEAT}\n{}", &HEAT[..20]), "anna.jsonl, line 3: it can't be read"),
        ];
        for (text, words) in cases {
            let error = lines(&text).and_then(|mut lines| lines.batch(10)).map(drop).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.is::<Misconfigured>());
        }
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory() {
        let endless = format!("{HEADER}\n{}", "x".repeat(usize::try_from(LONGEST).unwrap() + 10));
        let error = lines(&endless).unwrap().batch(1).map(drop).unwrap_err();
        assert!(error.to_string().contains("line 2: expected text of at most 4 MiB"), "{error}");
    }
}
