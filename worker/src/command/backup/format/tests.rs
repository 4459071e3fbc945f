//! What is written is read again, and what is wrong is refused.

use super::*;
use watchstate_domain::ids::Provider;

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn ids(ids: &[(Provider, &str)]) -> Ids {
    ids.iter().map(|(provider, value)| ExternalId { provider: *provider, value: (*value).to_owned() }).collect()
}

fn entry() -> (Entry, History) {
    let told = |text, source| Viewing::told(at(text), source, "plex");
    let viewings = vec![
        told("2025-01-01T20:00:00Z", Source::Mark),
        Viewing {
            played_at: at("2026-01-02T20:10:00.25Z"),
            source: Source::Playback,
            via: "emby".into(),
            first: at("2026-01-02T20:00:00Z"),
            last: at("2026-01-02T20:20:00Z"),
        },
    ];
    let entry = Entry {
        title_id: 7,
        kind: Kind::Episode,
        title: "In Perpetuity".into(),
        year: Some(2022),
        show: Some("Severance".into()),
        show_ids: ids(&[(Provider::Tvdb, "371980")]),
        season: Some(1),
        episode: Some(3),
        ids: ids(&[(Provider::Imdb, "tt11280740"), (Provider::Tvdb, "8872283")]),
        watch: Watch::from_parts(
            Some((at("2026-01-02T20:20:00Z"), true)),
            Some(Position { at: at("2026-02-01T00:00:00Z"), position_ms: 61_000 }),
        ),
        played_at: Some(at("2026-01-02T20:10:00.25Z")),
    };
    (entry, History::new(viewings, Some(3_000_000)))
}

#[test]
fn a_line_that_is_written_is_read_as_the_same_truth_and_history() {
    let (entry, history) = entry();
    let watch = entry.watch;
    let line = Line::of(entry, &history);
    let text = serde_json::to_string(&line).unwrap();
    let read = Line::read(&text, now()).unwrap();
    assert_eq!(read, line);
    assert_eq!(read.watch(), watch);
    assert_eq!(read.viewings("restore"), history.viewings());
    assert_eq!(read.label(), "Severance S01E03 In Perpetuity");
}

#[test]
fn a_line_is_written_as_the_documentation_has_it() {
    let (entry, history) = entry();
    let text = serde_json::to_string(&Line::of(entry, &history)).unwrap();
    let expected = concat!(
        r#"{"kind":"episode","title":"In Perpetuity","year":2022,"show":{"title":"Severance","ids":{"tvdb":"371980"}},"season":1,"episode":3,"#,
        r#""ids":{"imdb":"tt11280740","tvdb":"8872283"},"played":true,"changedAt":"2026-01-02T20:20:00Z","playedAt":"2026-01-02T20:10:00.25Z","#,
        r#""position":{"ms":61000,"at":"2026-02-01T00:00:00Z"},"plays":[{"playedAt":"2025-01-01T20:00:00Z","first":"2025-01-01T20:00:00Z","#,
        r#""last":"2025-01-01T20:00:00Z","source":"mark","via":"plex"},{"playedAt":"2026-01-02T20:10:00.25Z","first":"2026-01-02T20:00:00Z","#,
        r#""last":"2026-01-02T20:20:00Z","source":"playback","via":"emby"}]}"#,
    );
    assert_eq!(text, expected);
    let documentation = include_str!("../../../../../docs/backup-format.md");
    assert!(documentation.contains(expected), "docs/backup-format.md lacks {expected}");
}

#[test]
fn a_line_written_by_hand_may_leave_out_what_it_does_not_know() {
    let cases = [
        (r#"{"kind":"movie","ids":{"imdb":"tt0113277"},"played":true}"#, Some((Timestamp::UNIX_EPOCH, true)), 0),
        (
            r#"{"kind":"movie","ids":{"imdb":"tt0113277"},"played":true,"playedAt":"2020-01-01T00:00:00Z"}"#,
            Some((at("2020-01-01T00:00:00Z"), true)),
            1,
        ),
        (r#"{"kind":"movie","ids":{"imdb":"tt0113277"},"played":false}"#, None, 0),
        (
            r#"{"kind":"movie","played":false,"changedAt":"2020-01-01T00:00:00+01:00"}"#,
            Some((at("2019-12-31T23:00:00Z"), false)),
            0,
        ),
        (r#"{"kind":"movie","plays":[{"playedAt":"2020-01-01T00:00:00.1234567Z"}]}"#, None, 1),
    ];
    for (text, mark, plays) in cases {
        let line = Line::read(text, now()).unwrap();
        assert_eq!(line.watch().mark(), mark, "{text}");
        assert_eq!(line.viewings("restore").len(), plays, "{text}");
    }
}

#[test]
fn moments_are_cut_to_what_the_database_keeps() {
    let text = r#"{"kind":"movie","played":true,"changedAt":"2020-01-01T00:00:00.123456789Z"}"#;
    let line = Line::read(text, now()).unwrap();
    assert_eq!(line.changed_at, Some(at("2020-01-01T00:00:00.123456Z")));
}

#[test]
fn a_bad_line_is_refused_with_what_is_wrong() {
    let cases = [
        ("", "can't be read"),
        ("[]", "can't be read"),
        (r#"{"kind":"song"}"#, "unknown variant `song`"),
        (r#"{"kind":"show"}"#, "expected movie or episode"),
        (r#"{"kind":"movie","ids":{"imdb":"113277"}}"#, "not an id of imdb"),
        (r#"{"kind":"movie","ids":{"letterboxd":"heat"}}"#, "letterboxd"),
        (r#"{"kind":"movie","played":"yes"}"#, "expected a boolean"),
        (r#"{"kind":"movie","changedAt":"yesterday"}"#, "can't be read"),
        (
            r#"{"kind":"movie","changedAt":"2026-07-01T00:00:00Z"}"#,
            "changedAt: 2026-07-01T00:00:00Z lies in the future",
        ),
        (r#"{"kind":"movie","plays":[{"playedAt":"2026-07-01T00:00:00Z"}]}"#, "lies in the future"),
        (
            r#"{"kind":"movie","plays":[{"playedAt":"2020-01-01T00:00:00Z","first":"2020-01-02T00:00:00Z"}]}"#,
            "first ≤ playedAt",
        ),
        (r#"{"kind":"movie","plays":[{"playedAt":"2020-01-03T00:00:00Z","last":"2020-01-02T00:00:00Z"}]}"#, "≤ last"),
        (r#"{"kind":"episode","season":4294967295}"#, "season: the number is too large"),
        (
            r#"{"kind":"movie","position":{"ms":18446744073709551615,"at":"2020-01-01T00:00:00Z"}}"#,
            "position: the number",
        ),
        (r#"{"kind":"movie","title":"a\u0000b"}"#, "NUL"),
    ];
    for (text, words) in cases {
        let error = Line::read(text, now()).unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn only_headers_of_this_version_are_read() {
    let header = Header::new("anna", now());
    let text = serde_json::to_string(&header).unwrap();
    assert_eq!(
        text,
        r#"{"format":"watchstate-backup","version":1,"person":"anna","createdAt":"2026-06-01T00:00:00Z"}"#
    );
    assert_eq!(Header::read(&text).unwrap(), header);
    let cases = [
        (text.replace("\"version\":1", "\"version\":2"), "version 2"),
        (text.replace("watchstate-backup", "other"), "no header"),
        (text.replace("\"anna\"", "\" \""), "names nobody"),
        ("{\"kind\":\"movie\"}".to_owned(), "no header"),
        (String::new(), "no header"),
    ];
    for (text, words) in cases {
        let error = Header::read(&text).unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}
