//! An explanation for people: indented sections, one thought a line.

use std::fmt::Write;

use super::explain::{Explained, Explanation, Item, Person, Place, Seen, Told, Written};
use crate::command::backup::format::Play;
use crate::command::state::Contradiction;
use crate::output::{or_dash, position, time};

/// The whole text.
pub fn of(explained: &Explained) -> String {
    let mut text = Text::default();
    for (number, explanation) in explained.titles.iter().enumerate() {
        if number > 0 {
            text.line(0, "");
        }
        text.title(explanation);
    }
    let more = explained.total - i64::try_from(explained.titles.len()).unwrap_or(explained.total);
    if more > 0 {
        text.line(0, "");
        text.line(0, &format!("{more} more titles match; say more of the name, or an id."));
    }
    text.line(0, "");
    text.line(0, "All times are UTC.");
    text.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, depth: usize, line: &str) {
        let indent = if line.is_empty() { 0 } else { depth * 2 };
        // Writing to a String can't fail.
        writeln!(self.0, "{:indent$}{line}", "").ok();
    }

    /// A name and what there is to say of it, the values below each other.
    fn field(&mut self, depth: usize, name: &str, value: &str) {
        self.line(depth, &format!("{name:<12}{value}"));
    }

    fn title(&mut self, explanation: &Explanation) {
        let title = &explanation.title;
        self.line(0, &format!("{} · {}", title.label(), title.kind));
        self.field(1, "ids", &or_dash(Some(&title.ids.join(" "))));
        if title.kind == "show" {
            self.show(explanation);
        } else if explanation.persons.is_empty() {
            self.line(1, "Nobody has it, and nobody has said anything of it.");
        }
        for person in &explanation.persons {
            self.line(0, "");
            self.person(person);
        }
    }

    fn show(&mut self, explanation: &Explanation) {
        for progress in &explanation.progress {
            let last = progress.last_played_at.map(|at| format!(", last {}", time(Some(at)))).unwrap_or_default();
            let watched = format!("{} of {} episodes played{last}", progress.played, progress.episodes);
            self.field(1, &progress.person, &watched);
        }
        for place in &explanation.places {
            self.line(0, "");
            self.line(1, &format!("{} ({})", place.server, place.kind));
            self.place(place);
        }
        self.line(0, "");
        let name = &explanation.title.title;
        self.line(1, &format!("A show is watched by its episodes; ask for one: why \"{name} S01E01\""));
    }

    fn person(&mut self, person: &Person) {
        let watched = &person.watched;
        self.line(1, &watched.person);
        self.field(2, "agreed", &agreed(person));
        if let Some(marked_at) = watched.marked_at {
            let told = if watched.played { "played" } else { "un-played" };
            self.field(
                2,
                "since",
                &format!("{told} as of {}, noted {}", time(Some(marked_at)), time(watched.changed_at)),
            );
        }
        if let (Some(via), Some(rule)) = (watched.via.as_deref().filter(|via| !via.is_empty()), &watched.rule) {
            self.field(2, "decided by", &format!("{via}, rule {rule}"));
            self.field(2, "", person.sentence.as_deref().unwrap_or_default());
        }
        match person.history.as_slice() {
            [] => self.field(2, "history", "no viewing is known"),
            viewings => {
                for (number, viewing) in viewings.iter().enumerate() {
                    self.field(2, if number == 0 { "history" } else { "" }, &viewed(viewing));
                }
            }
        }
        for item in &person.items {
            self.line(0, "");
            self.item(item);
        }
    }

    fn item(&mut self, item: &Item) {
        let place = &item.place;
        let account = if item.account.is_empty() {
            "the token's own account".to_owned()
        } else {
            format!("account {}", item.account)
        };
        self.line(2, &format!("{} ({}, {account})", place.server, place.kind));
        self.place(place);
        match &item.seen {
            None => self.field(3, "last seen", "never by this account"),
            Some(seen) => self.seen(seen),
        }
        if let Some(unheard) = item.unheard {
            self.field(3, "but", unheard);
        }
        for (number, told) in item.events.iter().enumerate() {
            self.field(3, if number == 0 { "events" } else { "" }, &heard(told));
        }
        for (number, write) in item.writes.iter().enumerate() {
            self.field(3, if number == 0 { "writes" } else { "" }, &written(write));
        }
        self.field(3, "so", &item.verdict.reason);
    }

    fn place(&mut self, place: &Place) {
        let library = place.library.as_deref().map(|library| format!(" in {library}")).unwrap_or_default();
        self.field(3, "item", &format!("{}{library}: {}", place.item, place.name));
        if let Some(path) = &place.path {
            self.field(3, "file", path);
        }
        if place.holds > 1 {
            self.field(3, "", &format!("holds {} titles", place.holds));
        }
        let junk = match place.junk_ids {
            0 => String::new(),
            junk => format!(" ({junk} dropped as junk)"),
        };
        self.field(3, "ids", &format!("{}{junk}", or_dash(Some(&place.ids.join(" ")))));
        self.field(3, "matched", matched(place.matched_by.as_deref()));
        for conflict in &place.conflicts {
            self.field(3, "conflict", &contradicts(conflict));
        }
        if place.gone_at.is_some() {
            self.field(3, "gone", &format!("since {}", time(place.gone_at)));
        }
    }

    fn seen(&mut self, seen: &Seen) {
        let mut words = vec![if seen.played { "played" } else { "not played" }.to_owned()];
        words.push(match seen.plays {
            1 => "1 play".to_owned(),
            plays => format!("{plays} plays"),
        });
        words.extend(seen.last_played_at.map(|at| format!("last {}", time(Some(at)))));
        words.extend((seen.position_ms > 0).then(|| format!("at {}", position(seen.position_ms))));
        self.field(3, "last seen", &format!("{} · {}", time(Some(seen.true_at)), words.join(", ")));
        if seen.gone_at.is_some() {
            self.field(3, "", &format!("no longer shown to this account since {}", time(seen.gone_at)));
        }
        self.field(3, "rule", &format!("{} ({})", seen.rule, time(Some(seen.decided_at))));
        self.field(3, "", &seen.sentence);
    }
}

