//! The commands that people ask with, by the real binary on a real Postgres: `commands/rows.sql` holds the household.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection};

/// A database of its own, and a folder.
struct House {
    database: watchstate_tests::postgres::Database,
    folder: tempfile::TempDir,
}

impl House {
    /// An installation without servers and persons.
    async fn empty() -> Self {
        let database = watchstate_tests::postgres::database().await.expect("a database");
        let house = Self { database, folder: tempfile::tempdir().expect("a folder") };
        // The schema is made by the first command.
        assert_eq!(house.json(&["runs"]), Value::Array(Vec::new()));
        house
    }

    async fn full() -> Self {
        let house = Self::empty().await;
        let mut connection = PgConnection::connect(&house.database.url).await.expect("a connection");
        connection.execute(include_str!("commands/rows.sql")).await.expect("the rows");
        house
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_watchstate-worker"));
        command
            .args(args)
            .env_clear()
            .env("DATABASE_URL", &self.database.url)
            .env("WATCHSTATE_DATA", self.folder.path());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the worker runs")
    }

    fn text(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
        serde_json::from_str(&self.text(&args)).expect("JSON")
    }

    /// What is printed to stderr by a command that must end with this code.
    fn refused(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        String::from_utf8(output.stderr).expect("UTF-8")
    }

    fn backup(&self, person: &str) -> String {
        self.text(&["backup", "--to", "-", "--person", person])
    }

    fn file(&self, text: &str) -> String {
        let file = self.folder.path().join("restore.jsonl");
        std::fs::write(&file, text).expect("a file");
        file.display().to_string()
    }
}

/// All lines but the header, whose moment differs.
fn titles(backup: &str) -> BTreeSet<&str> {
    backup.lines().skip(1).collect()
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Person and title of each row.
fn rows(value: &Value) -> Vec<(&str, &str)> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| (row["person"].as_str().unwrap_or_default(), row["title"].as_str().unwrap_or_default()))
        .collect()
}

#[tokio::test]
async fn a_backup_restored_into_an_empty_installation_is_whole_and_twice_changes_nothing() {
    let (full, fresh) = (House::full().await, House::empty().await);
    let backup = full.backup("anna");
    assert_eq!(titles(&backup).len(), 5, "{backup}");
    let file = fresh.file(&backup);

    let dry = fresh.json(&["restore", &file]);
    assert_eq!((&dry["executed"], &dry["newTitles"], &dry["playsAdded"]), (&false.into(), &5.into(), &5.into()));
    assert!(
        fresh.refused(2, &["state", "--person", "anna"]).contains("no person \"anna\""),
        "a dry run stores nothing"
    );

    let first = fresh.json(&["restore", &file, "--execute"]);
    assert_eq!((&first["executed"], &first["newPerson"], &first["played"]), (&true.into(), &true.into(), &4.into()));
    assert_eq!(titles(&fresh.backup("anna")), titles(&backup));

    let second = fresh.json(&["restore", &file, "--execute"]);
    assert_eq!((&second["unchanged"], &second["lines"]), (&5.into(), &5.into()));
    assert_eq!((&second["newTitles"], &second["playsAdded"]), (&0.into(), &0.into()));
    assert_eq!(titles(&fresh.backup("anna")), titles(&backup));

    let home = full.json(&["restore", &file, "--execute"]);
    assert_eq!(home["unchanged"], 5, "the database that it came from knows it all: {home}");
}

#[tokio::test]
async fn a_restore_never_takes_away_what_is_known() {
    let house = House::full().await;
    let before = house.backup("anna");
    let header = before.lines().next().unwrap();
    let file = house.file(&format!(
        "{header}\n{}\n{}\n",
        r#"{"kind":"movie","title":"Heat","ids":{"imdb":"tt0113277"},"played":false,"changedAt":"2019-01-01T00:00:00Z"}"#,
        r#"{"kind":"episode","title":"?","show":{"title":"Severance","ids":{"tvdb":"371980"}},"season":1,"episode":5,"played":true,"playedAt":"2026-10-03T20:00:00Z"}"#,
    ));
    let report = house.json(&["restore", &file, "--execute"]);
    assert_eq!((&report["unchanged"], &report["played"], &report["newTitles"]), (&1.into(), &1.into(), &0.into()));
    let after = house.backup("anna");
    let (before, after) = (titles(&before), titles(&after));
    assert_eq!(before.difference(&after).count(), 1, "only the episode that was played since is another");
    let watched = house.json(&["state", "--title", "grim"]);
    assert_eq!((&watched[0]["played"], &watched[0]["via"]), (&true.into(), &"restore".into()));
}

