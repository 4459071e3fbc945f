//! The spool: events on local disk, while the database is away. One file a batch, written whole and synced before anybody is told that it is safe; read
//! back in the order in which they came.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use watchstate_store::inbox::Received;

const READY: &str = "jsonl";
/// What could not be stored by itself, for a person to look at.
const REFUSED: &str = "refused";

/// Files of events, oldest first.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    limit: u64,
    files: std::collections::VecDeque<Batch>,
    bytes: u64,
    next: u64,
    /// Held for as long as this lives: two receivers would write over each other's files.
    _lock: File,
}

/// One file.
#[derive(Debug, Clone)]
struct Batch {
    path: PathBuf,
    bytes: u64,
    events: u64,
}

/// Why the spool doesn't take events.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// It holds as much as it may.
    #[error("the spool is full ({limit} bytes); it empties when the database is back")]
    Full {
        /// Its limit.
        limit: u64,
    },
    /// It is in use.
    #[error("another receiver uses the spool at {}; give each a folder of its own (--spool)", folder.display())]
    Taken {
        /// The folder.
        folder: PathBuf,
    },
    /// The disk doesn't do it.
    #[error("the spool at {} can't be used", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> SpoolError + '_ {
    |source| SpoolError::Disk { path: path.to_owned(), source }
}

impl Spool {
    /// Opens the folder, and finds what an earlier process left in it. What that one hadn't finished was never promised to anybody, and goes.
    pub fn open(folder: &Path, limit: u64) -> Result<Self, SpoolError> {
        fs::create_dir_all(folder).map_err(disk(folder))?;
        let lock = File::create(folder.join("lock")).map_err(disk(folder))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => SpoolError::Taken { folder: folder.to_owned() },
            TryLockError::Error(source) => disk(folder)(source),
        })?;
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(disk(folder))? {
            let path = entry.map_err(disk(folder))?.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
            match (number, path.extension().and_then(|extension| extension.to_str())) {
                (Some(number), Some(READY)) => found.push((number, path)),
                (_, Some("tmp")) => fs::remove_file(&path).map_err(disk(&path))?,
                _ => {}
            }
        }
        found.sort_unstable();
        let next = found.last().map_or(0, |(number, _)| number + 1);
        let mut files = std::collections::VecDeque::new();
        for (_, path) in found {
            let text = fs::read_to_string(&path).map_err(disk(&path))?;
            let events = text.lines().count() as u64;
            files.push_back(Batch { path, bytes: text.len() as u64, events });
        }
        let bytes = files.iter().map(|file| file.bytes).sum();
        Ok(Self { folder: folder.to_owned(), limit, files, bytes, next, _lock: lock })
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// How many events wait.
    pub fn events(&self) -> u64 {
        self.files.iter().map(|file| file.events).sum()
    }

    /// Keeps events. Once this returns they outlive a crash.
    pub fn put(&mut self, events: &[Received]) -> Result<(), SpoolError> {
        let text = lines(events).map_err(disk(&self.folder))?;
        let bytes = text.len() as u64;
        if self.bytes + bytes > self.limit {
            return Err(SpoolError::Full { limit: self.limit });
        }
        // Numbers of one width sort as they count.
        let path = self.folder.join(format!("{:020}.{READY}", self.next));
        // Also when it fails: what it left must not be in the way of the next.
        self.next += 1;
        self.write(&path, &text).map_err(disk(&path))?;
        self.bytes += bytes;
        self.files.push_back(Batch { path, bytes, events: events.len() as u64 });
        Ok(())
    }

    /// The oldest batch; None: nothing waits. It stays until [`Self::done`]. A line that can't be read is put aside, for a person.
    pub fn first(&self) -> Result<Option<Vec<Received>>, SpoolError> {
        let Some(batch) = self.files.front() else { return Ok(None) };
        let text = fs::read_to_string(&batch.path).map_err(disk(&batch.path))?;
        let mut events = Vec::new();
        for line in text.lines() {
            match serde_json::from_str(line) {
                Ok(event) => events.push(event),
                Err(error) => {
                    tracing::error!(file = %batch.path.display(), "a spooled event can't be read, and is put aside: {error}");
                    self.refuse_line(line)?;
                }
            }
        }
        Ok(Some(events))
    }

    /// Forgets the oldest batch: it is in the database.
    pub fn done(&mut self) -> Result<(), SpoolError> {
        if let Some(batch) = self.files.pop_front() {
            self.bytes -= batch.bytes;
            fs::remove_file(&batch.path).map_err(disk(&batch.path))?;
        }
        Ok(())
    }

    /// Puts an event aside that the database refuses by itself, so that it stops nobody else.
    pub fn refuse(&self, event: &Received) -> Result<(), SpoolError> {
        let line = lines(std::slice::from_ref(event)).map_err(disk(&self.folder))?;
        self.refuse_line(String::from_utf8_lossy(&line).trim_end())
    }

    fn refuse_line(&self, line: &str) -> Result<(), SpoolError> {
        let path = self.folder.join(REFUSED);
        let append = || {
            let mut file = File::options().create(true).append(true).open(&path)?;
            file.write_all(format!("{line}\n").as_bytes())?;
            file.sync_all()
        };
        append().map_err(disk(&path))
    }

    fn write(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        let mut file = tempfile::Builder::new().suffix(".tmp").tempfile_in(&self.folder)?;
        file.write_all(text)?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path)?;
        // The name is safe only when the folder is. Else the event is refused, and mustn't come back.
        let safe = File::open(&self.folder).and_then(|folder| folder.sync_all());
        if safe.is_err() {
            fs::remove_file(path).ok();
        }
        safe
    }
}

