//! Who else there is: home users, friends, and every account's way to the servers.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::account::{described, number, old_described, thumb};
use super::document::Document;
use super::{Asked, Server};
use crate::http::Answer;
use crate::plex::section_type;
use crate::world::{Model, User};

/// `GET /api/v2/home/users`: the members of the caller's home, the caller among them.
pub(super) fn home_users(asked: &Asked<'_>) -> Answer {
    let (admin, members) = home(asked);
    let users: Vec<Value> = members.iter().map(member).collect();
    let value = json!({
        "id": number(&admin),
        "name": format!("{}'s home", admin.name),
        "guestUserID": null,
        "guestUserUUID": "",
        "guestEnabled": false,
        "subscription": true,
        "users": users,
    });
    asked.document(StatusCode::OK, "home", value)
}

/// `GET /api/home/users`: the same in the first version.
pub(super) fn old_home_users(asked: &Asked<'_>) -> Answer {
    let (admin, members) = home(asked);
    let users: Vec<Value> = members.iter().map(member).collect();
    let value = json!({
        "friendlyName": "myPlex", "identifier": "com.plexapp.plugins.myplex",
        "id": number(&admin), "size": users.len(), "totalSize": users.len(), "User": users,
    });
    Document { name: "MediaContainer", value }.xml(StatusCode::OK)
}

/// The admin of the caller's home and all in it.
fn home(asked: &Asked<'_>) -> (User, Vec<User>) {
    let mut owner = asked.user.clone();
    for server in asked.tv.servers() {
        let found = server.world.read(|model| {
            let member = model.user(&asked.user.id).is_some_and(|user| user.home || user.admin);
            model.owner().filter(|_| member).cloned()
        });
        if let Some(found) = found {
            owner = found;
            break;
        }
    }
    let others = asked.tv.others(&owner).into_iter().filter(|user| user.home);
    let members = std::iter::once(owner.clone()).chain(others).collect();
    (owner, members)
}

fn member(user: &User) -> Value {
    json!({
        "id": number(user),
        "uuid": user.uuid,
        "title": user.name,
        "username": if user.restricted { Value::Null } else { user.name.clone().into() },
        "email": if user.restricted { Value::Null } else { user.email.clone().into() },
        "friendlyName": user.name,
        "thumb": thumb(user),
        "hasPassword": !user.restricted,
        "restricted": user.restricted,
        "updatedAt": 1_700_000_000,
        "restrictionProfile": null,
        "admin": user.admin,
        "guest": false,
        "protected": user.pin.is_some(),
    })
}

/// `POST /api/v2/home/users/{uuid}/switch?pin=` (and by id in the first version): a token of that home user.
pub(super) fn switch(asked: &Asked<'_>) -> Answer {
    let old = !asked.call.path.starts_with("/api/v2/");
    let (_, members) = home(asked);
    let Some(user) = members.into_iter().find(|user| user.uuid == asked.id || user.id == asked.id) else {
        return asked.refuse(StatusCode::NOT_FOUND, 1020, "User not found");
    };
    let told = asked.field("pin");
    if user.pin.is_some() && user.pin != told {
        return asked.refuse(StatusCode::FORBIDDEN, 1041, "Invalid PIN");
    }
    if old { old_described(asked, &user) } else { asked.document(StatusCode::CREATED, "user", described(asked, &user)) }
}

/// `GET /api/users/`: everybody else at the caller's servers, friends and home users; XML only.
pub(super) fn users(asked: &Asked<'_>) -> Answer {
    let others = asked.tv.others(&asked.user);
    let servers = asked.tv.owned(&asked.user);
    let shares = |user: &User| -> Vec<Value> {
        let here = servers.iter().enumerate().filter(|(_, server)| server.world.read(|model| knows(model, user)));
        here.map(|(place, server)| share(server, place, asked.tv.time.now())).collect()
    };
    let users: Vec<Value> = others
        .iter()
        .map(|user| {
            json!({
                "id": number(user),
                "title": user.name,
                "username": if user.restricted { "" } else { user.name.as_str() },
                "email": if user.restricted { "" } else { user.email.as_str() },
                "recommendationsPlaylistId": "",
                "thumb": thumb(user),
                "protected": user.pin.is_some(),
                "home": user.home,
                "allowTuners": false,
                "allowSync": true,
                "allowCameraUpload": false,
                "allowChannels": false,
                "allowSubtitleAdmin": false,
                "filterAll": "",
                "filterMovies": "",
                "filterMusic": "",
                "filterPhotos": "",
                "filterTelevision": "",
                "restricted": user.restricted,
                "Server": shares(user),
            })
        })
        .collect();
    let value = json!({
        "friendlyName": "myPlex", "identifier": "com.plexapp.plugins.myplex",
        "machineIdentifier": "0123456789abcdef", "totalSize": users.len(), "size": users.len(), "User": users,
    });
    Document { name: "MediaContainer", value }.xml(StatusCode::OK)
}

fn knows(model: &Model, user: &User) -> bool {
    model.users.iter().any(|held| held.id == user.id)
}

