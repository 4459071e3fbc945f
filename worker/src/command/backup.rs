//! `backup`: one JSON Lines file a person, as one moment saw it, streamed in pages and written whole or not at all.
//!
//! The format is in [`format`] and in `docs/backup-format.md`.

pub mod bucket;
pub mod format;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use watchstate_domain::matching::TitleId;
use watchstate_runtime::Exit;
use watchstate_store::report::{self, history};
use watchstate_store::{Connection, transaction, watches};

use self::bucket::Place;
use self::format::{Header, Line};
use crate::Misconfigured;
use crate::app::App;
use crate::args::BackupArgs;
use crate::command::state;
use crate::output::{self, Sheet};
use crate::secrets::person_folder;

/// Titles that are read at a time.
const PAGE: i64 = 500;
/// What a file is called until it is whole.
const PARTIAL: (&str, &str) = (".watchstate-", ".partial");
/// A partial file this old belongs to a process that was killed.
const ABANDONED: Duration = Duration::from_hours(24);

/// A file that was written.
#[derive(Debug, Serialize)]
struct Written {
    person: String,
    file: PathBuf,
    titles: u64,
    plays: u64,
    /// Older files that were removed.
    removed: Vec<PathBuf>,
}

/// Writes the files, or one person's history to stdout.
pub async fn run(app: &App, args: &BackupArgs) -> Result<Exit> {
    let stdout = args.to == Path::new("-");
    if stdout && args.person.is_none() {
        return Err(Misconfigured("standard output takes one person's history: name one with --person".into()).into());
    }
    let mut connection = app.store.acquire().await?;
    let chosen = state::person(args.person.as_deref(), &mut connection).await?;
    let mut transaction = transaction::begin(&mut connection).await?;
    history::freeze(&mut transaction).await?;
    let persons: Vec<(i64, String)> = report::persons(&mut transaction)
        .await?
        .into_iter()
        .filter(|(id, _)| chosen.is_none_or(|chosen| chosen == *id))
        .collect();
    let now = format::stored(app.clock.now());
    if stdout {
        let mut out = BufWriter::new(io::stdout());
        for person in &persons {
            stream(app, person, now, &mut out, &mut transaction).await?;
        }
        out.flush().context("the backup can't be written to stdout")?;
        return Ok(Exit::Done);
    }
    let bucket = bucket::address(&args.to)?.map(|to| Place::new(to, &args.bucket)).transpose()?;
    // What goes to a bucket is made whole here first.
    let scratch = bucket.as_ref().map(|_| tempfile::tempdir()).transpose().context("there is no room for a backup")?;
    let folder = scratch.as_ref().map_or(args.to.as_path(), tempfile::TempDir::path);
    std::fs::create_dir_all(folder).with_context(|| format!("the folder {} can't be made", folder.display()))?;
    tidy(folder, now).with_context(|| format!("the folder {} can't be read", folder.display()))?;
    let mut written = Vec::with_capacity(persons.len());
    for person in &persons {
        let mut one = to_file(app, person, now, folder, &mut transaction).await?;
        if let Some(bucket) = &bucket {
            one = to_bucket(app, one, bucket, args.keep).await?;
        } else if let Some(keep) = args.keep {
            one.removed = rotate(folder, &person.1, keep)?;
        }
        written.push(one);
    }
    output::print(app.format, &written, |written| vec![sheet(written)])?;
    Ok(Exit::Done)
}

fn sheet(written: &[Written]) -> Sheet {
    let rows = written
        .iter()
        .map(|one| {
            vec![
                one.person.clone(),
                one.file.display().to_string(),
                one.titles.to_string(),
                one.plays.to_string(),
                one.removed.len().to_string(),
            ]
        })
        .collect();
    let nobody = if written.is_empty() { "Nobody is known yet: there is nothing to back up." } else { "" };
    Sheet::new(vec!["person", "file", "titles", "plays", "older files removed"], rows).remark(nobody)
}

async fn to_file(
    app: &App,
    person: &(i64, String),
    now: Timestamp,
    folder: &Path,
    connection: &mut Connection,
) -> Result<Written> {
    let file = folder.join(file_name(&person.1, now));
    let failed = || format!("the backup {} can't be written", file.display());
    let mut partial =
        tempfile::Builder::new().prefix(PARTIAL.0).suffix(PARTIAL.1).tempfile_in(folder).with_context(failed)?;
    let mut out = BufWriter::new(partial.as_file_mut());
    let (titles, plays) = stream(app, person, now, &mut out, connection).await?;
    out.flush().with_context(failed)?;
    drop(out);
    partial.as_file().sync_all().with_context(failed)?;
    partial.persist(&file).with_context(failed)?;
    // The new name must survive a crash too.
    File::open(folder).and_then(|folder| folder.sync_all()).with_context(failed)?;
    Ok(Written { person: person.1.clone(), file, titles, plays, removed: Vec::new() })
}

/// Sends a file to the bucket, then removes the person's older ones there. The file here goes as well: the next person's needs the room.
async fn to_bucket(app: &App, written: Written, bucket: &Place, keep: Option<u32>) -> Result<Written> {
    let name = written.file.file_name().and_then(|name| name.to_str()).context("a backup without a name")?;
    bucket.put(&written.file, name, app.clock.now()).await?;
    let mut removed = Vec::new();
    if let Some(keep) = keep {
        for older in outdated(bucket.names(app.clock.now()).await?, &written.person, keep) {
            bucket.remove(&older, app.clock.now()).await?;
            removed.push(PathBuf::from(format!("{bucket}{older}")));
        }
    }
    std::fs::remove_file(&written.file).with_context(|| format!("{} can't be removed", written.file.display()))?;
    let file = PathBuf::from(format!("{bucket}{name}"));
    Ok(Written { file, removed, ..written })
}

