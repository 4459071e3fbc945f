//! Writing states: played, unplayed, user data, favourites.

use http::StatusCode;
use serde_json::Value;

use super::{Context, Handled, TICKS, describe, spelling};
use crate::http::Answer;
use crate::world::{ItemId, StatePatch, UserId, Write};

pub(super) fn played(context: &Context<'_>) -> Handled {
    mark_played(context, &context.target_in_query()?)
}

pub(super) fn played_of_user(context: &Context<'_>) -> Handled {
    mark_played(context, &context.target_in_path()?)
}

pub(super) fn unplayed(context: &Context<'_>) -> Handled {
    write(context, &context.target_in_query()?, &Write::Unplayed)
}

pub(super) fn unplayed_of_user(context: &Context<'_>) -> Handled {
    write(context, &context.target_in_path()?, &Write::Unplayed)
}

pub(super) fn user_data(context: &Context<'_>) -> Handled {
    state(context, &context.target_in_query()?)
}

pub(super) fn user_data_of_user(context: &Context<'_>) -> Handled {
    state(context, &context.target_in_path()?)
}

pub(super) fn set_user_data(context: &Context<'_>) -> Handled {
    set(context, &context.target_in_query()?)
}

pub(super) fn set_user_data_of_user(context: &Context<'_>) -> Handled {
    set(context, &context.target_in_path()?)
}

pub(super) fn favorite(context: &Context<'_>) -> Handled {
    write(context, &context.target_in_query()?, &Write::Favorite(true))
}

pub(super) fn not_favorite(context: &Context<'_>) -> Handled {
    write(context, &context.target_in_query()?, &Write::Favorite(false))
}

pub(super) fn favorite_of_user(context: &Context<'_>) -> Handled {
    write(context, &context.target_in_path()?, &Write::Favorite(true))
}

pub(super) fn not_favorite_of_user(context: &Context<'_>) -> Handled {
    write(context, &context.target_in_path()?, &Write::Favorite(false))
}

/// Whose state of which item a call is about.
pub(super) struct Target {
    pub user: UserId,
    pub item: ItemId,
}

impl Context<'_> {
    /// `/…/{item}?userId=`: an API key has to name the user.
    pub(super) fn target_in_query(&self) -> Result<Target, Answer> {
        let user = self.query_user()?.ok_or_else(|| self.not_found())?;
        let item = self.item(Some(&user), &self.param(0)?)?;
        Ok(Target { user, item })
    }

    /// `/Users/{user}/…/{item}`.
    pub(super) fn target_in_path(&self) -> Result<Target, Answer> {
        let user = self.path_user()?;
        let item = self.item(Some(&user), &self.param(1)?)?;
        Ok(Target { user, item })
    }
}

fn mark_played(context: &Context<'_>, target: &Target) -> Handled {
    let date = context.call.value("datePlayed").and_then(|text| {
        let compact = spelling::read_compact_date(text);
        // Emby understands the compact form only; with another one the mark counts as undated.
        if context.flavor.is_emby() { compact } else { compact.or_else(|| spelling::read_date(text)) }
    });
    write(context, target, &Write::Played { date })
}

fn set(context: &Context<'_>, target: &Target) -> Handled {
    let body = context.body()?;
    let bad = || context.refuse(StatusCode::BAD_REQUEST);
    let given = |name: &str| body.get(name).filter(|value| !value.is_null());
    let flag = |name: &str| given(name).map(|value| value.as_bool().ok_or_else(bad)).transpose();
    let number = |name: &str| given(name).map(|value| value.as_u64().ok_or_else(bad)).transpose();
    let date = given("lastplayeddate").map(|value| value.as_str().and_then(spelling::read_date).ok_or_else(bad));
    let patch = StatePatch {
        played: flag("played")?,
        plays: number("playcount")?.map(|plays| u32::try_from(plays).unwrap_or(u32::MAX)),
        last_played_at: date.transpose()?,
        position_ms: number("playbackpositionticks")?.map(|ticks| ticks / TICKS),
        favorite: flag("isfavorite")?,
        rating: given("rating").and_then(Value::as_f64),
    };
    let answer = write(context, target, &Write::Set(patch))?;
    // Emby answers this one without a body.
    Ok(if context.flavor.is_emby() { Answer::status(StatusCode::NO_CONTENT) } else { answer })
}

fn write(context: &Context<'_>, target: &Target, write: &Write) -> Handled {
    context.world.write(&target.user, &target.item, write).map_err(|_| context.not_found())?;
    state(context, target)
}

fn state(context: &Context<'_>, target: &Target) -> Handled {
    let found = context.world.read(|model| {
        let media = model.item(&target.item)?;
        Some(Answer::json(&describe::user_data(model, &target.user, media)))
    });
    found.ok_or_else(|| context.not_found())
}
