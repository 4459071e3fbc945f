//! Reading one server: accounts, libraries, pages; each page is merged and stored before the next is taken.
//!
//! [`absorb`] merges a page (titles are found by [`watchstate_merge::place`]), [`unplays`] holds back what would take marks away, [`library`] decides how much
//! is read. Everything of one server goes through one connection, which also holds the server's lock.

pub mod absorb;
pub mod library;
pub mod unplays;

use serde::Serialize;
use watchstate_projection::policy;
use watchstate_runtime::Exit;
use watchstate_servers::{AccountView, Library};
use watchstate_store::registry::{self, Account, Server};
use watchstate_store::{Connection, observations, plans};

use crate::app::App;
use crate::contact::{Contact, Trouble, unless_stopped};
use crate::import::absorb::Reader;

/// How a server is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Every item, not only what changed.
    pub full: bool,
    /// Let un-plays through that the brake would hold.
    pub force: bool,
    /// Items only: states are left for the next import.
    pub metadata_only: bool,
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Items that the server sent.
    pub read: u64,
    /// Items whose state differed from what was known.
    pub changed: u64,
    /// Items that weren't known.
    pub new: u64,
    /// Items that nothing could be matched by.
    pub unmatched: u64,
    /// Items whose ids contradict a title's.
    pub conflicts: u64,
    /// Ids that were dropped as junk.
    pub junk_ids: u64,
    /// Titles that became one.
    pub joined: u64,
    /// Plays.
    pub played: u64,
    /// Plays of titles that were played before.
    pub played_again: u64,
    /// Un-plays that were applied.
    pub unplayed: u64,
    /// Positions that moved.
    pub positions: u64,
    /// Own writes that came back.
    pub echoes: u64,
    /// Un-plays that the brake holds.
    pub held: u64,
    /// Items that are no longer there.
    pub gone: u64,
    /// Libraries that were read in full.
    pub full_reads: u64,
    /// Libraries that were read.
    pub libraries: u64,
}

/// How the reading of a server ended.
#[derive(Debug)]
pub struct Outcome {
    /// What was done.
    pub counts: Counts,
    /// What went wrong; what could be read was stored.
    pub troubles: Vec<Trouble>,
    /// It was told to end before it was through.
    pub interrupted: bool,
}

impl Outcome {
    /// The exit code of this server.
    pub fn exit(&self) -> Exit {
        let held = if self.counts.held > 0 { Exit::Held } else { Exit::Done };
        let interrupted = if self.interrupted { Exit::TryAgain } else { Exit::Done };
        self.troubles.iter().map(|trouble| trouble.exit).fold(held.combine(interrupted), Exit::combine)
    }
}

/// Reads every account of a server. A failing account or library doesn't stop the others.
pub async fn server(
    app: &App,
    contact: &Contact,
    run_id: i64,
    options: Options,
    connection: &mut Connection,
) -> Outcome {
    let mut outcome = Outcome { counts: Counts::default(), troubles: contact.missing.clone(), interrupted: false };
    for (account, remote) in &contact.accounts {
        if app.stop.is_cancelled() {
            outcome.interrupted = true;
            break;
        }
        let view = match contact.view(app, account, remote).await {
            Ok(view) => view,
            Err(trouble) => {
                outcome.troubles.push(trouble);
                continue;
            }
        };
        let reading = Reading { app, server: &contact.server, account, view: view.as_ref(), run_id, options };
        if let Err(trouble) = reading.account(&mut outcome, connection).await {
            outcome.troubles.push(trouble);
        }
    }
    outcome
}

/// The reading of one account at one server.
struct Reading<'a> {
    app: &'a App,
    server: &'a Server,
    account: &'a Account,
    view: &'a dyn AccountView,
    run_id: i64,
    options: Options,
}

impl Reading<'_> {
    async fn account(&self, outcome: &mut Outcome, connection: &mut Connection) -> Result<(), Trouble> {
        let libraries = unless_stopped(self.app, self.view.libraries()).await?;
        let played_total = observations::played_total(connection, self.account.id).await?;
        let now = self.app.clock.now();
        let plan_id = plans::open(connection, self.run_id, self.account.id, played_total, now).await?;
        let holds = plans::holds(connection, self.account.id).await?;
        let mut reader = Reader::new(self.app, self.server, self.account, plan_id, self.states(), now).holding(holds);
        let mut whole = true;
        for (library, library_id) in note_libraries(self.server, &libraries, connection).await? {
            if self.app.stop.is_cancelled() {
                outcome.interrupted = true;
                whole = false;
                break;
            }
            let read =
                library::Read { reader: &mut reader, view: self.view, library, library_id, full: self.options.full };
            match read.run(connection).await {
                Ok(library::Done::Full) => reader.counts.full_reads += 1,
                Ok(library::Done::Incremental) => whole = false,
                Ok(library::Done::Interrupted) => {
                    outcome.interrupted = true;
                    whole = false;
                    break;
                }
                Err(trouble) => {
                    whole = false;
                    outcome.troubles.push(trouble);
                }
            }
            reader.counts.libraries += 1;
        }
        let held = unplays::settle(&mut reader, whole, now, self.options.force, connection).await?;
        reader.counts.held += held;
        let counts = std::mem::take(&mut reader.counts);
        outcome.counts.add(&counts);
        Ok(())
    }

    fn states(&self) -> absorb::States {
        if self.options.metadata_only { absorb::States::Leave } else { absorb::States::of(self.server) }
    }
}

/// Notes the libraries of a server. Returns those that take part, with their keys.
pub async fn note_libraries<'a>(
    server: &Server,
    libraries: &'a [Library],
    connection: &mut Connection,
) -> Result<Vec<(&'a Library, i64)>, Trouble> {
    let mut part = Vec::with_capacity(libraries.len());
    for library in libraries {
        let row = registry::Library {
            id: 0,
            remote_id: library.id.clone(),
            name: library.title.clone(),
            content: library::word(&library.content).to_owned(),
            supported: library.content.supported(),
            selected: policy::takes_part(&server.policy, library),
        };
        let library_id = registry::put_library(connection, server.id, &row).await?;
        if row.selected && row.supported {
            part.push((library, library_id));
        }
    }
    Ok(part)
}

impl Counts {
    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        let Self {
            read,
            changed,
            new,
            unmatched,
            conflicts,
            junk_ids,
            joined,
            played,
            played_again,
            unplayed,
            positions,
            echoes,
            held,
            gone,
            full_reads,
            libraries,
        } = other;
        self.read += read;
        self.changed += changed;
        self.new += new;
        self.unmatched += unmatched;
        self.conflicts += conflicts;
        self.junk_ids += junk_ids;
        self.joined += joined;
        self.played += played;
        self.played_again += played_again;
        self.unplayed += unplayed;
        self.positions += positions;
        self.echoes += echoes;
        self.held += held;
        self.gone += gone;
        self.full_reads += full_reads;
        self.libraries += libraries;
    }
}