#[tokio::test]
async fn one_bad_line_and_nothing_of_the_file_is_stored() {
    let (full, fresh) = (House::full().await, House::empty().await);
    let bad = format!("{}{}\n", full.backup("anna"), r#"{"kind":"movie","ids":{"imdb":"heat"}}"#);
    let error = fresh.refused(2, &["restore", &fresh.file(&bad), "--execute"]);
    assert!(error.contains("line 7: ids: \"heat\" is not an id of imdb"), "{error}");
    assert_eq!(fresh.json(&["state"]), Value::Array(Vec::new()));
    assert_eq!(fresh.json(&["backup", "--to", &fresh.folder.path().display().to_string()]), Value::Array(Vec::new()));
}

#[tokio::test]
async fn a_folder_of_backups_keeps_the_newest_of_each_person() {
    let house = House::full().await;
    let folder = house.folder.path().join("backups");
    let to = folder.display().to_string();
    std::fs::create_dir(&folder).unwrap();
    for old in ["anna.20200101T000000Z.jsonl", "anna.20210101T000000Z.jsonl", "ben.20200101T000000Z.jsonl", "notes.txt"]
    {
        std::fs::write(folder.join(old), "").unwrap();
    }
    let written = house.json(&["backup", "--to", &to, "--person", "anna", "--keep", "2"]);
    assert_eq!(written[0]["titles"], 5);
    let new = Path::new(written[0]["file"].as_str().unwrap()).file_name().unwrap().to_str().unwrap().to_owned();
    let names: BTreeSet<String> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let expected = ["anna.20210101T000000Z.jsonl", "ben.20200101T000000Z.jsonl", "notes.txt", &new].map(str::to_owned);
    assert_eq!(names, BTreeSet::from(expected));
}

#[tokio::test]
async fn why_tells_for_each_server_what_was_decided_and_what_becomes_of_it() {
    let house = House::full().await;
    let explained = house.json(&["why", "heat", "--person", "anna"]);
    assert_eq!(explained["total"], 2);
    let heat = &explained["titles"][0];
    assert_eq!(heat["title"], "Heat");
    let anna = &heat["persons"][0];
    assert_eq!((&anna["rule"], anna["history"].as_array().map(Vec::len)), (&"newly-played".into(), Some(2)));
    let verdicts: Vec<(&str, &str)> = anna["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|item| Some((item["server"].as_str()?, item["verdict"]["status"].as_str()?)))
        .collect();
    assert_eq!(verdicts, [("emby", "barred"), ("jelly", "given-up"), ("plex", "agrees")]);
    let gone = &explained["titles"][1]["persons"][0]["items"][0];
    assert_eq!((&gone["server"], &gone["verdict"]["status"]), (&"plex".into(), &"gone".into()));

    let plex = &anna["items"][2]["seen"];
    assert_eq!(plex["lastPlayedAt"], "2026-10-01T20:00:00Z", "a stamp of a clock one hour ahead");

    let episode = house.text(&["why", "sever 1x05"]);
    assert!(episode.contains("the file holds 2 episodes, of which 1 are played"), "{episode}");
    let odd = house.json(&["why", "tmdb:5"]);
    let odd = &odd["titles"][0]["persons"][0]["items"][0];
    assert_eq!((&odd["verdict"]["status"], &odd["conflicts"][0]["title"]), (&"held".into(), &"Heat (1995)".into()));
    let show = house.json(&["why", "tvdb:371980"]);
    assert_eq!(
        (&show["titles"][0]["progress"][0]["played"], &show["titles"][0]["progress"][0]["episodes"]),
        (&1.into(), &2.into())
    );

    assert!(house.refused(2, &["why", "holiday"]).contains("1 items of that name couldn't be matched"));
    assert!(house.refused(2, &["why", "imdb:949"]).contains("\"949\" is not an id of imdb"));
}

/// A filter, and the person and title of each row that it lets through.
type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);

#[tokio::test]
async fn state_shows_what_the_filters_let_through_and_who_disagrees() {
    let house = House::full().await;
    let all = house.json(&["state"]);
    let expected = [
        ("anna", "Heat"),
        ("ben", "Heat"),
        ("anna", "Heat Wave"),
        ("ben", "Heat Wave"),
        ("anna", "Odd one"),
        ("anna", "In Perpetuity"),
        ("anna", "The Grim Barbarity"),
    ];
    assert_eq!(rows(&all), expected);
    assert_eq!(
        (strings(&all[0]["servers"]), strings(&all[0]["disagree"])),
        (vec!["emby", "jelly", "plex"], vec!["emby", "jelly"])
    );
    let cases: [Case<'_>; 7] = [
        (&["--person", "ben"], &[("ben", "Heat"), ("ben", "Heat Wave")]),
        (&["--title", "HEAT W", "--played"], &[("anna", "Heat Wave")]),
        (&["--title", "sever", "--unplayed"], &[("anna", "The Grim Barbarity")]),
        (&["--show", "severance"], &[("anna", "In Perpetuity"), ("anna", "The Grim Barbarity")]),
        (&["--server", "jelly"], &[("anna", "Heat"), ("ben", "Heat"), ("anna", "Odd one")]),
        (&["--changed-since", "2026-10-01T00:00:00Z", "--played"], &[("anna", "Heat"), ("anna", "In Perpetuity")]),
        (&["--limit", "1"], &[("anna", "Heat")]),
    ];
    for (filter, expected) in cases {
        let args: Vec<&str> = ["state"].iter().chain(filter).copied().collect();
        assert_eq!(rows(&house.json(&args)), expected, "{filter:?}");
    }
    let conflict = house.json(&["state", "--conflict"]);
    assert_eq!((&conflict[0]["item"], &conflict[0]["contradicts"][0]["providers"][0]), (&"odd".into(), &"tmdb".into()));
    let unmatched = house.json(&["state", "--unmatched"]);
    assert_eq!((&unmatched[0]["title"], &unmatched[0]["junkIds"]), (&"Holiday Video".into(), &2.into()));
    assert!(house.refused(2, &["state", "--server", "nas"]).contains("known: emby, jelly, plex"));
}

#[tokio::test]
async fn a_title_is_found_as_it_is_printed_and_by_its_ids() {
    let house = House::full().await;
    let told = |args: &[&str]| house.json(args).to_string();
    let heat = ["Heat (1995)", "heat (1995)", "tt0113277", "imdb:tt0113277", "tmdb:949"];
    let episode = ["Severance S01E03", "Severance S01E03 In Perpetuity", "Severance (2022) S01E03"];
    let season = ["Severance S01", "Severance (2022)", "tvdb:371980"];
    for (questions, found, not) in [
        (&heat[..], &["Heat"][..], &["Heat Wave", "In Perpetuity"][..]),
        (&episode, &["In Perpetuity"], &["Heat", "The Grim Barbarity"]),
        (&season, &["In Perpetuity", "The Grim Barbarity"], &["Heat"]),
    ] {
        for question in questions {
            let state = house.json(&["state", "--person", "anna", "-t", question]);
            let titles: Vec<&str> = rows(&state).into_iter().map(|(_, title)| title).collect();
            // One is the item whose ids contradict Heat's.
            assert!(titles.iter().filter(|title| **title != "Odd one").eq(found), "{question}: {titles:?}");
            let why = house.json(&["why", question]);
            let titles: Vec<&str> =
                why["titles"].as_array().into_iter().flatten().filter_map(|title| title["title"].as_str()).collect();
            let named = |title: &&&str| titles.contains(*title);
            let show = titles == ["Severance"];
            assert!(show || found.iter().filter(named).count() == found.len(), "{question}: {titles:?}");
            assert!(!not.iter().any(|title| titles.contains(title)), "{question}: {titles:?}");
        }
    }
    assert!(told(&["state", "-t", "Heat (1996)"]) == "[]", "another year is another film");
    assert!(house.refused(2, &["why", "Heat (1996)"]).contains("no title matches"));
}

#[tokio::test]
async fn a_moment_is_asked_for_by_date_or_span_and_days_as_in_a_resource() {
    let house = House::full().await;
    let since = |when: &str| rows(&house.json(&["state", "--played", "--changed-since", when])).len();
    assert_eq!((since("2026-10-01"), since("2026-10-03"), since("900y")), (2, 0, 4));
    let told = house.refused(2, &["state", "--changed-since", "yesterday"]);
    assert!(told.contains("2026-01-31") && told.contains("7d"), "{told}");
    assert_eq!(
        house.json(&["prune", "--dry-run", "--keep-runs", "30"])["removed"],
        house.json(&["prune", "--dry-run", "--keep-runs", "30d"])["removed"]
    );
}

#[tokio::test]
async fn a_database_that_lets_nobody_in_is_a_matter_of_configuration_and_told_once() {
    let house = House::full().await;
    let mut other = url::Url::parse(&house.database.url).expect("an address");
    other.set_path("/nobodys");
    let mut stranger = url::Url::parse(&house.database.url).expect("an address");
    stranger.set_password(Some("hunter2-wrong")).expect("a password");
    stranger.set_username("nobody-of-ours").expect("a user");
    for (url, word) in [(other, "nobodys"), (stranger, "nobody-of-ours")] {
        let told = house.refused(2, &["--database", url.as_str(), "servers", "list"]);
        assert!(told.contains("DATABASE_URL") && told.matches(word).count() == 1, "{told}");
        assert!(!told.contains("at line") && !told.contains("hunter2"), "{told}");
    }
}

#[tokio::test]
async fn an_empty_variable_is_one_that_isnt_set() {
    let house = House::full().await;
    let output = house
        .command(&["state", "--database", &house.database.url, "-o", "json"])
        .envs([
            ("DATABASE_URL", ""),
            ("WATCHSTATE_SCHEDULE", ""),
            ("WATCHSTATE_TOKENS", ""),
            ("WATCHSTATE_SUMMARY_FILE", ""),
        ])
        .envs([("WATCHSTATE_LOG_FORMAT", ""), ("WATCHSTATE_PLEX_TV_URL", "")])
        .output()
        .expect("the worker runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn what_leads_nowhere_is_told() {
    let house = House::full().await;
    let file = house.file(&house.backup("anna"));
    let told = house.text(&["restore", &file, "--person", "zed", "--execute"]);
    assert!(told.contains("No account is zed's: nothing will be written anywhere"), "{told}");
    assert!(!house.text(&["restore", &file]).contains("No account"), "anna has some");
    assert!(house.refused(2, &["backup", "--to", "ftp://nas/x"]).contains("s3://bucket/prefix"));
    assert!(house.refused(2, &["inbox", "list", "-s", "nope"]).contains("known: emby, jelly, plex"));
    assert!(house.text(&["servers", "token", "plex"]).contains("--url http://ADDRESS:8080"));
    assert!(!house.text(&["servers", "token", "plex", "--url", "http://nas:8080"]).contains("ADDRESS"));
}

#[tokio::test]
async fn what_was_done_is_told_though_its_summary_cant_be_kept() {
    let house = House::full().await;
    let output = house.run(&["export", "--dry-run", "--summary-file", "/nowhere/summary.json"]);
    let (told, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("Dry run") && error.contains("/nowhere/summary.json"), "{told}\n{error}");
    assert!(told.contains("held approve 1"), "a plan waits: {told}");
}

#[tokio::test]
async fn no_command_prints_what_may_be_a_secret() {
    let house = House::full().await;
    let commands: [&[&str]; 5] =
        [&["servers", "list"], &["servers", "show", "plex"], &["state"], &["why", "heat"], &["runs"]];
    for command in commands {
        for format in ["table", "json", "yaml"] {
            let args: Vec<&str> = command.iter().copied().chain(["-o", format]).collect();
            let text = house.text(&args);
            assert!(!text.is_empty() && !text.contains("hunter2"), "{args:?}: {text}");
        }
    }
}

#[tokio::test]
async fn a_plan_is_shown_decided_once_and_then_refused() {
    let house = House::full().await;
    assert_eq!(house.json(&["held", "list"])[0]["server"], "jelly");
    assert_eq!(house.json(&["held", "show", "1"])["titles"][0]["title"], "Odd one");
    let approved = house.json(&["held", "approve", "1"]);
    assert_eq!((&approved["decision"], &approved["unplays"]), (&"approved".into(), &1.into()));
    assert_eq!(house.json(&["state", "--title", "odd"])[0]["played"], false);
    assert!(house.refused(2, &["held", "discard", "1"]).contains("it is approved"));
    assert!(house.refused(2, &["held", "approve", "7"]).contains("no plan 7"));
    assert_eq!(house.json(&["held", "list"]), Value::Array(Vec::new()));
}

#[tokio::test]
async fn writes_that_were_given_up_are_listed_and_tried_again() {
    let house = House::full().await;
    let dead = house.json(&["outbox", "list", "--dead"]);
    assert_eq!((&dead[0]["title"], &dead[0]["attempts"]), (&"Heat".into(), &10.into()));
    let id = dead[0]["id"].to_string();
    assert_eq!(house.json(&["outbox", "retry", &id])["retried"], 1);
    assert_eq!(house.json(&["outbox", "list", "--dead"]), Value::Array(Vec::new()));
    assert_eq!(house.json(&["outbox", "list"])[0]["state"], "pending");
    assert!(house.refused(2, &["outbox", "retry", "999"]).contains("no write 999"));
}

#[tokio::test]
async fn prune_tells_first_and_never_touches_history() {
    let house = House::full().await;
    let history = house.backup("anna");
    let removed =
        |report: &Value| ["runs", "writes", "items", "titles"].map(|what| report["removed"][what].as_i64().unwrap());
    let dry = house.json(&["prune", "--dry-run", "--keep-titles", "0"]);
    // The first run's plan waits: it stays.
    assert_eq!(removed(&dry), [1, 1, 1, 0]);
    let done = house.json(&["prune", "--keep-titles", "0"]);
    assert_eq!(removed(&done), [1, 1, 1, 0]);
    assert_eq!(removed(&house.json(&["prune", "--keep-titles", "0"])), [0, 0, 0, 0]);
    assert_eq!(titles(&house.backup("anna")), titles(&history));
    // Marks of ours go with the items that bear them.
    let mut connection = PgConnection::connect(&house.database.url).await.expect("a connection");
    let marks: Vec<String> =
        sqlx::query_scalar("select item_remote_id from own_mark").fetch_all(&mut connection).await.expect("rows");
    assert_eq!(marks, ["1001"]);
}

#[tokio::test]
async fn what_a_run_found_is_approved_together_and_said_twice_it_is_done_once() {
    let house = House::full().await;
    let run = house.json(&["held", "list"])[0]["run"].to_string();
    assert_eq!(house.json(&["held", "approve", "--run", &run])["unplays"], 1);
    assert_eq!(house.json(&["state", "--title", "odd"])[0]["played"], false);
    assert_eq!(house.text(&["held", "approve", "--run", &run]), "", "nothing is left to do");
    assert!(house.refused(2, &["held", "approve", "--run", "99"]).contains("run 99 has no plan that waits"));
}

#[tokio::test]
async fn a_server_at_which_another_worker_is_gets_waited_for_where_that_is_asked() {
    let house = House::full().await;
    let mut other = PgConnection::connect(&house.database.url).await.expect("a connection");
    other.execute("select pg_advisory_lock(x'57530001'::int, 1)").await.expect("the lane");
    assert!(house.text(&["import", "--server", "plex"]).contains("another worker is at it"));

    let mut waiting = house.command(&["import", "--server", "plex", "--wait"]).spawn().expect("the worker runs");
    let blocked = "select count(*) from pg_locks l join pg_database d on d.oid = l.database where d.datname = current_database() and not granted";
    while sqlx::query_scalar::<_, i64>(blocked).fetch_one(&mut other).await.expect("an answer") == 0 {
        assert!(waiting.try_wait().expect("a state").is_none(), "it waits for nobody");
        tokio::task::yield_now().await;
    }
    other.execute("select pg_advisory_unlock_all()").await.expect("an answer");
    let ended = waiting.wait().expect("an end");
    assert_eq!(ended.code(), Some(2), "it was its turn, and there is no token here");
}

/// Objects by their path, as a service that speaks S3 keeps them.
#[derive(Clone, Default)]
struct Objects(std::sync::Arc<std::sync::Mutex<std::collections::BTreeMap<String, String>>>);

impl wiremock::Respond for Objects {
    fn respond(&self, request: &wiremock::Request) -> wiremock::ResponseTemplate {
        let mut objects = self.0.lock().expect("the objects");
        let query: std::collections::BTreeMap<_, _> = request.url.query_pairs().collect();
        let signed = query.get("X-Amz-Credential").is_some_and(|who| who.starts_with("AKIA1/"))
            && query.contains_key("X-Amz-Signature");
        if !signed {
            let denied = "<Error><Code>AccessDenied</Code><Message>k3y</Message></Error>";
            return wiremock::ResponseTemplate::new(403).set_body_string(denied);
        }
        let path = request.url.path().to_owned();
        match request.method.as_str() {
            "PUT" => {
                let length =
                    request.headers.get("content-length").and_then(|length| length.to_str().ok()).map(str::to_owned);
                assert_eq!(length, Some(request.body.len().to_string()), "S3 wants to know the length first");
                objects.insert(path, String::from_utf8(request.body.clone()).expect("UTF-8"));
            }
            "DELETE" => assert!(objects.remove(&path).is_some(), "{path}"),
            _ => {
                let prefix = query.get("prefix").cloned().unwrap_or_default();
                let keys = objects
                    .keys()
                    .filter_map(|path| path.strip_prefix("/home-backups/"))
                    .filter(|key| key.starts_with(&*prefix));
                let found: Vec<String> = keys.map(|key| format!("<Contents><Key>{key}</Key></Contents>")).collect();
                let found = found.concat();
                let list = format!(
                    "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{found}</ListBucketResult>"
                );
                return wiremock::ResponseTemplate::new(200).set_body_string(list);
            }
        }
        wiremock::ResponseTemplate::new(200)
    }
}

#[tokio::test]
async fn backups_go_to_a_bucket_whole_and_older_ones_go_there_too() {
    let house = House::full().await;
    let (service, objects) = (wiremock::MockServer::start().await, Objects::default());
    wiremock::Mock::given(wiremock::matchers::any()).respond_with(objects.clone()).mount(&service).await;
    let old = "/home-backups/deep/er/anna.20200101T000000Z.jsonl";
    let others = ["/home-backups/deep/er/notes.txt", "/home-backups/anna.20200101T000000Z.jsonl"];
    for path in others.into_iter().chain([old]) {
        objects.0.lock().expect("the objects").insert(path.to_owned(), "old".to_owned());
    }
    let args = ["backup", "--to", "s3://home-backups/deep/er", "--keep", "1", "--person", "anna", "-o", "json"];
    let send = |id: &str| {
        let mut command = house.command(&args);
        command
            .env("AWS_ENDPOINT_URL_S3", service.uri())
            .env("AWS_ACCESS_KEY_ID", id)
            .env("AWS_SECRET_ACCESS_KEY", "s3cr3t");
        command.output().expect("the worker runs")
    };
    let output = send("AKIA1");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report[0]["removed"][0], "s3://home-backups/deep/er/anna.20200101T000000Z.jsonl");
    let kept = objects.0.lock().expect("the objects").clone();
    assert_eq!(kept.len(), 3, "{:?}", kept.keys());
    assert!(others.iter().all(|path| kept.contains_key(*path)), "what isn't anna's there stays: {:?}", kept.keys());
    let backup = kept.iter().find(|(path, _)| path.starts_with("/home-backups/deep/er/anna.")).expect("the backup").1;
    assert_eq!(titles(backup), titles(&house.backup("anna")));

    let refused = send("AKIA2");
    let told = String::from_utf8(refused.stderr).expect("UTF-8");
    assert_eq!(refused.status.code(), Some(2), "{told}");
    assert!(told.contains("403") && told.contains("AccessDenied") && told.contains("access key"), "{told}");
    assert!(!told.contains("s3cr3t") && !told.contains("Signature") && !told.contains("k3y"), "{told}");
}
