//! What the server tells about itself, its owner and the accounts it knows.

use http::StatusCode;

use super::Asked;
use super::element::{Element, refuse};
use crate::http::{Answer, Call};
use crate::world::{Model, World};

/// `GET /identity`, the one page that needs no token.
pub(super) fn identity(world: &World, call: &Call) -> Answer {
    let container = world.read(|model| {
        Element::container()
            .with("size", 0)
            .with("apiVersion", "1.1.1")
            .with("claimed", true)
            .with("machineIdentifier", model.server_id.clone())
            .with("version", model.flavor.version())
    });
    container.answer(&call.headers)
}

/// `GET /`: name, machine identifier, version, and what the server can do.
pub(super) fn root(asked: &Asked<'_>) -> Answer {
    let now = asked.world.now().as_second();
    let container = asked.world.read(|model| {
        let directories = ["identity", "library", "media", "playlists", "status"];
        let directory =
            |key: &'static str| Element::new("Directory").with("count", 1).with("key", key).with("title", key);
        described(model).with("updatedAt", now).children(directories.map(directory))
    });
    asked.answer(&container)
}

fn described(model: &Model) -> Element {
    Element::container()
        .with("size", 5)
        .with("allowCameraUpload", false)
        .with("allowChannelAccess", true)
        .with("allowMediaDeletion", true)
        .with("allowSharing", true)
        .with("allowSync", true)
        .with("allowTuners", true)
        .with("apiVersion", "1.1.1")
        .with("backgroundProcessing", true)
        .with("certificate", true)
        .with("companionProxy", true)
        .with("countryCode", "usa")
        .with("diagnostics", "logs,databases,streaminglogs")
        .with("eventStream", true)
        .with("friendlyName", model.name.clone())
        .with("hubSearch", true)
        .with("itemClusters", true)
        .with("livetv", 7)
        .with("machineIdentifier", model.server_id.clone())
        .with("mediaProviders", true)
        .with("multiuser", true)
        .with("musicAnalysis", 2)
        .with("myPlex", true)
        .with("myPlexMappingState", "mapped")
        .with("myPlexSigninState", "ok")
        .with("myPlexSubscription", true)
        .with("myPlexUsername", model.owner().map(|owner| owner.email.clone()).unwrap_or_default())
        .with("offlineTranscode", 1)
        .with("ownerFeatures", "adaptive_bitrate,home,pass,session_bandwidth_restrictions,sync,webhooks")
        .with("platform", "Linux")
        .with("platformVersion", "6.1.0")
        .with("pluginHost", true)
        .with("pushNotifications", false)
        .with("readOnlyLibraries", false)
        .with("streamingBrainABRVersion", 3)
        .with("streamingBrainVersion", 2)
        .with("sync", true)
        .with("transcoderActiveVideoSessions", 0)
        .with("transcoderAudio", true)
        .with("transcoderLyrics", true)
        .with("transcoderPhoto", true)
        .with("transcoderSubtitles", true)
        .with("transcoderVideo", true)
        .with("transcoderVideoBitrates", "64,96,208,320,720,1500,2000,3000,4000,8000,10000,12000,20000")
        .with("transcoderVideoQualities", "0,1,2,3,4,5,6,7,8,9,10,11,12")
        .with("transcoderVideoResolutions", "128,128,160,240,320,480,768,720,720,1080,1080,1080,1080")
        .with("updater", true)
        .with("version", model.flavor.version())
        .with("voiceSearch", true)
}

/// `GET /accounts`: everybody who ever watched here. The owner is account 1.
pub(super) fn accounts(asked: &Asked<'_>) -> Answer {
    if !asked.owner {
        return refuse(StatusCode::FORBIDDEN);
    }
    let account = |id: i64, name: &str| {
        Element::new("Account")
            .with("id", id)
            .with("key", format!("/accounts/{id}"))
            .with("name", name)
            .with("defaultAudioLanguage", "en")
            .with("autoSelectAudio", true)
            .with("defaultSubtitleLanguage", "")
            .with("subtitleMode", 0)
            .with("thumb", "")
    };
    let container = asked.world.read(|model| {
        let users = model.users.iter().map(|user| account(account_id(model, &user.id), &user.name));
        let accounts: Vec<Element> = std::iter::once(account(0, "")).chain(users).collect();
        Element::container()
            .with("size", accounts.len())
            .with("identifier", "com.plexapp.system.accounts")
            .children(accounts)
    });
    asked.answer(&container)
}

/// A user's account id inside this server: the owner's is 1, those of others are as at plex.tv.
pub(super) fn account_id(model: &Model, user: &str) -> i64 {
    if model.owner().is_some_and(|owner| owner.id == user) { 1 } else { user.parse().unwrap_or_default() }
}

/// `GET /myplex/account`: the account that the server is claimed by.
pub(super) fn my_plex(asked: &Asked<'_>) -> Answer {
    if !asked.owner {
        return refuse(StatusCode::FORBIDDEN);
    }
    let account = asked.world.read(|model| {
        let owner = model.owner().cloned().unwrap_or_default();
        Element::new("MyPlex")
            .with("authToken", owner.account_token)
            .with("username", owner.email)
            .with("mappingState", "mapped")
            .with("mappingError", "")
            .with("signInState", "ok")
            .with("publicAddress", "203.0.113.7")
            .with("publicPort", 32400)
            .with("privateAddress", "127.0.0.1")
            .with("privatePort", 32400)
            .with("subscriptionFeatures", "home,pass,sync,webhooks")
            .with("subscriptionActive", true)
            .with("subscriptionState", "Active")
    });
    asked.answer(&account)
}

/// `GET /:/prefs`: the few settings that matter to a sync.
pub(super) fn preferences(asked: &Asked<'_>) -> Answer {
    if !asked.owner {
        return refuse(StatusCode::FORBIDDEN);
    }
    let container = asked.world.read(|model| {
        let setting = |id: &'static str, kind: &'static str, value: serde_json::Value| {
            Element::new("Setting")
                .with("id", id)
                .with("label", id)
                .with("summary", "")
                .with("type", kind)
                .with("default", "")
                .with("value", value)
                .with("hidden", false)
                .with("advanced", false)
                .with("group", "library")
        };
        Element::container().with("size", 3).children([
            setting("FriendlyName", "text", model.name.clone().into()),
            setting("LibraryVideoPlayedThreshold", "int", model.settings.max_resume_percent.into()),
            setting("ProcessedMachineIdentifier", "text", model.server_id.clone().into()),
        ])
    });
    asked.answer(&container)
}