fn agreed(person: &Person) -> String {
    let watched = &person.watched;
    let mut words = Vec::new();
    match (watched.played, watched.marked_at) {
        (true, _) => words.push(match watched.played_at {
            Some(at) => format!("played, watched {}", time(Some(at))),
            None => "played, nobody knows when".to_owned(),
        }),
        (false, Some(_)) => words.push("not played, somebody took the mark away".to_owned()),
        (false, None) if watched.position_ms.is_none() => {
            words.push("nothing: nobody has said anything yet".to_owned());
        }
        (false, None) => words.push("not played".to_owned()),
    }
    words.extend(watched.position_ms.map(|ms| format!("at {} since {}", position(ms), time(watched.position_at))));
    words.join(", ")
}

fn viewed(play: &Play) -> String {
    let by = if play.playback() { "seen by" } else { "told by" };
    let span = if play.first == play.last {
        String::new()
    } else {
        format!(" (told with stamps from {} to {})", time(play.first), time(play.last))
    };
    format!("{} · {by} {}{span}", time(Some(play.played_at)), or_dash(play.via.as_deref()))
}

fn heard(told: &Told) -> String {
    let why = told.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("#{} {} · {} {}{why}", told.id, told.event, told.verdict, time(Some(told.received_at)))
}

fn written(write: &Written) -> String {
    let what = match write.want.as_str() {
        "no-position" => "no position",
        other => other,
    };
    let tries = match write.attempts {
        1 => "1 try".to_owned(),
        tries => format!("{tries} tries"),
    };
    let end = match write.state.as_str() {
        "pending" => format!("waits since {}, {tries}", time(Some(write.queued_at))),
        "dead" => format!("given up after {tries}"),
        "written" => format!("written {}", time(write.finished_at)),
        "already-right" => format!("was right already when looked at {}", time(write.finished_at)),
        _ => format!("dropped {}", time(write.finished_at)),
    };
    let error = write.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
    format!("#{} {what} · {end}{error}", write.id)
}

fn matched(by: Option<&str>) -> &str {
    match by {
        Some("ids") => "by its ids",
        Some("numbering") => "by show, season and episode",
        Some("path") => "by the path of its file",
        Some("new") => "as the first of its title",
        Some(other) => other,
        None => "-",
    }
}

