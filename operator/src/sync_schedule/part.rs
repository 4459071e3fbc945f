//! The parts of a schedule: what runs, by the clock or otherwise, with which command, how long it may take and how often it is tried.
//! Everything else about children is the same for all parts.

use watchstate_crds::SyncScheduleSpec;
use watchstate_crds::sync_schedule::{PushMode, Verb};

/// Something that a schedule has done by pods of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Reading what changed.
    Import,
    /// Reading everything again. A CronJob of its own: Kubernetes knows one schedule a CronJob.
    Full,
    /// Writing every difference.
    Export,
    /// Writing single changes by the clock.
    Push,
    /// Writing single changes as they come.
    Follow,
    /// Deleting what is no longer needed.
    Prune,
    /// Writing files outside the database.
    Backup,
    /// Import and export, asked for by annotation.
    Sync,
    /// Letting a held run through, asked for by annotation.
    Approve,
}

/// How long a part may take and how patient Kubernetes is with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// After so many seconds a Job is ended: with `Forbid`, one that hangs would keep all later ones from running.
    pub active_deadline_seconds: i64,
    /// So many seconds late a missed run is still begun.
    pub starting_deadline_seconds: i64,
    /// How often a pod that failed is followed by another. Where the clock brings the next run within the hour, that is the second try.
    pub backoff_limit: i32,
}

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;

impl Part {
    /// Those that run by the clock, each by its CronJob, in the order in which they are listed.
    pub const TIMED: [Self; 6] = [Self::Import, Self::Full, Self::Export, Self::Push, Self::Prune, Self::Backup];

    /// What follows the schedule's name in the names of children, and the value of the label [`super::labels::PART`]. At most seven characters: a
    /// schedule's name has up to 45, a CronJob's 52.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Full => "full",
            Self::Export => "export",
            Self::Push => "push",
            Self::Follow => "follow",
            Self::Prune => "prune",
            Self::Backup => "backup",
            Self::Sync => "sync",
            Self::Approve => "approve",
        }
    }

    /// The part of that name.
    pub fn named(name: &str) -> Option<Self> {
        let all = Self::TIMED.into_iter().chain([Self::Follow, Self::Sync, Self::Approve]);
        all.into_iter().find(|part| part.name() == name)
    }

    /// The verbs of the status whose runs this part makes.
    pub const fn verbs(self) -> &'static [Verb] {
        match self {
            Self::Import | Self::Full => &[Verb::Import],
            Self::Export => &[Verb::Export],
            Self::Push | Self::Follow => &[Verb::Push],
            Self::Prune => &[Verb::Prune],
            Self::Backup => &[Verb::Backup],
            Self::Sync => &[Verb::Import, Verb::Export],
            Self::Approve => &[],
        }
    }

    /// Whether it talks to media servers. Only then does its pod see their tokens.
    pub const fn reaches_servers(self) -> bool {
        match self {
            Self::Import | Self::Full | Self::Export | Self::Push | Self::Follow | Self::Sync => true,
            Self::Prune | Self::Backup | Self::Approve => false,
        }
    }

    /// When it runs; None where the schedule has it off, and for what doesn't run by the clock.
    pub fn schedule(self, spec: &SyncScheduleSpec) -> Option<&str> {
        match self {
            Self::Import => spec.import.as_ref().map(|import| import.schedule.as_str()),
            Self::Full => spec.import.as_ref().and_then(|import| import.full_schedule.as_deref()),
            Self::Export => spec.export.as_ref().map(|export| export.schedule.as_str()),
            Self::Push => {
                spec.push.as_ref().filter(|push| push.mode == PushMode::Scheduled).map(|push| push.schedule.as_str())
            }
            Self::Prune => spec.prune.as_ref().map(|prune| prune.schedule.as_str()),
            Self::Backup => spec.backup.as_ref().map(|backup| backup.schedule.as_str()),
            Self::Follow | Self::Sync | Self::Approve => None,
        }
    }

    /// The worker's arguments, apart from those that depend on the spec. What runs rarely, or because somebody asked, waits for a worker that
    /// is at a server already: left out, it would come next week, or never.
    pub fn command(self) -> &'static [&'static str] {
        match self {
            Self::Import => &["import"],
            Self::Full => &["import", "--full", "--wait"],
            Self::Export => &["export"],
            Self::Push => &["push"],
            Self::Follow => &["push", "--follow"],
            Self::Prune => &["prune"],
            Self::Backup => &["backup"],
            Self::Sync => &["sync", "--wait"],
            Self::Approve => &["held", "approve"],
        }
    }

    /// How long it may take, and what happens when it fails.
    pub const fn limits(self) -> Limits {
        let (hours, late, backoff_limit) = match self {
            // The next run comes soon and does what is left.
            Self::Push => (1, 5 * MINUTE, 0),
            Self::Import | Self::Export => (6, 30 * MINUTE, 0),
            // The next run may be days away. A first full read of a large library takes hours.
            Self::Full => (24, 12 * HOUR, 2),
            Self::Prune | Self::Backup => (6, 12 * HOUR, 2),
            // Somebody waits for it.
            Self::Follow | Self::Sync => (24, 0, 2),
            Self::Approve => (1, 0, 2),
        };
        Limits { active_deadline_seconds: hours * HOUR, starting_deadline_seconds: late, backoff_limit }
    }
}

