//! What programs read: results in JSON and YAML, the summary file, exit codes. And tables without what terminals alone understand.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use watchstate_tests::household::{Household, Ran};
use watchstate_tests::http::{Fault, Group};
use watchstate_tests::world::Flavor;

use crate::builders::*;

/// A household in which there is something of everything: plays, a failed write, a held plan, runs.
async fn eventful() -> Result<Household> {
    let (mut household, [one, other]) =
        household([("one", Flavor::Plex), ("other", Flavor::Jellyfin1011)], titles).await?;
    household.schedule("  import: {}\n  export: {}\n  policy:\n    unplayed:\n      count: 0\n      percent: 0\n");
    household.apply().await?.expect(0)?;
    watched(&one, "Heat", "2024-02-01T20:00:00Z");
    watched(&other, "Brazil", "2024-02-01T20:00:00Z");
    household.sync(&[]).await?;
    one.play_to_end(ANNA, &movie(&one, "Alien"))?;
    one.mark_unplayed(ANNA, &movie(&one, "Heat"))?;
    other.inject(Fault::status(400).group(Group::Write));
    household.worker(&["sync"]).await?.expect(1)?;
    Ok(household)
}

/// Every command that doesn't change the household.
fn commands(file: &str, folder: &str) -> Vec<Vec<String>> {
    [
        "apply --dry-run -f FILE",
        "import --dry-run",
        "export --dry-run",
        "push --dry-run",
        "sync --dry-run",
        "servers list",
        "servers show one",
        "servers check",
        "state",
        "state --unmatched",
        "state --conflict",
        "why Heat",
        "runs",
        "held list",
        "held list --all",
        "held show 1",
        "outbox list",
        "outbox list --dead",
        "prune --dry-run",
        "backup --to FOLDER",
        "restore FOLDER/anna.jsonl",
    ]
    .iter()
    .map(|command| command.replace("FILE", file).replace("FOLDER", folder).split(' ').map(str::to_owned).collect())
    .collect()
}

#[tokio::test]
async fn every_result_can_be_had_as_json_as_yaml_and_as_a_plain_table() -> Result<()> {
    let household = eventful().await?;
    let folder = household.folder().join("backup");
    std::fs::create_dir_all(&folder)?;
    let path = folder.to_str().context("a path")?;
    household.worker(&["backup", "--to", path]).await?.expect(0)?;
    let written = std::fs::read_dir(&folder)?.next().context("a file")??.path();
    std::fs::copy(written, folder.join("anna.jsonl"))?;
    let held = household.worker(&["held", "list", "-o", "json"]).await?.expect(0)?.json()?;
    let plan = held[0]["id"].to_string();
    let file = household.folder().join("servers.yaml");
    for mut command in commands(file.to_str().context("a path")?, path) {
        if command.starts_with(&["held".to_owned(), "show".to_owned()]) {
            command[2].clone_from(&plan);
        }
        let arguments =
            |format: &'static str| -> Vec<&str> { command.iter().map(String::as_str).chain(["-o", format]).collect() };
        let json = household.worker(&arguments("json")).await?;
        ensure!([0, 1, 3].contains(&json.code), "{command:?}: {json:#?}");
        let value: Value = json.json()?;
        ensure!(value.is_object() || value.is_array(), "{command:?}: {value}");
        let yaml = household.worker(&arguments("yaml")).await?;
        let from_yaml: Value =
            serde_saphyr::from_str(&yaml.stdout).with_context(|| format!("{command:?}: {}", yaml.stdout))?;
        ensure!(shape(&value) == shape(&from_yaml), "{command:?}: {value:#}\n{from_yaml:#}");
        let table = household.worker(&arguments("table")).await?;
        ensure!(table.code == json.code, "{command:?}: {table:#?}");
        plain(&table).with_context(|| format!("{command:?}"))?;
        ensure!(!table.stdout.trim().is_empty(), "{command:?} says something");
        for ran in [&json, &yaml] {
            ensure!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'), "{command:?}: {ran:#?}");
        }
    }
    Ok(())
}

/// The keys of a value: what two runs a moment apart have in common.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), shape(value))).collect::<serde_json::Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(shape).collect(),
        _ => Value::Null,
    }
}

/// No colours, no bars, nothing behind a line's last word.
fn plain(ran: &Ran) -> Result<()> {
    for text in [&ran.stdout, &ran.stderr] {
        ensure!(!text.contains(['\u{1b}', '\r', '\t']), "{text:?}");
    }
    for line in ran.stdout.lines() {
        ensure!(line.trim_end() == line, "something stands behind {line:?}");
    }
    ensure!(
        ran.stdout.ends_with('\n') && !ran.stdout.ends_with("\n\n"),
        "it ends with one line break: {:?}",
        ran.stdout
    );
    Ok(())
}

