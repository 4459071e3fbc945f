//! Matching case by case: a few known titles, an item, and where it belongs. The laws of whole libraries stand in `tests/laws`.

use super::*;

const SHOW: TitleId = TitleId(900);

/// `imdb:tt0000001 tmdb:2`.
fn ids(text: &str) -> Ids {
    text.split_whitespace()
        .map(|id| {
            let (provider, value) = id.split_once(':').unwrap();
            ExternalId { provider: provider.parse().unwrap(), value: value.to_owned() }
        })
        .collect()
}

const fn place(season: u32, episode: u32) -> Numbering {
    Numbering { show: SHOW, season, episode }
}

fn movie(id: i64, text: &str, tellers: u32) -> Title {
    Title { id: TitleId(id), kind: Kind::Movie, ids: ids(text), numbering: None, tellers }
}

fn episode(id: i64, text: &str, numbering: Option<Numbering>) -> Title {
    Title { kind: Kind::Episode, numbering, ..movie(id, text, 2) }
}

fn catalogue(titles: Vec<Title>) -> Catalogue<impl Iterator<Item = TitleId>> {
    Catalogue::new(titles, [], (100..).map(TitleId))
}

struct Item {
    kind: Kind,
    ids: Ids,
    numbering: Option<Numbering>,
    path: Option<&'static str>,
    linked: Option<i64>,
}

fn film(text: &str) -> Item {
    Item { kind: Kind::Movie, ids: ids(text), numbering: None, path: None, linked: None }
}

fn part(text: &str, numbering: Numbering) -> Item {
    Item { kind: Kind::Episode, numbering: Some(numbering), ..film(text) }
}

fn at_path(path: &'static str) -> Item {
    Item { path: Some(path), ..film("") }
}

impl Item {
    fn linked(self, id: i64) -> Self {
        Self { linked: Some(id), ..self }
    }

    fn in_file(self, path: &'static str) -> Self {
        Self { path: Some(path), ..self }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            kind: self.kind,
            ids: &self.ids,
            numbering: self.numbering,
            path: self.path,
            linked: self.linked.map(TitleId),
        }
    }
}

/// Places the item, and once more, linked to what was found: the second time nothing may change.
fn place_twice<I: Iterator<Item = TitleId>>(catalogue: &mut Catalogue<I>, item: &Item) -> Placement {
    let placement = catalogue.place(&item.facts());
    let changes = catalogue.changes.clone();
    let again = catalogue.place(&Facts { linked: placement.title, ..item.facts() });
    assert_eq!(again.title, placement.title, "placing again finds the same title");
    assert_eq!(again.conflicts, placement.conflicts, "placing again tells the same conflicts");
    assert_eq!(catalogue.changes, changes, "placing again changes nothing");
    placement
}

fn conflict(with: i64, providers: &[Provider]) -> Conflict {
    Conflict { with: TitleId(with), providers: providers.to_vec() }
}

fn found(title: i64, by: By) -> Placement {
    Placement { title: Some(TitleId(title)), by, conflicts: Vec::new() }
}

#[test]
fn an_item_is_found_by_its_own_ids_of_its_own_kind() {
    let known = || {
        vec![
            movie(1, "imdb:tt0000001 tmdb:1", 1),
            Title { kind: Kind::Show, ..movie(2, "tmdb:2", 1) },
            episode(3, "tmdb:3", None),
        ]
    };
    let cases = [
        (film("imdb:tt0000001"), found(1, By::Ids)),
        (film("tmdb:1 tvdb:9"), found(1, By::Ids)),
        (film("tmdb:2"), found(100, By::New)),
        (film("tmdb:3"), found(100, By::New)),
        (Item { kind: Kind::Show, ..film("tmdb:2") }, found(2, By::Ids)),
        (Item { numbering: Some(place(1, 1)), ..film("tmdb:2") }, found(100, By::New)),
        (film(""), Placement { title: None, by: By::New, conflicts: vec![] }),
    ];
    for (item, expected) in cases {
        assert_eq!(place_twice(&mut catalogue(known()), &item), expected, "{}", item.ids);
    }
}

