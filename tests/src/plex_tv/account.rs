//! An account: who it is, how one signs in, its webhooks.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::document::Document;
use super::{Asked, Pin, code};
use crate::http::Answer;
use crate::webhook::{Target, Webhooks};
use crate::world::User;

/// `GET /api/v2/user`.
pub(super) fn user(asked: &Asked<'_>) -> Answer {
    asked.document(StatusCode::OK, "user", described(asked, &asked.user))
}

/// An account as the second version shows it. `authToken` is in it: whoever may ask has it anyway.
pub(super) fn described(asked: &Asked<'_>, user: &User) -> Value {
    let home = home_size(asked, user);
    let pass = !asked.tv.edit(|state| state.without_pass) && !user.restricted;
    let features = if pass { json!(["webhooks", "home", "pass", "sync"]) } else { json!([]) };
    json!({
        "id": number(user),
        "uuid": user.uuid,
        "username": if user.restricted { "" } else { user.name.as_str() },
        "title": user.name,
        "email": if user.restricted { "" } else { user.email.as_str() },
        "friendlyName": user.name,
        "locale": null,
        "confirmed": true,
        "joinedAt": 1_500_000_000,
        "emailOnlyAuth": false,
        "hasPassword": !user.restricted,
        "protected": user.pin.is_some(),
        "thumb": thumb(user),
        "authToken": user.account_token,
        "mailingListStatus": "inactive",
        "mailingListActive": false,
        "scrobbleTypes": "",
        "country": "US",
        "pin": if user.pin.is_some() { "hashed" } else { "" },
        "subscription": {
            "active": pass,
            "subscribedAt": if pass { json!("2020-01-01 00:00:00 UTC") } else { Value::Null },
            "status": if pass { "Active" } else { "Inactive" },
            "paymentService": null,
            "plan": if pass { json!("lifetime") } else { Value::Null },
            "features": features,
        },
        "subscriptionDescription": null,
        "restricted": user.restricted,
        "anonymous": null,
        "home": user.admin || user.home,
        "guest": false,
        "homeSize": home,
        "homeAdmin": user.admin,
        "maxHomeSize": 15,
        "rememberExpiresAt": 1_900_000_000,
        "profile": {
            "autoSelectAudio": true,
            "defaultAudioLanguage": "en",
            "defaultSubtitleLanguage": "en",
            "autoSelectSubtitle": 0,
            "defaultSubtitleAccessibility": 0,
            "defaultSubtitleForced": 0,
        },
        "entitlements": [],
        "roles": if pass { json!(["plexpass"]) } else { json!([]) },
        "services": [],
        "adsConsent": null,
        "adsConsentSetAt": null,
        "adsConsentReminderAt": null,
        "experimentalFeatures": false,
        "twoFactorEnabled": false,
        "backupCodesCreated": false,
        "attributionPartner": null,
    })
}

fn home_size(asked: &Asked<'_>, user: &User) -> usize {
    1 + asked.tv.others(user).iter().filter(|other| other.home).count()
}

/// An account's id, a number at plex.tv.
pub(super) fn number(user: &User) -> u64 {
    user.id.parse().unwrap_or_default()
}

/// The avatar's address, from which some clients read the uuid.
pub(super) fn thumb(user: &User) -> String {
    format!("https://plex.tv/users/{}/avatar?c=1700000000", user.uuid)
}

/// `GET /api/v2/ping`.
pub(super) fn ping(asked: &Asked<'_>) -> Answer {
    if super::json_wanted(asked.call) {
        return asked.document(StatusCode::OK, "pong", json!({"pong": true}));
    }
    asked.document(StatusCode::OK, "pong", json!("true"))
}

/// `POST /api/v2/users/signin` with `login` (name or e-mail) and `password`.
pub(super) fn sign_in(asked: &Asked<'_>) -> Answer {
    let (login, password) = (asked.field("login").unwrap_or_default(), asked.field("password").unwrap_or_default());
    match signed_in(asked, &login, &password) {
        Some(user) => asked.document(StatusCode::CREATED, "user", described(asked, &user)),
        None => asked.refuse(StatusCode::UNAUTHORIZED, 1001, "User could not be authenticated"),
    }
}

/// `POST /users/sign_in.json` with basic authorization or `user[login]`, `user[password]`.
pub(super) fn old_sign_in(asked: &Asked<'_>) -> Answer {
    let login = asked.field("user[login]").unwrap_or_default();
    let password = asked.field("user[password]").unwrap_or_default();
    match signed_in(asked, &login, &password) {
        Some(user) => {
            let mut value = described(asked, &user);
            if let Value::Object(fields) = &mut value {
                fields.insert("authentication_token".to_owned(), user.account_token.into());
            }
            let value = json!({"user": value});
            Answer::new(StatusCode::CREATED, "application/json; charset=utf-8", value.to_string())
        }
        None => asked.refuse(StatusCode::UNAUTHORIZED, 1001, "User could not be authenticated"),
    }
}

