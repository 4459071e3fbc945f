use watchstate_domain::clock::ClockOffset;
use watchstate_domain::ids::{Ids, Kind};
use watchstate_domain::item::{Item, ItemState};
use watchstate_store::registry::ServerPolicy;

use super::*;

fn server(id: i64, kind: ServerKind, remote_id: Option<&str>, policy: ServerPolicy) -> Server {
    Server {
        id,
        name: format!("server{id}"),
        kind,
        url: String::new(),
        policy,
        remote_id: remote_id.map(str::to_owned),
        remote_name: None,
        version: None,
        clock_offset: ClockOffset(0),
        contacted_at: None,
    }
}

fn plex(id: i64, remote_id: Option<&str>) -> Server {
    server(id, ServerKind::Plex, remote_id, ServerPolicy::default())
}

fn account(id: i64, server_id: i64, configured: &str, remote: Option<(&str, &str)>) -> Account {
    Account {
        id,
        server_id,
        person_id: id,
        person: format!("person{id}"),
        configured: configured.to_owned(),
        remote_id: remote.map(|(id, _)| id.to_owned()),
        remote_name: remote.map(|(_, name)| name.to_owned()),
    }
}

fn household(servers: Vec<Server>, accounts: Vec<Account>) -> Household {
    Household {
        servers: servers.into_iter().map(|server| (server.id, server)).collect(),
        accounts: accounts.into_iter().map(|account| (account.id, account)).collect(),
        ..Household::default()
    }
}

fn item() -> Item {
    Item {
        remote_id: "101".into(),
        kind: Kind::Movie,
        title: "Heat".into(),
        show: None,
        year: None,
        season: None,
        episode: None,
        episode_end: None,
        ids: Ids::default(),
        junk_ids: 0,
        path: None,
        runtime_ms: None,
        added_at: None,
        state: ItemState::default(),
    }
}

fn notice(server_id: Option<&str>, teller: Option<(&str, &str)>, what: What) -> Notice {
    Notice {
        event: "media.scrobble".into(),
        server_id: server_id.map(str::to_owned),
        account: teller.map(|(id, name)| Teller { id: id.into(), name: name.into() }),
        sent_at: None,
        item: Some(item()),
        library_id: None,
        what,
    }
}

/// Server, account and reason of an event that came with the token of `tokens`.
fn found(
    household: &Household,
    tokens: &[i64],
    kind: ServerKind,
    notice: Notice,
) -> (Option<i64>, Option<i64>, Option<String>) {
    let received = resolve(household, tokens, kind, notice, b"{}", 0, Timestamp::UNIX_EPOCH);
    assert_eq!(received.verdict == Verdict::Waiting, received.reason.is_none());
    (received.server_id, received.account_id, received.reason)
}

#[expect(clippy::unnecessary_wraps, reason = "as an event has it")]
fn because(reason: Reason) -> Option<String> {
    Some(reason.sentence().to_owned())
}

#[test]
fn servers_that_share_a_token_are_told_apart_by_their_ids() {
    let home = household(
        vec![plex(1, Some("abc")), plex(2, Some("def"))],
        vec![account(10, 1, "Anna", Some(("1", "Anna"))), account(20, 2, "Anna", Some(("1", "Anna")))],
    );
    let anna = Some(("1", "Anna"));
    let tell = |id| found(&home, &[1, 2], ServerKind::Plex, notice(id, anna, What::Finished));
    assert_eq!(tell(Some("abc")), (Some(1), Some(10), None));
    assert_eq!(tell(Some("DEF")), (Some(2), Some(20), None));
    assert_eq!(tell(Some("other")), (None, None, because(Reason::OtherServer)));
    assert_eq!(tell(None), (None, None, because(Reason::Ambiguous)));
    let emby = found(&home, &[1, 2], ServerKind::Emby, notice(Some("abc"), anna, What::Finished));
    assert_eq!(emby, (None, None, because(Reason::OtherServer)));
}

#[test]
fn a_server_that_nobody_asked_yet_is_believed_when_no_other_has_its_token() {
    let anna = Some(("1", "Anna"));
    let one = household(vec![plex(1, None)], vec![account(10, 1, "Anna", None)]);
    let tell = |home: &Household, tokens: &[i64]| {
        found(home, tokens, ServerKind::Plex, notice(Some("abc"), anna, What::Finished))
    };
    assert_eq!(tell(&one, &[1]), (Some(1), Some(10), None));
    let two = household(vec![plex(1, None), plex(2, None)], vec![account(10, 1, "Anna", None)]);
    assert_eq!(tell(&two, &[1, 2]), (None, None, because(Reason::Ambiguous)));
    let one_of_two = household(vec![plex(1, None), plex(2, Some("abc"))], vec![account(20, 2, "Anna", None)]);
    assert_eq!(tell(&one_of_two, &[1, 2]), (Some(2), Some(20), None));
}

#[test]
fn with_match_server_off_any_id_will_do() {
    let policy = ServerPolicy { match_server: false, ..ServerPolicy::default() };
    let home = household(
        vec![server(1, ServerKind::Plex, Some("abc"), policy)],
        vec![account(10, 1, "Anna", Some(("1", "Anna")))],
    );
    let told = found(&home, &[1], ServerKind::Plex, notice(Some("other"), Some(("1", "Anna")), What::Finished));
    assert_eq!(told, (Some(1), Some(10), None));
}

