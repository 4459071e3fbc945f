//! Joining a line of a backup with what is known: pure, and the same however often it is done.

use jiff::Timestamp;
use watchstate_domain::watch::{History, Watch};
use watchstate_store::watches::Agreed;

use super::RULE;
use crate::command::backup::format::Line;

/// What is known of a title, while lines are merged into it.
#[derive(Debug, Clone)]
pub struct Known {
    /// The truth.
    pub watch: Watch,
    /// The viewings.
    pub history: History,
    runtime_ms: Option<u64>,
    stored: (Watch, Option<Timestamp>, History),
}

/// What a line changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Nothing.
    Nothing,
    /// It counts as played now.
    Played,
    /// It no longer does.
    Unplayed,
    /// The position.
    Position,
    /// When it was last played or un-played.
    Moment,
    /// Viewings only.
    History,
}

impl What {
    /// In a few words.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Played => "played",
            Self::Unplayed => "un-played",
            Self::Position => "position moved",
            Self::Moment => "moment of the mark moved",
            Self::History => "viewings added",
        }
    }
}

/// What came of a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    /// Viewings that weren't known.
    pub plays_added: u64,
    /// What changed, the gravest only.
    pub what: What,
}

impl Known {
    /// As it is stored.
    pub fn new(agreed: &Agreed, history: History, runtime_ms: Option<u64>) -> Self {
        let stored = (agreed.watch, agreed.played_at, history.clone());
        Self { watch: agreed.watch, history, runtime_ms, stored }
    }

    /// Takes a line in. The later mark and the later position win; every viewing stays.
    pub fn merge(&mut self, line: &Line) -> Merged {
        let (before, told) = (self.watch, self.history.clone());
        self.watch = self.watch.join(line.watch());
        let mut plays_added = 0;
        for viewing in line.viewings(RULE) {
            plays_added += u64::from(self.history.tell(viewing, self.runtime_ms));
        }
        let what = match (before.played(), self.watch.played()) {
            (false, true) => What::Played,
            (true, false) => What::Unplayed,
            _ if before.position() != self.watch.position() => What::Position,
            _ if before != self.watch => What::Moment,
            _ if told != self.history => What::History,
            _ => What::Nothing,
        };
        Merged { plays_added, what }
    }

    /// True when the truth must be stored.
    pub fn state_changed(&self) -> bool {
        self.watch != self.stored.0 || self.history.last_played_at() != self.stored.1
    }

    /// The viewings as they were stored.
    pub const fn history_before(&self) -> &History {
        &self.stored.2
    }

    /// True when the history must be stored.
    pub fn history_changed(&self) -> bool {
        self.history != self.stored.2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchstate_domain::watch::{Position, Source, Viewing};

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(1_600_000_000 + day * 86_400).unwrap()
    }

    fn watch(mark: Option<(i64, bool)>, position: Option<(i64, u64)>) -> Watch {
        Watch::from_parts(
            mark.map(|(day, played)| (at(day), played)),
            position.map(|(day, position_ms)| Position { at: at(day), position_ms }),
        )
    }

    fn known(watch: Watch, plays: &[i64]) -> Known {
        let viewings = plays.iter().map(|day| Viewing::told(at(*day), Source::Mark, "plex")).collect();
        let history = History::new(viewings, None);
        let played_at = history.last_played_at();
        Known::new(&Agreed { watch, played_at, version: 1 }, history, None)
    }

    fn line(mark: Option<(i64, bool)>, position: Option<(i64, u64)>, plays: &[i64]) -> Line {
        let mut fields = serde_json::json!({ "kind": "movie", "title": "Heat", "played": false });
        if let Some((day, played)) = mark {
            fields["played"] = played.into();
            fields["changedAt"] = at(day).to_string().into();
        }
        if let Some((day, ms)) = position {
            fields["position"] = serde_json::json!({ "ms": ms, "at": at(day).to_string() });
        }
        fields["plays"] = plays.iter().map(|day| serde_json::json!({ "playedAt": at(*day).to_string() })).collect();
        Line::read(&fields.to_string(), at(1_000)).unwrap()
    }

    #[test]
    fn the_later_mark_wins_and_every_viewing_stays() {
        let nothing = || known(Watch::default(), &[]);
        let cases = [
            ("fills a gap", nothing(), line(Some((5, true)), None, &[1, 5]), What::Played, 2, true, 2),
            (
                "is known already",
                known(watch(Some((5, true)), None), &[1, 5]),
                line(Some((5, true)), None, &[1, 5]),
                What::Nothing,
                0,
                true,
                2,
            ),
            (
                "an older play moves nothing",
                known(watch(Some((5, true)), None), &[5]),
                line(Some((1, true)), None, &[1]),
                What::History,
                1,
                true,
                2,
            ),
            (
                "a later un-play is kept",
                known(watch(Some((9, false)), None), &[5]),
                line(Some((5, true)), None, &[5]),
                What::Nothing,
                0,
                false,
                1,
            ),
            (
                "a later un-play in the file",
                known(watch(Some((5, true)), None), &[5]),
                line(Some((9, false)), None, &[]),
                What::Unplayed,
                0,
                false,
                1,
            ),
            (
                "an empty line takes nothing",
                known(watch(Some((5, true)), None), &[5]),
                line(None, None, &[]),
                What::Nothing,
                0,
                true,
                1,
            ),
            (
                "a later moment",
                known(watch(Some((5, true)), None), &[5]),
                line(Some((6, true)), None, &[]),
                What::Moment,
                0,
                true,
                1,
            ),
            ("a position", nothing(), line(None, Some((5, 60_000)), &[]), What::Position, 0, false, 0),
        ];
        for (name, mut known, line, what, added, played, plays) in cases {
            let merged = known.merge(&line);
            assert_eq!((merged.what, merged.plays_added), (what, added), "{name}");
            assert_eq!((known.watch.played(), known.history.viewings().len()), (played, plays), "{name}");
            assert_eq!(known.history_changed(), added > 0, "{name}");
        }
    }

    #[test]
    fn merging_a_line_twice_changes_nothing_the_second_time() {
        let mut known = known(watch(Some((3, true)), Some((4, 90_000))), &[3]);
        let line = line(Some((8, true)), Some((9, 120_000)), &[1, 3, 8]);
        known.merge(&line);
        assert!(known.state_changed() && known.history_changed());
        let agreed = Agreed { watch: known.watch, played_at: known.history.last_played_at(), version: 2 };
        let mut again = Known::new(&agreed, known.history, None);
        assert_eq!(again.merge(&line), Merged { plays_added: 0, what: What::Nothing });
        assert!(!again.state_changed() && !again.history_changed());
    }
}
