//! Users, logins and API keys.

#![expect(clippy::unnecessary_wraps, reason = "all handlers have one signature, for the table of routes")]

use http::StatusCode;
use serde_json::{Value, json};

use super::{Context, Handled, spelling};
use crate::http::Answer;
use crate::world::{Caller, Model, User};

pub(super) fn list(context: &Context<'_>) -> Handled {
    context.may_list()?;
    Ok(context.world.read(|model| Answer::json(&Value::Array(listed(context, model)))))
}

pub(super) fn query(context: &Context<'_>) -> Handled {
    context.may_list()?;
    Ok(context.world.read(|model| {
        let users = listed(context, model);
        let total = users.len();
        let start = context.call.parsed("startIndex").unwrap_or(0);
        let limit = context.call.parsed("limit").unwrap_or(usize::MAX);
        let page: Vec<_> = users.into_iter().skip(start).take(limit).collect();
        Answer::json(&json!({ "Items": page, "TotalRecordCount": total }))
    }))
}

pub(super) fn public(context: &Context<'_>) -> Handled {
    Ok(context.world.read(|model| {
        let shown = model.users.iter().filter(|user| !user.hidden && !user.disabled);
        Answer::json(&Value::Array(shown.map(|user| describe(model, user)).collect()))
    }))
}

pub(super) fn me(context: &Context<'_>) -> Handled {
    // An API key is nobody: Jellyfin calls that a bad request.
    let own = context.caller.as_ref().and_then(Caller::user);
    let own = own.ok_or_else(|| context.refuse(StatusCode::BAD_REQUEST))?;
    describe_by_id(context, own)
}

pub(super) fn one(context: &Context<'_>) -> Handled {
    let user = context.path_user()?;
    describe_by_id(context, &user)
}

pub(super) fn authenticate(context: &Context<'_>) -> Handled {
    let body = context.body()?;
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    // The servers can't open a session without knowing the player.
    let device = &context.device;
    if device.id.is_none() || device.client.is_none() || device.version.is_none() {
        return Err(context.refuse(StatusCode::BAD_REQUEST));
    }
    let Some((user, token)) = context.world.login(text("username"), text("pw")) else {
        let words = "Invalid username or password entered.";
        return Err(Answer::new(StatusCode::UNAUTHORIZED, "text/plain", words));
    };
    let now = spelling::date(context.world.now());
    Ok(context.world.read(|model| {
        let session = json!({
            "PlayState": { "CanSeek": false, "IsPaused": false, "IsMuted": false, "RepeatMode": "RepeatNone" },
            "AdditionalUsers": [],
            "RemoteEndPoint": "127.0.0.1",
            "PlayableMediaTypes": [],
            "Id": crate::world::hex(&format!("session {token}")),
            "UserId": user.id,
            "UserName": user.name,
            "Client": device.client,
            "LastActivityDate": now,
            "LastPlaybackCheckIn": "0001-01-01T00:00:00.0000000Z",
            "DeviceName": device.name,
            "DeviceId": device.id,
            "ApplicationVersion": device.version,
            "IsActive": true,
            "SupportsMediaControl": false,
            "SupportsRemoteControl": false,
            "ServerId": model.server_id,
            "SupportedCommands": [],
        });
        let result = json!({
            "User": describe(model, &user),
            "SessionInfo": session,
            "AccessToken": token,
            "ServerId": model.server_id,
        });
        Answer::json(&spelling::without_nulls(result))
    }))
}

pub(super) fn log_out(context: &Context<'_>) -> Handled {
    if let Some(token) = &context.token {
        context.world.revoke(token);
    }
    Ok(Answer::status(StatusCode::NO_CONTENT))
}

pub(super) fn keys(context: &Context<'_>) -> Handled {
    let created = spelling::date(context.world.now());
    Ok(context.world.read(|model| {
        let keys = model.api_keys.iter().enumerate().map(|(number, (key, application))| {
            json!({
                "Id": number + 1, "AccessToken": key, "AppName": application, "IsActive": true,
                "DateCreated": created, "DateLastActivity": created, "DeviceId": "", "DeviceName": "",
                "AppVersion": "", "UserId": "00000000000000000000000000000000",
            })
        });
        let keys: Vec<_> = keys.collect();
        Answer::json(&json!({ "Items": keys, "TotalRecordCount": keys.len(), "StartIndex": 0 }))
    }))
}

pub(super) fn add_key(context: &Context<'_>) -> Handled {
    let application = context.call.value("app").ok_or_else(|| context.refuse(StatusCode::BAD_REQUEST))?;
    context.world.add_api_key(application);
    Ok(Answer::status(StatusCode::NO_CONTENT))
}

pub(super) fn delete_key(context: &Context<'_>) -> Handled {
    let key = context.params.first().map(String::as_str).unwrap_or_default();
    context.world.revoke(key);
    Ok(Answer::status(StatusCode::NO_CONTENT))
}