#[test]
fn an_account_is_found_by_id_then_by_name() {
    let home = household(
        vec![plex(1, Some("abc"))],
        vec![
            account(10, 1, "", Some(("1", "Anna K."))),
            account(11, 1, "Ben", Some(("4711", "Ben"))),
            account(12, 1, "Carl", None),
            account(13, 1, "Sam", Some(("5", "sam"))),
            account(14, 1, "SAM", Some(("6", "Sam"))),
        ],
    );
    let tell = |id, name| found(&home, &[1], ServerKind::Plex, notice(Some("abc"), Some((id, name)), What::Finished));
    let mine = |account| (Some(1), Some(account), None);
    let nobodys = (Some(1), None, because(Reason::OtherUser));
    assert_eq!(tell("1", ""), mine(10));
    // The owner by the id at plex.tv.
    assert_eq!(tell("99887", "anna k."), mine(10));
    assert_eq!(tell("4711", "somebody"), mine(11));
    assert_eq!(tell("7", "carl "), mine(12));
    assert_eq!(tell("8", "Dora"), nobodys);
    assert_eq!(tell("9", "SAM"), nobodys, "two bear that name");
    assert_eq!(tell("", ""), nobodys);
}

#[test]
fn guids_are_the_same_with_and_without_dashes() {
    let home = household(
        vec![server(1, ServerKind::Jellyfin, Some("0123456789abcdef0123456789abcdef"), ServerPolicy::default())],
        vec![account(10, 1, "anna", Some(("aaaabbbbccccddddeeeeffff00001111", "anna")))],
    );
    let told = notice(
        Some("01234567-89AB-CDEF-0123-456789ABCDEF"),
        Some(("AAAABBBB-CCCC-DDDD-EEEE-FFFF00001111", "")),
        What::Finished,
    );
    assert_eq!(found(&home, &[1], ServerKind::Jellyfin, told), (Some(1), Some(10), None));
}

#[test]
fn with_match_user_off_the_only_person_is_meant() {
    let policy = ServerPolicy { match_user: false, ..ServerPolicy::default() };
    let stranger = || notice(Some("abc"), Some(("8", "Dora")), What::Finished);
    let one = household(vec![server(1, ServerKind::Plex, Some("abc"), policy.clone())], vec![account(10, 1, "", None)]);
    assert_eq!(found(&one, &[1], ServerKind::Plex, stranger()), (Some(1), Some(10), None));
    let two = household(
        vec![server(1, ServerKind::Plex, Some("abc"), policy)],
        vec![account(10, 1, "", None), account(11, 1, "Ben", None)],
    );
    assert_eq!(found(&two, &[1], ServerKind::Plex, stranger()), (Some(1), None, because(Reason::OtherUser)));
}

#[test]
fn what_has_no_bearing_is_put_aside_at_once_and_a_new_item_is_nobodys() {
    let home = household(vec![plex(1, Some("abc"))], vec![account(10, 1, "", Some(("1", "Anna")))]);
    let tell = |teller, what| found(&home, &[1], ServerKind::Plex, notice(Some("abc"), teller, what));
    let anna = Some(("1", "Anna"));
    for (what, reason) in [
        (What::Started, Reason::Begins),
        (What::Rated, Reason::Rated),
        (What::Test, Reason::Test),
        (What::Other, Reason::NoBearing),
    ] {
        assert_eq!(tell(anna, what), (Some(1), Some(10), because(reason)));
        assert_eq!(tell(None, what).2, because(reason), "nobody's either");
    }
    assert_eq!(tell(anna, What::Added), (Some(1), None, None));
    assert_eq!(tell(None, What::Finished), (Some(1), None, because(Reason::NoUser)));
    let nameless = Notice { item: None, ..notice(Some("abc"), anna, What::Finished) };
    assert_eq!(found(&home, &[1], ServerKind::Plex, nameless).2, because(Reason::NoItem));
}

#[test]
fn a_suspended_server_and_one_without_a_webhook_are_not_heard() {
    for policy in [
        ServerPolicy { suspend: true, ..ServerPolicy::default() },
        ServerPolicy { webhook: false, ..ServerPolicy::default() },
    ] {
        let home = household(vec![server(1, ServerKind::Plex, Some("abc"), policy)], vec![account(10, 1, "", None)]);
        let told = found(&home, &[1], ServerKind::Plex, notice(Some("abc"), Some(("1", "Anna")), What::Finished));
        assert_eq!(told, (Some(1), None, because(Reason::Off)));
    }
}

#[test]
fn the_same_event_is_known_again_and_another_is_not() {
    let home = household(vec![plex(1, Some("abc"))], vec![account(10, 1, "", Some(("1", "Anna")))]);
    let at = |second| Timestamp::from_second(second).unwrap();
    let event = |body: &[u8], sent: Option<i64>, received| {
        let told = Notice { sent_at: sent.map(at), ..notice(Some("abc"), Some(("1", "Anna")), What::Finished) };
        resolve(&home, &[1], ServerKind::Plex, told, body, 0, at(received))
    };
    let digest = |body: &[u8], sent, received| event(body, sent, received).digest;
    assert_eq!(digest(b"a", None, 1_200), digest(b"a", None, 1_210));
    assert_ne!(digest(b"a", None, 1_200), digest(b"b", None, 1_200));
    assert_ne!(digest(b"a", None, 1_200), digest(b"a", None, 9_000), "the same was told once more, hours later");
    assert_eq!(digest(b"a", Some(5), 1_200), digest(b"a", Some(5), 9_000), "its own stamp says that it is the same");
    assert_eq!(
        event(b"a", None, 1_200).earlier,
        Some(digest(b"a", None, 1_199)),
        "a retry may cross the edge of an interval"
    );
    assert_eq!(event(b"a", Some(5), 1_200).earlier, None);
}