fn lines(events: &[Received]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for event in events {
        serde_json::to_writer(&mut text, event)?;
        text.push(b'\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use watchstate_domain::notice::{Notice, What};
    use watchstate_store::inbox::Verdict;

    use super::*;

    fn event(number: u8) -> Received {
        Received {
            digest: vec![number],
            earlier: None,
            server_id: Some(1),
            account_id: None,
            received_at: Timestamp::UNIX_EPOCH,
            notice: Notice {
                event: "media.stop".into(),
                server_id: None,
                account: None,
                sent_at: None,
                item: None,
                library_id: None,
                what: What::Position { position_ms: 5 },
            },
            verdict: Verdict::Waiting,
            reason: None,
        }
    }

    fn drain(spool: &mut Spool) -> Vec<u8> {
        let mut seen = Vec::new();
        while let Some(events) = spool.first().unwrap() {
            seen.extend(events.iter().map(|event| event.digest[0]));
            spool.done().unwrap();
        }
        seen
    }

    #[test]
    fn events_come_back_whole_and_in_order_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 1_000_000).unwrap();
        assert!(spool.is_empty());
        for number in 0..12 {
            spool.put(&[event(number), event(100 + number)]).unwrap();
        }
        assert_eq!(spool.events(), 24);
        assert_eq!(spool.first().unwrap(), Some(vec![event(0), event(100)]));
        drop(spool);
        let mut spool = Spool::open(folder.path(), 1_000_000).unwrap();
        assert_eq!(spool.events(), 24);
        spool.put(&[event(50)]).unwrap();
        let expected: Vec<u8> = (0..12).flat_map(|number| [number, 100 + number]).chain([50]).collect();
        assert_eq!(drain(&mut spool), expected);
        drop(spool);
        assert!(Spool::open(folder.path(), 1_000_000).unwrap().is_empty());
    }

    #[test]
    fn a_full_spool_says_so_and_has_room_again_when_it_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 400).unwrap();
        let mut kept = 0;
        while spool.put(&[event(kept)]).is_ok() {
            kept += 1;
        }
        assert!((1..5).contains(&kept), "{kept}");
        assert!(spool.put(&[event(kept)]).unwrap_err().to_string().contains("full"));
        spool.done().unwrap();
        spool.put(&[event(kept)]).unwrap();
        assert_eq!(drain(&mut spool), (1..=kept).collect::<Vec<_>>());
    }

    #[test]
    fn two_receivers_never_share_a_spool() {
        let folder = tempfile::tempdir().unwrap();
        let one = Spool::open(folder.path(), 400).unwrap();
        let taken = Spool::open(folder.path(), 400).unwrap_err().to_string();
        assert!(taken.contains("--spool"), "{taken}");
        drop(one);
        Spool::open(folder.path(), 400).unwrap();
    }

    #[test]
    fn what_was_not_finished_is_forgotten_and_what_can_not_be_read_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 1_000_000).unwrap();
        spool.put(&[event(1)]).unwrap();
        drop(spool);
        fs::write(folder.path().join("half.tmp"), "{").unwrap();
        let whole = fs::read_to_string(folder.path().join(format!("{:020}.jsonl", 0))).unwrap();
        fs::write(folder.path().join(format!("{:020}.jsonl", 1)), format!("odd\n{whole}")).unwrap();
        let mut spool = Spool::open(folder.path(), 1_000_000).unwrap();
        assert!(!folder.path().join("half.tmp").exists());
        assert_eq!(drain(&mut spool), [1, 1]);
        assert_eq!(fs::read_to_string(folder.path().join(REFUSED)).unwrap(), "odd\n");
    }
}