fn share(server: &Server, place: usize, now: Timestamp) -> Value {
    server.world.read(|model| {
        json!({
            "id": 100 + place,
            "serverId": 10 + place,
            "machineIdentifier": model.server_id,
            "name": model.name,
            "lastSeenAt": now.as_second(),
            "numLibraries": model.libraries.len(),
            "allLibraries": true,
            "owned": true,
            "pending": false,
        })
    })
}

/// `GET /api/v2/resources`: the servers that the caller may use, with the caller's token for each.
pub(super) fn resources(asked: &Asked<'_>) -> Answer {
    let found: Vec<Value> = asked.tv.servers().iter().filter_map(|server| resource(asked, server)).collect();
    asked.document(StatusCode::OK, "resources", found.into())
}

fn resource(asked: &Asked<'_>, server: &Server) -> Option<Value> {
    let address = url::Url::parse(&server.url).ok()?;
    let host = address.host_str()?.to_owned();
    let port = address.port_or_known_default()?;
    let now = stamp(asked.tv.time.now());
    server.world.read(|model| {
        let user = model.users.iter().find(|user| user.id == asked.user.id)?;
        let owner = model.owner()?;
        let mine = owner.id == user.id;
        Some(json!({
            "name": model.name,
            "product": "Plex Media Server",
            "productVersion": model.flavor.version(),
            "platform": "Linux",
            "platformVersion": "6.1.0",
            "device": "PC",
            "clientIdentifier": model.server_id,
            "createdAt": "2020-01-01T00:00:00Z",
            "lastSeenAt": now,
            "provides": "server",
            "ownerId": if mine { Value::Null } else { number(owner).into() },
            "sourceTitle": if mine { Value::Null } else { owner.name.clone().into() },
            "publicAddress": "203.0.113.7",
            "accessToken": user.tokens.last(),
            "owned": mine,
            "home": user.home && !mine,
            "synced": false,
            "relay": true,
            "presence": true,
            "httpsRequired": false,
            "publicAddressMatches": true,
            "dnsRebindingProtection": false,
            "natLoopbackSupported": false,
            "connections": [{
                "protocol": address.scheme(),
                "address": host,
                "port": port,
                "uri": server.url,
                // To others than the owner it is one in the internet: clients do not try local ones of strangers.
                "local": mine,
                "relay": false,
                "IPv6": false,
            }],
        }))
    })
}

/// `GET /api/resources`: the same in the first version.
pub(super) fn old_resources(asked: &Asked<'_>) -> Answer {
    let found = asked.tv.servers();
    let devices: Vec<Value> = found
        .iter()
        .filter_map(|server| resource(asked, server))
        .map(|mut device| {
            let connections = device.as_object_mut().and_then(|fields| fields.remove("connections"));
            if let Some(fields) = device.as_object_mut() {
                fields.insert("Connection".to_owned(), connections.unwrap_or_default());
            }
            device
        })
        .collect();
    let value = json!({"size": devices.len(), "Device": devices});
    Document { name: "MediaContainer", value }.xml(StatusCode::OK)
}

/// `GET /api/servers/{machineId}/shared_servers`: the tokens of all others at a server that the caller owns.
pub(super) fn shared_servers(asked: &Asked<'_>) -> Answer {
    let owned = asked.tv.owned(&asked.user);
    let Some(server) = owned.iter().find(|server| server.world.read(|model| model.server_id == asked.id)) else {
        return asked.refuse(StatusCode::NOT_FOUND, 1020, "Server not found");
    };
    let value = server.world.read(|model| {
        let others = model.users.iter().filter(|user| user.id != asked.user.id).enumerate();
        let shared: Vec<Value> = others.map(|(place, user)| shared_server(model, user, place)).collect();
        json!({
            "friendlyName": "myPlex", "identifier": "com.plexapp.plugins.myplex",
            "machineIdentifier": model.server_id, "size": shared.len(), "SharedServer": shared,
        })
    });
    Document { name: "MediaContainer", value }.xml(StatusCode::OK)
}

fn shared_server(model: &Model, user: &User, place: usize) -> Value {
    let sections: Vec<Value> = model
        .libraries
        .iter()
        .map(|library| {
            json!({
                "id": library.id, "key": library.id, "title": library.title,
                "type": section_type(library.content),
                "shared": model.may_see(&user.id, &library.id),
            })
        })
        .collect();
    json!({
        "id": 500 + place,
        "username": if user.restricted { "" } else { user.name.as_str() },
        "email": if user.restricted { "" } else { user.email.as_str() },
        "userID": number(user),
        "accessToken": user.tokens.last(),
        "name": model.name,
        "acceptedAt": 1_600_000_000,
        "invitedAt": 1_600_000_000,
        "allowSync": true,
        "allowCameraUpload": false,
        "allowChannels": false,
        "allowTuners": false,
        "allowSubtitleAdmin": false,
        "owned": false,
        "allLibraries": true,
        "filterAll": "",
        "filterMovies": "",
        "filterMusic": "",
        "filterPhotos": "",
        "filterTelevision": "",
        "Section": sections,
    })
}

fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
