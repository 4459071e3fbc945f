//! How results are printed: tables for people, JSON and YAML for programs. Results go to stdout, everything else to stderr.

use std::io::{self, Write};

use anyhow::{Context, Result};
use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::args::Format;

/// Prints `value` for programs, or the table that `rows` makes of it for people.
pub fn print<T: Serialize>(format: Format, value: &T, rows: impl FnOnce(&T) -> Vec<Sheet>) -> Result<()> {
    let text = match format {
        Format::Json => serde_json::to_string_pretty(value)? + "\n",
        Format::Yaml => serde_saphyr::to_string(value).context("the result can't be written as YAML")?,
        Format::Table => rows(value).iter().map(Sheet::render).collect::<Vec<_>>().join("\n"),
    };
    write(&text)
}

/// Prints a line for people; nothing for programs.
pub fn say(format: Format, line: &str) -> Result<()> {
    if format == Format::Table { write(&format!("{line}\n")) } else { Ok(()) }
}

fn write(text: &str) -> Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever reads has seen enough (`| head`).
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("the result can't be written to stdout"),
    }
}

/// One table with what stands above and below it.
#[derive(Debug, Clone, Default)]
pub struct Sheet {
    /// A line above.
    pub heading: Option<String>,
    /// The columns' names.
    pub columns: Vec<&'static str>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
    /// What stands in place of an empty table, or below a full one.
    pub remark: Option<String>,
}

impl Sheet {
    /// A table of rows.
    pub fn new(columns: Vec<&'static str>, rows: Vec<Vec<String>>) -> Self {
        Self { columns, rows, ..Self::default() }
    }

    /// With a line above.
    #[must_use]
    pub fn heading(mut self, heading: impl Into<String>) -> Self {
        self.heading = Some(heading.into());
        self
    }

    /// With a line below, or in place of an empty table; none for an empty text.
    #[must_use]
    pub fn remark(mut self, remark: impl Into<String>) -> Self {
        self.remark = Some(remark.into()).filter(|remark| !remark.is_empty());
        self
    }

    fn render(&self) -> String {
        let mut text = String::new();
        if let Some(heading) = &self.heading {
            text.push_str(heading);
            text.push('\n');
        }
        if !self.rows.is_empty() {
            let mut table = Table::new();
            table.load_style(presets::NOTHING);
            // Some terminals don't say how wide they are.
            if table.width() != Some(0) {
                table.set_content_arrangement(ContentArrangement::Dynamic);
            }
            table.set_header(self.columns.iter().map(|column| column.to_uppercase()));
            for row in &self.rows {
                table.add_row(row);
            }
            for line in table.to_string().lines() {
                text.push_str(line.trim_end());
                text.push('\n');
            }
        }
        if let Some(remark) = &self.remark {
            text.push_str(remark);
            text.push('\n');
        }
        text
    }
}

/// A moment for people: to the second, in UTC.
pub fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// A position for people: `1:02:03`.
pub fn position(position_ms: u64) -> String {
    let seconds = position_ms / 1_000;
    format!("{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// An error of a server without the server's name at its beginning, for where the name stands already.
pub fn without_name<'a>(error: &'a str, server: &str) -> &'a str {
    let named = error.strip_prefix("server ").unwrap_or(error);
    named.strip_prefix(server).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(error)
}

/// A word, or a dash.
pub fn or_dash(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or("-").to_owned()
}