#[test]
fn ids_of_two_titles_that_contradict_nowhere_join_them() {
    let mut catalogue = catalogue(vec![movie(1, "imdb:tt0000001 path:/a.mkv", 1), movie(2, "tmdb:2 path:/b.mkv", 1)]);
    assert_eq!(place_twice(&mut catalogue, &film("imdb:tt0000001 tmdb:2 tvdb:3")), found(1, By::Ids));
    assert_eq!(catalogue.resolve(TitleId(2)), TitleId(1));
    assert_eq!(place_twice(&mut catalogue, &film("tmdb:2")), found(1, By::Ids));
    let changes = catalogue.into_changes();
    assert_eq!(changes.joined, [(TitleId(2), TitleId(1))]);
    assert_eq!(changes.learned, [(TitleId(1), ids("tvdb:3").iter().next().unwrap())]);
    assert_eq!((changes.created, changes.forgotten), (vec![], vec![]));
}

#[test]
fn ids_of_two_titles_that_contradict_keep_the_item_apart_from_both() {
    let mut catalogue = catalogue(vec![movie(1, "imdb:tt0000001 tvdb:1", 2), movie(2, "tmdb:2 tvdb:2", 2)]);
    let placement = place_twice(&mut catalogue, &film("imdb:tt0000001 tmdb:2 anidb:7"));
    assert_eq!(placement.title, Some(TitleId(100)));
    assert_eq!(placement.conflicts, [conflict(1, &[Provider::Tvdb]), conflict(2, &[Provider::Tvdb])]);
    let changes = catalogue.into_changes();
    assert_eq!(changes.created[0].ids, ids("anidb:7"), "ids of other titles aren't taken from them");
    assert!(changes.joined.is_empty() && changes.learned.is_empty());
}

#[test]
fn an_item_that_is_kept_apart_stays_with_its_own_title_even_if_no_id_is_left_for_it() {
    let mut catalogue =
        catalogue(vec![movie(1, "imdb:tt0000001 tvdb:1", 2), movie(2, "tmdb:2 tvdb:2", 2), movie(3, "", 1)]);
    let item = film("imdb:tt0000001 tmdb:2").linked(3);
    assert_eq!(place_twice(&mut catalogue, &item).title, Some(TitleId(3)));
    let of_another_kind = Item { kind: Kind::Show, ..film("tvdb:9") }.linked(3);
    assert_eq!(catalogue.place(&of_another_kind.facts()).title, Some(TitleId(100)));
}

#[test]
fn an_item_that_contradicts_a_title_of_others_stays_apart() {
    let mut catalogue = catalogue(vec![movie(1, "imdb:tt0000001 tmdb:1", 2)]);
    let placement = place_twice(&mut catalogue, &film("imdb:tt0000001 tmdb:5"));
    assert_eq!(placement.title, Some(TitleId(100)));
    assert_eq!(placement.conflicts, [conflict(1, &[Provider::Tmdb])]);
    assert_eq!(place_twice(&mut catalogue, &film("tmdb:5")), found(100, By::Ids));
}

#[test]
fn a_title_that_only_one_item_tells_follows_its_corrected_ids() {
    let corrected = || film("imdb:tt0000001 tmdb:5").linked(1);
    let mut alone = catalogue(vec![movie(1, "imdb:tt0000001 tmdb:1", 1)]);
    assert_eq!(place_twice(&mut alone, &corrected()), found(1, By::Ids));
    assert_eq!(alone.place(&film("tmdb:1").facts()).by, By::New);
    let changes = alone.into_changes();
    assert_eq!(changes.forgotten, [(TitleId(1), ids("tmdb:1").iter().next().unwrap())]);
    assert_eq!(changes.learned, [(TitleId(1), ids("tmdb:5").iter().next().unwrap())]);

    let mut told_by_others = catalogue(vec![movie(1, "imdb:tt0000001 tmdb:1", 2)]);
    assert_eq!(place_twice(&mut told_by_others, &corrected()).title, Some(TitleId(100)));
}

