//! Who is playing what, and players that report it.

#![expect(clippy::unnecessary_wraps, reason = "all handlers have one signature, for the table of routes")]

use http::StatusCode;
use serde_json::{Value, json};

use super::describe::{self, Folders, Wanted};
use super::marks::Target;
use super::{Context, Handled, TICKS, spelling};
use crate::http::Answer;
use crate::world::{Caller, Model, Session, Write};

pub(super) fn list(context: &Context<'_>) -> Handled {
    let own = context.caller.as_ref().and_then(Caller::user);
    let admin = context.caller.as_ref().is_some_and(Caller::is_admin);
    let controllable = context.user(context.call.value("controllableByUserId"))?.filter(|_| !admin);
    Ok(context.world.read(|model| {
        let seen = |session: &&Session| {
            (admin || own == Some(session.user.as_str()))
                && controllable.as_ref().is_none_or(|user| *user == session.user)
        };
        let sessions = model.sessions.iter().filter(seen).map(|session| describe_session(model, session));
        Answer::json(&Value::Array(sessions.collect()))
    }))
}

pub(super) fn accept(_: &Context<'_>) -> Handled {
    Ok(Answer::status(StatusCode::NO_CONTENT))
}

pub(super) fn playing(context: &Context<'_>) -> Handled {
    let Some((target, _)) = reported(context)? else { return accept(context) };
    start(context, &target)
}

pub(super) fn progress(context: &Context<'_>) -> Handled {
    let Some((target, report)) = reported(context)? else { return accept(context) };
    let told = context.world.report_progress(
        &target.user,
        &target.item,
        report.position_ms.unwrap_or_default(),
        report.paused,
    );
    told.map_err(|_| context.not_found())?;
    accept(context)
}

pub(super) fn stopped(context: &Context<'_>) -> Handled {
    let Some((target, report)) = reported(context)? else { return accept(context) };
    stop(context, &target, report.position_ms)
}

pub(super) fn item_playing(context: &Context<'_>) -> Handled {
    start(context, &context.target_in_path()?)
}

pub(super) fn item_stopped(context: &Context<'_>) -> Handled {
    stop(context, &context.target_in_path()?, position_in_query(context))
}

pub(super) fn item_progress(context: &Context<'_>) -> Handled {
    position(context, &context.target_in_path()?)
}

pub(super) fn own_item_playing(context: &Context<'_>) -> Handled {
    start(context, &context.target_in_query()?)
}

pub(super) fn own_item_stopped(context: &Context<'_>) -> Handled {
    stop(context, &context.target_in_query()?, position_in_query(context))
}

pub(super) fn own_item_progress(context: &Context<'_>) -> Handled {
    position(context, &context.target_in_query()?)
}

/// What a player reports.
struct Report {
    position_ms: Option<u64>,
    paused: bool,
}

/// Who plays what by the body of a report; none for an API key, which is nobody.
fn reported(context: &Context<'_>) -> Result<Option<(Target, Report)>, Answer> {
    let body = context.body()?;
    let Some(user) = context.caller.as_ref().and_then(Caller::user) else { return Ok(None) };
    let item = body.get("itemid").and_then(Value::as_str).unwrap_or_default();
    let item = context.item(Some(user), &context.id(item)?)?;
    let position_ms = body.get("positionticks").and_then(Value::as_u64).map(|ticks| ticks / TICKS);
    let paused = body.get("ispaused").and_then(Value::as_bool).unwrap_or(false);
    Ok(Some((Target { user: user.to_owned(), item }, Report { position_ms, paused })))
}

fn position_in_query(context: &Context<'_>) -> Option<u64> {
    context.call.parsed::<u64>("positionTicks").map(|ticks| ticks / TICKS)
}

fn start(context: &Context<'_>, target: &Target) -> Handled {
    context.world.report_start(&target.user, &target.item).map_err(|_| context.not_found())?;
    accept(context)
}

fn stop(context: &Context<'_>, target: &Target, position_ms: Option<u64>) -> Handled {
    context.world.report_stop(&target.user, &target.item, position_ms).map_err(|_| context.not_found())?;
    accept(context)
}

/// Progress told for an item: of the playback under way, or, without one, just a position (tools do that).
fn position(context: &Context<'_>, target: &Target) -> Handled {
    let position_ms = position_in_query(context).unwrap_or_default();
    let paused = context.call.flag("isPaused").unwrap_or(false);
    let under_way = context.world.sessions().iter().any(|one| one.user == target.user && one.item == target.item);
    let told = if under_way {
        context.world.report_progress(&target.user, &target.item, position_ms, paused)
    } else {
        context.world.write(&target.user, &target.item, &Write::Position { position_ms })
    };
    told.map_err(|_| context.not_found())?;
    accept(context)
}

/// `SessionInfoDto`.
fn describe_session(model: &Model, session: &Session) -> Value {
    let wanted = Wanted { user_data: false, ..Wanted::all() };
    let playing = model.media.get(&session.item);
    let playing = playing.map(|media| describe::item(model, None, media, &wanted, &Folders::default()));
    spelling::without_nulls(json!({
        "PlayState": {
            "PositionTicks": session.position_ms * TICKS,
            "CanSeek": true,
            "IsPaused": session.paused,
            "IsMuted": false,
            "VolumeLevel": 100,
            "AudioStreamIndex": 1,
            "SubtitleStreamIndex": -1,
            "MediaSourceId": session.item,
            "PlayMethod": "DirectPlay",
            "RepeatMode": "RepeatNone",
        },
        "AdditionalUsers": [],
        "RemoteEndPoint": "127.0.0.1",
        "PlayableMediaTypes": ["Video"],
        "Id": session.id,
        "UserId": session.user,
        "UserName": model.user(&session.user).map(|user| user.name.clone()),
        "Client": "Simulated Player",
        "LastActivityDate": spelling::date(session.active_at),
        "LastPlaybackCheckIn": spelling::date(session.active_at),
        "DeviceName": "Living room",
        "NowPlayingItem": playing,
        "DeviceId": "living-room",
        "ApplicationVersion": "1.0",
        "IsActive": true,
        "SupportsMediaControl": false,
        "SupportsRemoteControl": false,
        "HasCustomDeviceName": false,
        "ServerId": model.server_id,
        "SupportedCommands": [],
    }))
}