impl Context<'_> {
    /// Jellyfin lists users to everybody who is logged in, Emby to administrators only.
    fn may_list(&self) -> Result<(), Answer> {
        let admin = self.caller.as_ref().is_some_and(Caller::is_admin);
        if admin || self.flavor.is_jellyfin() { Ok(()) } else { Err(self.refuse(StatusCode::FORBIDDEN)) }
    }
}

fn listed(context: &Context<'_>, model: &Model) -> Vec<Value> {
    let (hidden, disabled) = (context.call.flag("isHidden"), context.call.flag("isDisabled"));
    let asked = |user: &&User| {
        hidden.is_none_or(|hidden| hidden == user.hidden) && disabled.is_none_or(|disabled| disabled == user.disabled)
    };
    model.users.iter().filter(asked).map(|user| describe(model, user)).collect()
}

fn describe_by_id(context: &Context<'_>, id: &str) -> Handled {
    let found = context.world.read(|model| {
        let user = model.users.iter().find(|user| user.id == id)?;
        Some(Answer::json(&describe(model, user)))
    });
    found.ok_or_else(|| context.not_found())
}

/// `UserDto`.
fn describe(model: &Model, user: &User) -> Value {
    let sees_all = user.admin || model.libraries.iter().all(|library| library.users.is_none());
    let seen = model.libraries.iter().filter(|library| model.may_see(&user.id, &library.id));
    let folders: Vec<_> = if sees_all { Vec::new() } else { seen.map(|library| library.id.clone()).collect() };
    let emby = model.flavor.is_emby();
    let namespace = if emby { "Emby" } else { "Jellyfin" };
    let provider = |kind: &str| format!("{namespace}.Server.Implementations.Users.Default{kind}Provider");
    let mut policy = json!({
        "IsAdministrator": user.admin,
        "IsHidden": user.hidden,
        "IsDisabled": user.disabled,
        "BlockedTags": [],
        "EnableUserPreferenceAccess": true,
        "AccessSchedules": [],
        "BlockUnratedItems": [],
        "EnableRemoteControlOfOtherUsers": user.admin,
        "EnableSharedDeviceControl": true,
        "EnableRemoteAccess": true,
        "EnableLiveTvManagement": user.admin,
        "EnableLiveTvAccess": true,
        "EnableMediaPlayback": true,
        "EnableAudioPlaybackTranscoding": true,
        "EnableVideoPlaybackTranscoding": true,
        "EnablePlaybackRemuxing": true,
        "EnableContentDeletion": user.admin,
        "EnableContentDeletionFromFolders": [],
        "EnableContentDownloading": true,
        "EnableMediaConversion": true,
        "EnabledDevices": [],
        "EnableAllDevices": true,
        "EnabledChannels": [],
        "EnableAllChannels": true,
        "EnabledFolders": folders,
        "EnableAllFolders": sees_all,
        "InvalidLoginAttemptCount": 0,
        "EnablePublicSharing": true,
        "RemoteClientBitrateLimit": 0,
        "AuthenticationProviderId": provider("Authentication"),
    });
    let mut configuration = json!({
        "PlayDefaultAudioTrack": true,
        "DisplayMissingEpisodes": false,
        "SubtitleMode": if emby { "Smart" } else { "Default" },
        "OrderedViews": [],
        "LatestItemsExcludes": [],
        "MyMediaExcludes": [],
        "HidePlayedInLatest": true,
        "RememberAudioSelections": true,
        "RememberSubtitleSelections": true,
        "EnableNextEpisodeAutoPlay": true,
        "EnableLocalPassword": false,
    });
    if !emby {
        policy["PasswordResetProviderId"] = json!(provider("PasswordReset"));
        policy["SyncPlayAccess"] = json!("CreateAndJoinGroups");
        policy["EnableCollectionManagement"] = json!(user.admin);
        policy["EnableSubtitleManagement"] = json!(user.admin);
        policy["EnableLyricManagement"] = json!(user.admin);
        policy["LoginAttemptsBeforeLockout"] = json!(-1);
        policy["MaxActiveSessions"] = json!(0);
        policy["BlockedMediaFolders"] = json!([]);
        policy["BlockedChannels"] = json!([]);
        policy["AllowedTags"] = json!([]);
        policy["ForceRemoteSourceTranscoding"] = json!(false);
        policy["EnableSyncTranscoding"] = json!(true);
        configuration["GroupedFolders"] = json!([]);
        configuration["DisplayCollectionsView"] = json!(false);
        configuration["CastReceiverId"] = json!("F007D354");
        configuration["SubtitleLanguagePreference"] = json!("");
    }
    json!({
        "Name": user.name,
        "ServerId": model.server_id,
        "Id": user.id,
        "HasPassword": !user.password.is_empty(),
        "HasConfiguredPassword": !user.password.is_empty(),
        "HasConfiguredEasyPassword": false,
        "EnableAutoLogin": false,
        "LastLoginDate": "2024-01-01T00:00:00.0000000Z",
        "LastActivityDate": "2024-01-01T00:00:00.0000000Z",
        "Configuration": configuration,
        "Policy": policy,
    })
}