#[tokio::test]
async fn the_summary_file_is_json_that_fits_a_termination_message_and_agrees_with_the_exit_code() -> Result<()> {
    let (mut household, [one, other, held]) =
        household([("one", Flavor::Plex), ("other", Flavor::Jellyfin1011), ("held", Flavor::Emby49)], titles).await?;
    household.schedule("  policy:\n    unplayed:\n      count: 0\n      percent: 0\n");
    household.apply().await?.expect(0)?;
    watched(&held, "Heat", "2024-02-01T20:00:00Z");
    let file = household.folder().join("termination-log");
    let path = file.to_str().context("a path")?.to_owned();
    let run = async |arguments: &[&str], code: i32| -> Result<Value> {
        let all: Vec<&str> = arguments.iter().copied().chain(["--summary-file", &path]).collect();
        household.worker(&all).await?.expect(code)?;
        let text = std::fs::read_to_string(&file)?;
        std::fs::remove_file(&file)?;
        ensure!(text.len() < 4096, "{} bytes", text.len());
        let summary: Value = serde_json::from_str(&text)?;
        ensure!(summary["exitCode"] == code, "{summary:#}");
        Ok(summary)
    };
    let summary = run(&["sync"], 0).await?;
    assert_eq!(
        (&summary["outcome"], summary["servers"].as_array().map(Vec::len)),
        (&"done".into(), Some(6)),
        "{summary:#}"
    );
    for verb in ["import", "export", "push"] {
        run(&[verb], 0).await?;
        run(&[verb, "--dry-run"], 0).await?;
    }
    held.mark_unplayed(ANNA, &movie(&held, "Heat"))?;
    assert_eq!(run(&["import"], 3).await?["outcome"], "held");
    one.inject(Fault::status(500).group(Group::Libraries));
    assert_eq!(run(&["import"], 1).await?["outcome"], "try_again");
    other.inject(Fault::status(401));
    let summary = run(&["import", "--full"], 2).await?;
    assert_eq!(summary["outcome"], "configuration");
    let outcomes: Vec<&str> = summary["servers"]
        .as_array()
        .context("servers")?
        .iter()
        .filter_map(|report| report["outcome"].as_str())
        .collect();
    assert_eq!(outcomes, ["held", "try_again", "configuration"], "{summary:#}");
    Ok(())
}

#[tokio::test]
async fn a_summary_of_many_servers_that_all_fail_still_fits() -> Result<()> {
    let mut household = Household::new().await?;
    for number in 0..30 {
        let name = format!("a-server-with-quite-a-long-name-that-fills-the-summary-{number}");
        household.document(&format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: secret{number}\nstringData:\n  token: abc\n---\n\
             apiVersion: watchstate.dev/v1alpha1\nkind: MediaServer\nmetadata:\n  name: {name}\nspec:\n  type: Jellyfin\n  \
             url: http://127.0.0.1:1/with/a/long/path/that/is/told/in/every/error/{number}\n  tokenSecretRef:\n    name: secret{number}\n"
        ));
    }
    household.apply().await?.expect(0)?;
    let file = household.folder().join("termination-log");
    household.worker(&["sync", "--summary-file", file.to_str().context("a path")?]).await?.expect(1)?;
    let text = std::fs::read_to_string(&file)?;
    assert!(text.len() < 4096, "{} bytes", text.len());
    let summary: Value = serde_json::from_str(&text)?;
    assert_eq!((&summary["exitCode"], &summary["outcome"]), (&1.into(), &"try_again".into()), "{summary:#}");
    Ok(())
}

#[tokio::test]
async fn a_summary_that_can_not_be_written_is_said_and_the_work_is_done_all_the_same() -> Result<()> {
    let (household, [one, other]) = household([("one", Flavor::Plex), ("other", Flavor::Jellyfin1011)], titles).await?;
    watched(&one, "Heat", "2024-02-01T20:00:00Z");
    let nowhere = household.folder().join("no/such/folder/summary");
    let ran = household.worker(&["sync", "--summary-file", nowhere.to_str().context("a path")?]).await?;
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("summary") && ran.stderr.contains("no/such/folder"), "{ran:#?}");
    assert!(has(&other, "Heat").played);
    Ok(())
}

#[tokio::test]
async fn logs_go_to_stderr_and_results_to_stdout() -> Result<()> {
    let household = eventful().await?;
    for arguments in
        [&["-vvv", "import", "--full", "-o", "json"][..], &["-vvv", "--log-format", "text", "import", "-o", "json"]]
    {
        let ran = household.worker(arguments).await?;
        ran.json()?;
        assert!(!ran.stderr.is_empty(), "{ran:#?}");
        assert!(!ran.stderr.contains('\u{1b}'), "no bars and no colours where there is no terminal: {}", ran.stderr);
        if !arguments.contains(&"text") {
            for line in ran.stderr.lines() {
                serde_json::from_str::<Value>(line).with_context(|| format!("no JSON: {line}"))?;
            }
        }
    }
    Ok(())
}