/// Managed users have no password and can't sign in.
fn signed_in(asked: &Asked<'_>, login: &str, password: &str) -> Option<User> {
    asked.tv.user(|user| {
        let named = user.email.eq_ignore_ascii_case(login) || user.name.eq_ignore_ascii_case(login);
        named && !user.restricted && !password.is_empty() && user.password == password
    })
}

/// `DELETE /api/v2/users/signout`: the account's token is worthless from then on, everywhere.
pub(super) fn sign_out(asked: &Asked<'_>) -> Answer {
    for server in asked.tv.servers() {
        server.world.revoke(&asked.user.account_token);
    }
    Answer::status(StatusCode::NO_CONTENT)
}

/// `POST /api/v2/pins`: a code to type in elsewhere.
pub(super) fn new_pin(asked: &Asked<'_>) -> Answer {
    let strong = asked.field("strong").is_some_and(|strong| strong == "true" || strong == "1")
        || asked.call.json::<Value>().is_some_and(|body| body["strong"] == json!(true));
    let now = asked.tv.time.now();
    let client = asked.call.header("X-Plex-Client-Identifier").unwrap_or_default().to_owned();
    let pin = asked.tv.edit(|state| {
        let id = 1_000_000 + state.pins.len() as u64;
        let pin = Pin { id, code: code(id, strong), created: now, client, token: None };
        state.pins.push(pin.clone());
        pin
    });
    asked.document(StatusCode::CREATED, "pin", shown(&pin))
}

/// `GET /api/v2/pins/{id}`: with the token once the code was typed in.
pub(super) fn pin(asked: &Asked<'_>) -> Answer {
    let pin = asked.tv.edit(|state| state.pins.iter().find(|pin| pin.id.to_string() == asked.id).cloned());
    match pin {
        Some(pin) => asked.document(StatusCode::OK, "pin", shown(&pin)),
        None => asked.refuse(StatusCode::NOT_FOUND, 1020, "Code not found or expired"),
    }
}

fn shown(pin: &Pin) -> Value {
    let lifetime = jiff::SignedDuration::from_secs(1800);
    json!({
        "id": pin.id,
        "code": pin.code,
        "product": "Simulated",
        "trusted": false,
        "qr": format!("https://plex.tv/api/v2/pins/qr/{}", pin.code),
        "clientIdentifier": pin.client,
        "location": {"code": "US", "country": "United States", "time_zone": "UTC"},
        "expiresIn": 1800,
        "createdAt": pin.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "expiresAt": (pin.created + lifetime).strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "authToken": pin.token,
        "newRegistration": null,
    })
}

/// `GET /api/v2/user/webhooks`: a feature of Plex Pass.
pub(super) fn webhooks(asked: &Asked<'_>) -> Answer {
    if asked.tv.edit(|state| state.without_pass) {
        return asked.refuse(StatusCode::FORBIDDEN, 1008, "Plex Pass is required");
    }
    let urls = asked.tv.edit(|state| state.webhooks.get(&asked.user.id).cloned().unwrap_or_default());
    let hooks: Vec<Value> = urls.into_iter().map(|url| json!({"url": url})).collect();
    asked.document(StatusCode::OK, "webhooks", hooks.into())
}

/// `POST /api/v2/user/webhooks` with all addresses as `urls[]`, or an empty `urls` for none.
pub(super) fn set_webhooks(asked: &Asked<'_>) -> Answer {
    let form = url::form_urlencoded::parse(&asked.call.body).into_owned();
    let named = form.filter(|(name, _)| name == "urls[]" || name == "urls").map(|(_, url)| url);
    let mut urls: Vec<String> = named.filter(|url| !url.is_empty()).collect();
    if let Some(body) = asked.call.json::<Map<String, Value>>() {
        let listed = body.get("urls").and_then(Value::as_array).cloned().unwrap_or_default();
        urls = listed.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    }
    if !asked.tv.edit(|state| state.without_pass) {
        // All servers of the account send to all of its addresses from now on.
        for server in asked.tv.servers() {
            if server.world.read(|model| model.owner().is_some_and(|owner| owner.id == asked.user.id)) {
                let webhooks = urls.iter().filter_map(|url| Webhooks::start(&server.world, Target::new(url)).ok());
                server.world.webhooks().set_up(webhooks.collect());
            }
        }
        asked.tv.edit(|state| state.webhooks.insert(asked.user.id.clone(), urls));
    }
    let answer = webhooks(asked);
    Answer { status: if answer.status == StatusCode::OK { StatusCode::CREATED } else { answer.status }, ..answer }
}

/// The account in the words of the first version, in which only XML is spoken.
pub(super) fn old_described(asked: &Asked<'_>, user: &User) -> Answer {
    let mut value = described(asked, user);
    if let Value::Object(fields) = &mut value {
        fields.insert("authenticationToken".to_owned(), user.account_token.clone().into());
    }
    Document { name: "user", value }.xml(StatusCode::CREATED)
}