#[test]
fn an_item_with_corrected_ids_moves_to_the_title_that_they_name() {
    for text in ["tmdb:5", "imdb:tt0000001 tmdb:5"] {
        let mut catalogue = catalogue(vec![movie(1, "imdb:tt0000001 tmdb:1", 1), movie(2, "tmdb:5 tvdb:5", 2)]);
        let placement = catalogue.place(&film(text).linked(1).facts());
        assert_eq!(placement, found(2, By::Ids), "{text}");
        let tellers = |id| catalogue.titles[&TitleId(id)].tellers;
        assert_eq!((tellers(1), tellers(2)), (0, 3), "{text}");
        let changes = catalogue.into_changes();
        assert!(changes.joined.is_empty(), "what was watched under the wrong id stays there: {text}");
    }
}

#[test]
fn episodes_are_found_by_their_place_where_own_ids_say_nothing_else() {
    let known = || {
        vec![
            episode(1, "tvdb:11", Some(place(1, 1))),
            episode(2, "tvdb:12", Some(place(1, 2))),
            episode(3, "imdb:tt0000003", None),
            episode(4, "", Some(place(0, 1))),
        ]
    };
    let cases = [
        ("by place", part("", place(1, 1)), found(1, By::Numbering)),
        ("by place, and an id is learned", part("imdb:tt0000009", place(1, 1)), found(1, By::Numbering)),
        ("own ids go before another server's numbering", part("tvdb:12", place(1, 1)), found(2, By::Ids)),
        ("own ids and the place join", part("imdb:tt0000003", place(1, 2)), found(2, By::Ids)),
        ("a special", part("", place(0, 1)), found(4, By::Numbering)),
        ("a special isn't the first episode", part("", place(0, 2)), found(100, By::New)),
        ("a new episode", part("", place(1, 3)), found(100, By::New)),
    ];
    for (what, item, expected) in cases {
        assert_eq!(place_twice(&mut catalogue(known()), &item), expected, "{what}");
    }
    let mut catalogue = catalogue(known());
    let placement = place_twice(&mut catalogue, &part("tvdb:99", place(1, 1)));
    assert_eq!(placement.title, Some(TitleId(100)));
    assert_eq!(placement.conflicts, [conflict(1, &[Provider::Tvdb])], "another id at the same place");
}

#[test]
fn titles_of_two_places_are_never_joined() {
    let mut catalogue =
        catalogue(vec![episode(1, "imdb:tt0000001", Some(place(1, 1))), episode(2, "tvdb:2", Some(place(1, 2)))]);
    let placement = place_twice(&mut catalogue, &part("imdb:tt0000001 tvdb:2", place(1, 1)));
    assert_eq!(placement.title, Some(TitleId(100)));
    assert_eq!(placement.conflicts, [conflict(1, &[]), conflict(2, &[])]);
}

#[test]
fn paths_match_items_without_ids_only() {
    let mut catalogue = catalogue(vec![]);
    assert_eq!(place_twice(&mut catalogue, &at_path("/a.mkv")), found(100, By::New));
    assert_eq!(place_twice(&mut catalogue, &at_path("/a.mkv")), found(100, By::Path));
    assert_eq!(place_twice(&mut catalogue, &at_path("/b.mkv")), found(101, By::New));
    let with_id = film("tmdb:1").in_file("/a.mkv");
    assert_eq!(place_twice(&mut catalogue, &with_id), found(100, By::Path), "it is what that path was made for");
    let of_another = film("tmdb:2").in_file("/a.mkv");
    assert_eq!(place_twice(&mut catalogue, &of_another), found(102, By::New), "ids go before paths");
    let show = Item { kind: Kind::Show, ..at_path("/a.mkv") };
    assert_eq!(place_twice(&mut catalogue, &show), found(103, By::New), "kinds never mix");
}