fn contradicts(conflict: &Contradiction) -> String {
    format!("contradicts {} ({}): kept apart", conflict.sentence(), or_dash(Some(&conflict.ids.join(" "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::why::verdict::{Status, Verdict};
    use jiff::Timestamp;
    use watchstate_domain::item::ServerKind;
    use watchstate_domain::merge::Rule;
    use watchstate_domain::watch::{Source, Viewing};
    use watchstate_store::report::titles::{Title, Watched};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn explained() -> Explained {
        let title = Title {
            title_id: 1,
            kind: "movie".into(),
            title: "Heat".into(),
            year: Some(1995),
            ids: vec!["imdb:tt0113277".into()],
            ..Title::default()
        };
        let watched = Watched {
            person: "anna".into(),
            person_id: 1,
            title: title.clone(),
            played: true,
            played_at: Some(at("2026-01-02T20:00:00Z")),
            plays: 1,
            position_ms: None,
            position_at: None,
            marked_at: Some(at("2026-01-02T20:00:00Z")),
            changed_at: Some(at("2026-01-02T20:01:00Z")),
            via: Some("plex".into()),
            rule: Some("newly-played".into()),
        };
        let item = Item {
            place: Place {
                server: "emby".into(),
                kind: ServerKind::Emby,
                item: "77".into(),
                name: "Heat".into(),
                library: Some("Films".into()),
                path: Some("/films/heat.mkv".into()),
                ids: vec!["imdb:tt0113277".into()],
                junk_ids: 1,
                matched_by: Some("ids".into()),
                conflicts: vec![],
                holds: 1,
                first_seen_at: at("2026-01-01T00:00:00Z"),
                gone_at: None,
            },
            account: "Anna K.".into(),
            seen: Some(Seen {
                played: false,
                plays: 0,
                last_played_at: None,
                position_ms: 61_000,
                true_at: at("2026-01-03T00:00:00Z"),
                rule: "first-sight-unplayed".into(),
                sentence: Rule::FirstSightUnplayed.sentence().into(),
                decided_at: at("2026-01-01T00:00:00Z"),
                gone_at: None,
            }),
            unheard: None,
            events: vec![Told {
                id: 9,
                event: "playback.stop".into(),
                received_at: at("2026-01-02T20:59:00Z"),
                verdict: "ignored".into(),
                reason: Some("so near its end".into()),
            }],
            writes: vec![Written {
                id: 5,
                want: "played".into(),
                state: "dead".into(),
                attempts: 10,
                error: Some("answered 500".into()),
                queued_at: at("2026-01-02T21:00:00Z"),
                finished_at: None,
            }],
            verdict: Verdict { status: Status::GivenUp, reason: "it was given up".into() },
        };
        let viewing = Viewing::told(at("2026-01-02T20:00:00Z"), Source::Mark, "plex");
        let person = Person {
            watched,
            sentence: Some(Rule::NewlyPlayed.sentence().into()),
            history: vec![Play::from(&viewing)],
            items: vec![item],
        };
        Explained {
            total: 3,
            titles: vec![Explanation { title, progress: vec![], places: vec![], persons: vec![person] }],
        }
    }

    #[test]
    fn an_explanation_reads_from_the_agreement_to_the_reason_of_each_server() {
        let expected = "\
Heat (1995) · movie
  ids         imdb:tt0113277

  anna
    agreed      played, watched 2026-01-02 20:00:00
    since       played as of 2026-01-02 20:00:00, noted 2026-01-02 20:01:00
    decided by  plex, rule newly-played
                was not played here before and is now: a play
    history     2026-01-02 20:00:00 · told by plex

    emby (Emby, account Anna K.)
      item        77 in Films: Heat
      file        /films/heat.mkv
      ids         imdb:tt0113277 (1 dropped as junk)
      matched     by its ids
      last seen   2026-01-03 00:00:00 · not played, 0 plays, at 0:01:01
      rule        first-sight-unplayed (2026-01-01 00:00:00)
                  seen here for the first time, not played: that says nothing, the agreed state stays
      events      #9 playback.stop · ignored 2026-01-02 20:59:00: so near its end
      writes      #5 played · given up after 10 tries: answered 500
      so          it was given up

2 more titles match; say more of the name, or an id.

All times are UTC.
";
        assert_eq!(of(&explained()), expected);
    }

    #[test]
    fn programs_get_the_same_in_one_document() {
        let value = serde_json::to_value(explained()).unwrap();
        let title = &value["titles"][0];
        assert_eq!(title["title"], "Heat");
        assert_eq!(title["persons"][0]["person"], "anna");
        assert_eq!(title["persons"][0]["history"][0]["playedAt"], "2026-01-02T20:00:00Z");
        assert_eq!(title["persons"][0]["items"][0]["verdict"]["status"], "given-up");
        assert_eq!(title["persons"][0]["items"][0]["seen"]["positionMs"], 61_000);
    }
}
