//! `why` and `state` tell the truth about what happened.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use watchstate_tests::household::Household;
use watchstate_tests::world::Flavor;

use crate::builders::*;

/// What `why` says of anna and the one title with this name.
async fn why(household: &Household, title: &str) -> Result<Value> {
    let told = household.worker(&["why", title, "-o", "json"]).await?.expect(0)?.json()?;
    assert_eq!(told["total"], 1, "{told:#}");
    told["titles"][0]["persons"].get(0).cloned().context("a person was expected")
}

/// The items of a server in what `why` says.
fn item(told: &Value, server: &str) -> Value {
    let items: Vec<&Value> =
        told["items"].as_array().into_iter().flatten().filter(|item| item["server"] == server).collect();
    assert_eq!(items.len(), 1, "{server}: {told:#}");
    items[0].clone()
}

on_every_kind! {
    async fn why_names_the_server_that_told_the_rule_that_decided_and_what_was_written(flavor: Flavor) -> Result<()> {
        let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin12)], titles).await?;
        watched(&there, "Heat", "2024-02-01T20:00:00Z");
        household.sync(&[]).await?;
        let told = why(&household, "Heat").await?;
        assert_eq!((&told["played"], &told["via"], &told["rule"]), (&json!(true), &json!("there"), &json!("first-sight-played")), "{told:#}");
        assert_eq!(told["history"].as_array().map(Vec::len), Some(1));
        assert_eq!(told["history"][0]["playedAt"], "2024-02-01T20:00:00Z");
        let (at_here, at_there) = (item(&told, "here"), item(&told, "there"));
        assert_eq!(at_here["item"], movie(&here, "Heat"));
        assert_eq!(at_here["writes"][0]["want"], "played");
        assert_eq!(at_here["writes"][0]["state"], "written");
        assert_eq!(at_here["seen"]["played"], true);
        assert_eq!(at_there["writes"], json!([]));
        let text = household.worker(&["why", "Heat"]).await?.expect(0)?.stdout;
        assert!(text.contains("Heat") && text.contains("here") && text.contains("there"), "{text}");

        // Nothing of it changes by looking again, and the next play is named as one.
        household.sync(&["--full"]).await?;
        here.clock().time().advance(jiff::SignedDuration::from_secs(1));
        here.play_to_end(ANNA, &movie(&here, "Heat"))?;
        household.sync(&[]).await?;
        let told = why(&household, "imdb:tt0113277").await?;
        assert_eq!((&told["via"], &told["rule"], &told["plays"]), (&json!("here"), &json!("played-again"), &json!(2)), "{told:#}");

        household.sync(&["--full"]).await?;
        there.mark_unplayed(ANNA, &movie(&there, "Heat"))?;
        household.sync(&[]).await?;
        let told = why(&household, "Heat").await?;
        assert_eq!((&told["played"], &told["via"], &told["rule"]), (&json!(false), &json!("there"), &json!("newly-unplayed")), "{told:#}");
        let last = item(&told, "here")["writes"].as_array().and_then(|writes| writes.last().cloned()).context("a write")?;
        assert_eq!((&last["want"], &last["state"]), (&json!("unplayed"), &json!("written")), "{told:#}");
        Ok(())
    }

    async fn why_says_that_a_file_was_replaced_and_the_mark_written_back(flavor: Flavor) -> Result<()> {
        let (household, [here, _there]) = household([("here", flavor), ("there", Flavor::Plex)], titles).await?;
        watched(&here, "Heat", "2024-02-01T20:00:00Z");
        household.sync(&[]).await?;
        let heat = movie(&here, "Heat");
        let path = here.read(|model| model.media[&heat].path.clone());
        here.replace_file(&heat, &path)?;
        here.set_state(ANNA, &heat, &watchstate_tests::world::UserState::default())?;
        household.worker(&["import"]).await?.expect(0)?;
        let told = why(&household, "Heat").await?;
        let at_here = item(&told, "here");
        assert_eq!(at_here["seen"]["rule"], "file-replaced", "{told:#}");
        assert_eq!(told["played"], true);
        household.worker(&["export"]).await?.expect(0)?;
        let told = why(&household, "Heat").await?;
        assert_eq!(item(&told, "here")["writes"][0]["state"], "written", "{told:#}");
        Ok(())
    }

    async fn state_names_who_disagrees_until_it_was_told(flavor: Flavor) -> Result<()> {
        let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin12)], titles).await?;
        watched(&there, "Heat", "2024-02-01T20:00:00Z");
        put(&here, "Brazil", paused(40, "2024-02-01T20:00:00Z"));
        household.worker(&["import"]).await?.expect(0)?;
        let heat = truth(&household, "Heat").await?;
        assert_eq!((&heat["servers"], &heat["disagree"]), (&json!(["here", "there"]), &json!(["here"])), "{heat:#}");
        let brazil = truth(&household, "Brazil").await?;
        assert_eq!((&brazil["disagree"], &brazil["positionMs"]), (&json!(["there"]), &json!(minutes(40))), "{brazil:#}");
        household.worker(&["export"]).await?.expect(0)?;
        assert_eq!(truth(&household, "Heat").await?["disagree"], json!([]));
        let names = |arguments: &'static [&'static str]| {
            let household = &household;
            async move {
                let all: Vec<&str> = ["state", "-o", "json"].into_iter().chain(arguments.iter().copied()).collect();
                let lines = household.worker(&all).await?.expect(0)?.json()?;
                let name = |line: &Value| line["title"].as_str().unwrap_or_default().to_owned();
                anyhow::Ok(lines.as_array().into_iter().flatten().map(name).collect::<Vec<_>>())
            }
        };
        assert_eq!(names(&["--played"]).await?, ["Heat"]);
        assert_eq!(names(&["--played", "--server", "here"]).await?, ["Heat"]);
        assert_eq!(names(&["--show", "wire"]).await?.len(), 3);
        assert_eq!(names(&["--unplayed", "--title", "brazil"]).await?, ["Brazil"]);
        assert_eq!(names(&["--changed-since", "2099-01-01T00:00:00Z"]).await?, Vec::<String>::new());
        assert_eq!(names(&["--unmatched"]).await?, Vec::<String>::new());
        Ok(())
    }
}

#[tokio::test]
async fn an_item_with_nothing_to_match_by_is_listed_as_unmatched() -> Result<()> {
    let (household, [here]) = household([("here", Flavor::Jellyfin1011)], titles).await?;
    here.add_movie(&film("Holiday 2007", 2007));
    household.sync(&[]).await?;
    let lines = household.worker(&["state", "--unmatched", "-o", "json"]).await?.expect(0)?.json()?;
    assert_eq!(lines.as_array().map(Vec::len), Some(1), "{lines:#}");
    assert!(lines[0].to_string().contains("Holiday 2007"), "{lines:#}");
    Ok(())
}