/// Writes a person's header and titles. Returns how many titles and plays. Holds one page at a time.
async fn stream(
    app: &App,
    (person_id, person): &(i64, String),
    now: Timestamp,
    out: &mut (impl Write + Send),
    connection: &mut Connection,
) -> Result<(u64, u64)> {
    line(out, &Header::new(person, now))?;
    let (mut titles, mut plays, mut after) = (0, 0, 0);
    loop {
        if app.stop.is_cancelled() {
            bail!("told to end before the backup of {person} was whole; nothing was kept of it");
        }
        let page = history::page(connection, *person_id, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok((titles, plays)) };
        after = last.title_id;
        let keys: Vec<TitleId> = page.iter().map(|entry| TitleId(entry.title_id)).collect();
        let mut histories = watches::histories(connection, *person_id, &keys).await?;
        for entry in page {
            let (history, _) = histories.remove(&TitleId(entry.title_id)).unwrap_or_default();
            titles += 1;
            plays += history.viewings().len() as u64;
            line(out, &Line::of(entry, &history))?;
        }
    }
}

fn line(out: &mut impl Write, value: &impl Serialize) -> Result<()> {
    let written = serde_json::to_writer(&mut *out, value).map_err(io::Error::from).and_then(|()| out.write_all(b"\n"));
    written.context("the backup can't be written")
}

/// `anna.20260131T040000Z.jsonl`: names sort by time.
fn file_name(person: &str, at: Timestamp) -> String {
    format!("{}.{}.jsonl", person_folder(person), at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ"))
}

/// Removes a person's older files, so that `keep` stay. Returns those that went.
fn rotate(folder: &Path, person: &str, keep: u32) -> Result<Vec<PathBuf>> {
    let failed = || format!("older backups in {} can't be removed", folder.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(failed)? {
        names.extend(entry.with_context(failed)?.file_name().into_string().ok());
    }
    let mut removed = Vec::new();
    for name in outdated(names, person, keep) {
        let file = folder.join(name);
        std::fs::remove_file(&file).with_context(failed)?;
        removed.push(file);
    }
    Ok(removed)
}

/// The person's files beyond the newest `keep`.
fn outdated(names: Vec<String>, person: &str, keep: u32) -> Vec<String> {
    let prefix = format!("{}.", person_folder(person));
    let is_time =
        |time: &str| time.len() == 16 && time.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'T' | b'Z'));
    let mut mine: Vec<String> = names
        .into_iter()
        .filter(|name| name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".jsonl")).is_some_and(is_time))
        .collect();
    mine.sort_unstable_by(|a, b| b.cmp(a));
    mine.split_off(mine.len().min(keep as usize))
}

/// Removes what killed processes left behind.
fn tidy(folder: &Path, now: Timestamp) -> io::Result<()> {
    let now = SystemTime::from(now);
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let partial = name.to_str().is_some_and(|name| name.starts_with(PARTIAL.0) && name.ends_with(PARTIAL.1));
        if partial && now.duration_since(entry.metadata()?.modified()?).is_ok_and(|age| age > ABANDONED) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_after_person_and_moment_and_no_name_leads_out_of_the_folder() {
        let at: Timestamp = "2026-01-31T04:00:00.5Z".parse().unwrap();
        let cases = [
            ("anna", "anna.20260131T040000Z.jsonl"),
            ("Zoë-2_x", "Zo%C3%AB-2_x.20260131T040000Z.jsonl"),
            ("../a b", "%2E.%2Fa%20b.20260131T040000Z.jsonl"),
        ];
        for (person, name) in cases {
            assert_eq!(file_name(person, at), name);
        }
    }

    #[test]
    fn only_the_persons_own_older_files_are_outdated() {
        let names = || {
            [
                "anna.20260131T040000Z.jsonl",
                "anna.20260129T040000Z.jsonl",
                "anna.20260130T040000Z.jsonl",
                "anna.notes.jsonl",
                "anna.20200101T000000Z.20200101T000000Z.jsonl",
                "annabel.20200101T000000Z.jsonl",
                "anna.20200101T000000Z.jsonl.gz",
            ]
            .map(str::to_owned)
            .to_vec()
        };
        assert_eq!(outdated(names(), "anna", 1), ["anna.20260130T040000Z.jsonl", "anna.20260129T040000Z.jsonl"]);
        assert_eq!(outdated(names(), "anna", 2), ["anna.20260129T040000Z.jsonl"]);
        assert!(outdated(names(), "anna", 3).is_empty());
        assert!(outdated(names(), "ben", 1).is_empty());
    }

    #[test]
    fn what_a_killed_process_left_behind_goes_after_a_day_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".watchstate-abc.partial", ".watchstate-abc", "anna.20200101T000000Z.jsonl"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        let modified = folder.path().join(".watchstate-abc.partial").metadata().unwrap().modified().unwrap();
        let later = |hours: u64| Timestamp::try_from(modified + Duration::from_secs(hours * 3_600)).unwrap();
        let count = || std::fs::read_dir(folder.path()).unwrap().count();
        tidy(folder.path(), later(23)).unwrap();
        assert_eq!(count(), 3);
        tidy(folder.path(), later(25)).unwrap();
        assert_eq!(count(), 2);
        assert!(!folder.path().join(".watchstate-abc.partial").exists());
    }
}