/// Whether pushing is done by a process that stays.
pub fn follows(spec: &SyncScheduleSpec) -> bool {
    spec.push.as_ref().is_some_and(|push| push.mode == PushMode::Realtime)
}

/// The verbs that a spec has on, in the order of the status.
pub fn verbs(spec: &SyncScheduleSpec) -> Vec<Verb> {
    let on = |verb: &Verb| match verb {
        Verb::Import => spec.import.is_some(),
        Verb::Export => spec.export.is_some(),
        Verb::Push => spec.push.as_ref().is_some_and(|push| push.mode != PushMode::Off),
        Verb::Prune => spec.prune.is_some(),
        Verb::Backup => spec.backup.is_some(),
    };
    Verb::ALL.into_iter().filter(on).collect()
}

#[cfg(test)]
mod tests {
    use watchstate_crds::sync_schedule::{Import, Push};

    use super::*;

    #[test]
    fn every_part_is_found_by_its_name_and_the_longest_name_leaves_room_for_a_schedules_own() {
        for name in ["import", "full", "export", "push", "follow", "prune", "backup", "sync", "approve"] {
            let part = Part::named(name).unwrap();
            assert_eq!(part.name(), name);
            assert!(name.len() <= 7, "{name}: Jobs are called <name>-{name}-<8 digits>, with 63 characters at most");
            assert!(!Part::TIMED.contains(&part) || name.len() <= 6, "{name}: a CronJob has 52 at most");
        }
        assert_eq!(Part::named("restore"), None);
    }

    #[test]
    fn a_part_that_is_missing_from_the_spec_is_off_and_one_that_is_empty_runs_with_its_defaults() {
        let mut spec = SyncScheduleSpec::default();
        assert!(verbs(&spec).is_empty());
        assert_eq!(Part::TIMED.map(|part| part.schedule(&spec)), [None; 6]);

        spec.import = Some(Import::default());
        spec.push = Some(Push::default());
        assert_eq!(verbs(&spec), [Verb::Import, Verb::Push]);
        let schedules = Part::TIMED.map(|part| part.schedule(&spec));
        assert_eq!(schedules, [Some("0 * * * *"), None, None, Some("*/10 * * * *"), None, None]);
    }

    #[test]
    fn changes_are_pushed_by_the_clock_or_by_a_follower_or_not_at_all() {
        let with = |mode| SyncScheduleSpec { push: Some(Push { mode, ..Push::default() }), ..Default::default() };
        for (mode, timed, followed, on) in [
            (PushMode::Scheduled, true, false, true),
            (PushMode::Realtime, false, true, true),
            (PushMode::Off, false, false, false),
        ] {
            let spec = with(mode);
            assert_eq!(Part::Push.schedule(&spec).is_some(), timed, "{mode:?}");
            assert_eq!(follows(&spec), followed, "{mode:?}");
            assert_eq!(verbs(&spec) == [Verb::Push], on, "{mode:?}");
        }
    }
}