#[test]
fn a_file_that_holds_two_episodes_doesnt_make_them_one() {
    let mut catalogue = catalogue(vec![]);
    assert_eq!(place_twice(&mut catalogue, &part("", place(1, 1)).in_file("/1-2.mkv")), found(100, By::New));
    assert_eq!(place_twice(&mut catalogue, &part("", place(1, 2)).in_file("/1-2.mkv")), found(101, By::New));
    assert_eq!(place_twice(&mut catalogue, &part("", place(1, 1)).in_file("/1-2.mkv")), found(100, By::Numbering));
}

#[test]
fn a_path_doesnt_join_what_ids_keep_apart() {
    let titles = vec![episode(1, "tvdb:1", None), episode(2, "tvdb:2", Some(place(1, 2)))];
    let paths = [(Kind::Episode, "/x.mkv".to_owned(), TitleId(1))];
    let mut catalogue = Catalogue::new(titles, paths, (100..).map(TitleId));
    assert_eq!(place_twice(&mut catalogue, &part("", place(1, 2)).in_file("/x.mkv")), found(2, By::Numbering));
    assert!(catalogue.into_changes().joined.is_empty());
}

#[test]
fn a_path_doesnt_join_what_is_kept_apart_to_what_the_place_names() {
    let titles = vec![episode(1, "tmdb:1", Some(place(1, 1))), episode(2, "", None)];
    let paths = [(Kind::Episode, "/x.mkv".to_owned(), TitleId(2))];
    let mut catalogue = Catalogue::new(titles, paths, (100..).map(TitleId));
    assert_eq!(place_twice(&mut catalogue, &part("", place(1, 1)).in_file("/x.mkv")), found(1, By::Numbering));
    assert!(catalogue.into_changes().joined.is_empty());
}

#[test]
fn copies_and_bridges_within_one_batch_leave_no_trace_of_titles_that_never_were() {
    let mut catalogue = catalogue(vec![movie(1, "tvdb:1", 1)]);
    assert_eq!(catalogue.place(&film("imdb:tt0000001").facts()), found(100, By::New));
    assert_eq!(catalogue.place(&film("imdb:tt0000001").facts()), found(100, By::Ids), "a copy");
    assert_eq!(catalogue.place(&film("tmdb:1").facts()), found(101, By::New));
    assert_eq!(catalogue.place(&film("imdb:tt0000001 tmdb:1").facts()), found(100, By::Ids));
    assert_eq!(catalogue.place(&film("tmdb:1 tvdb:1").facts()), found(1, By::Ids));
    assert_eq!([100, 101].map(|id| catalogue.resolve(TitleId(id))), [TitleId(1); 2]);
    let linked_to_the_first = film("tmdb:1").linked(101);
    let tellers = catalogue.titles[&TitleId(1)].tellers;
    catalogue.place(&linked_to_the_first.facts());
    assert_eq!(catalogue.titles[&TitleId(1)].tellers, tellers, "a link is followed through every join");
    let changes = catalogue.into_changes();
    assert_eq!((changes.created, changes.joined), (vec![], vec![]));
    assert_eq!(changes.learned.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [TitleId(1); 2]);
}

#[test]
fn what_a_title_learned_before_it_was_joined_belongs_to_the_one_that_is_left() {
    let mut catalogue = catalogue(vec![movie(1, "imdb:tt0000001", 1), movie(2, "tmdb:2", 1)]);
    catalogue.place(&film("tmdb:2 anidb:7").facts());
    catalogue.place(&film("imdb:tt0000001 tmdb:2").facts());
    let changes = catalogue.into_changes();
    assert_eq!(changes.joined, [(TitleId(2), TitleId(1))]);
    assert_eq!(changes.learned, [(TitleId(1), ids("anidb:7").iter().next().unwrap())]);
}

#[test]
fn without_fresh_keys_nothing_is_made() {
    let mut catalogue = Catalogue::new([], [], std::iter::empty());
    assert_eq!(catalogue.place(&film("tmdb:1").facts()).title, None);
    assert_eq!(catalogue.into_changes(), Changes::default());
}
