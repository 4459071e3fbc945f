//! A simulated plex.tv: one account system over several simulated Plex servers. It signs people in, names home users
//! and friends, switches to home users, hands out each account's token for each server, keeps webhooks and PINs.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::Value;
use tokio::net::ToSocketAddrs;

use crate::http::{Answer, Call, Group, Http, Operation};
use crate::plex::wants_json;
use crate::server::{Listening, Service};
use crate::world::{TimeSource, User, World, hex};

mod account;
mod document;
mod sharing;
#[cfg(test)]
mod tests;

use document::{Document, refuse};

/// plex.tv with the servers it knows. Clones are handles of the same.
#[derive(Clone)]
pub struct PlexTv {
    time: TimeSource,
    http: Http,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    servers: Vec<Server>,
    /// Account id -> its webhooks.
    webhooks: BTreeMap<String, Vec<String>>,
    pins: Vec<Pin>,
    without_pass: bool,
}

/// A Plex server and where it listens.
#[derive(Clone)]
struct Server {
    world: World,
    url: String,
}

/// A login under way by a code that a person types in.
#[derive(Clone)]
struct Pin {
    id: u64,
    code: String,
    created: Timestamp,
    client: String,
    token: Option<String>,
}

impl PlexTv {
    /// plex.tv without any server yet.
    pub fn new(time: TimeSource) -> Self {
        Self { time, http: Http::default(), state: Arc::default() }
    }

    /// Announces a Plex server under its address; one with the same machine identifier is replaced.
    pub fn add_server(&self, world: &World, url: &str) {
        let id = world.read(|model| model.server_id.clone());
        self.edit(|state| {
            state.servers.retain(|server| server.world.read(|model| model.server_id != id));
            state.servers.push(Server { world: world.clone(), url: url.trim_end_matches('/').to_owned() });
        });
    }

    /// Starts to listen; port 0 takes a free one.
    pub async fn start(&self, addr: impl ToSocketAddrs) -> io::Result<Listening> {
        Listening::start(Arc::new(self.clone()), addr).await
    }

    /// Log and faults.
    pub const fn http(&self) -> &Http {
        &self.http
    }

    /// The accounts have no Plex Pass any more: no webhooks.
    pub fn end_plex_pass(&self) {
        self.edit(|state| state.without_pass = true);
    }

    /// The webhooks of an account, by name.
    pub fn webhooks(&self, account: &str) -> Vec<String> {
        let id = self.user(|user| user.name.eq_ignore_ascii_case(account)).map(|user| user.id).unwrap_or_default();
        self.edit(|state| state.webhooks.get(&id).cloned().unwrap_or_default())
    }

    /// A person types in the code of a PIN and so logs the waiting client in. Answers whether there is such a PIN.
    pub fn claim_pin(&self, code: &str, account: &str) -> bool {
        let user = self.user(|user| user.name.eq_ignore_ascii_case(account));
        self.edit(|state| {
            let pin = state.pins.iter_mut().find(|pin| pin.code.eq_ignore_ascii_case(code));
            match (pin, user) {
                (Some(pin), Some(user)) => pin.token.replace(user.account_token).is_none(),
                _ => false,
            }
        })
    }

    fn edit<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn servers(&self) -> Vec<Server> {
        self.edit(|state| state.servers.clone())
    }

    /// The first account on any server that fits.
    fn user(&self, fits: impl Fn(&User) -> bool) -> Option<User> {
        self.servers()
            .iter()
            .find_map(|server| server.world.read(|model| model.users.iter().find(|user| fits(user)).cloned()))
    }

    /// Whose account token this is.
    fn caller(&self, token: &str) -> Option<User> {
        self.user(|user| !token.is_empty() && user.account_token == token)
    }

    /// All other accounts that are at servers which this account owns, once each.
    fn others(&self, owner: &User) -> Vec<User> {
        let mut found: Vec<User> = Vec::new();
        for server in self.owned(owner) {
            for user in server.world.read(|model| model.users.clone()) {
                if user.id != owner.id && found.iter().all(|held| held.id != user.id) {
                    found.push(user);
                }
            }
        }
        found
    }

    fn owned(&self, owner: &User) -> Vec<Server> {
        let owns = |server: &Server| server.world.read(|model| model.owner().is_some_and(|held| held.id == owner.id));
        self.servers().into_iter().filter(owns).collect()
    }
}

impl fmt::Debug for PlexTv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlexTv({} servers)", self.servers().len())
    }
}

type Handler = fn(&Asked<'_>) -> Answer;

/// One route: template, what it is for, whether it needs an account, and who answers.
struct Route(&'static str, Group, Access, Handler);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Anybody.
    Open,
    /// Somebody with a token of an account.
    Account,
}

const ROUTES: &[Route] = &[
    Route("GET /api/v2/user", Group::Login, Access::Account, account::user),
    Route("GET /api/v2/ping", Group::Identity, Access::Account, account::ping),
    Route("POST /api/v2/users/signin", Group::Login, Access::Open, account::sign_in),
    Route("POST /users/sign_in.json", Group::Login, Access::Open, account::old_sign_in),
    Route("DELETE /api/v2/users/signout", Group::Login, Access::Account, account::sign_out),
    Route("POST /api/v2/pins", Group::Login, Access::Open, account::new_pin),
    Route("GET /api/v2/pins/{id}", Group::Login, Access::Open, account::pin),
    Route("GET /api/v2/user/webhooks", Group::Other, Access::Account, account::webhooks),
    Route("POST /api/v2/user/webhooks", Group::Other, Access::Account, account::set_webhooks),
    Route("GET /api/v2/home/users", Group::Login, Access::Account, sharing::home_users),
    Route("POST /api/v2/home/users/{uuid}/switch", Group::Login, Access::Account, sharing::switch),
    Route("GET /api/home/users", Group::Login, Access::Account, sharing::old_home_users),
    Route("POST /api/home/users/{id}/switch", Group::Login, Access::Account, sharing::switch),
    Route("GET /api/users", Group::Login, Access::Account, sharing::users),
    Route("GET /api/v2/resources", Group::Identity, Access::Account, sharing::resources),
    Route("GET /api/resources", Group::Identity, Access::Account, sharing::old_resources),
    Route("GET /api/servers/{machineId}/shared_servers", Group::Login, Access::Account, sharing::shared_servers),
];

/// A call that was let in.
struct Asked<'c> {
    tv: &'c PlexTv,
    call: &'c Call,
    /// Whose token came with it; empty on open routes.
    user: User,
    /// What stands in the template's braces.
    id: String,
}

impl Asked<'_> {
    fn document(&self, status: StatusCode, name: &'static str, value: Value) -> Answer {
        Document { name, value }.answer(status, &self.call.headers)
    }

    fn refuse(&self, status: StatusCode, code: u32, message: &str) -> Answer {
        refuse(status, code, message, &self.call.headers)
    }

    /// A form field, or the query's value of that name.
    fn field(&self, name: &str) -> Option<String> {
        let form = url::form_urlencoded::parse(&self.call.body).into_owned();
        let found = form.into_iter().find(|(held, _)| held == name).map(|(_, value)| value);
        found.or_else(|| self.call.value(name).map(str::to_owned))
    }
}

/// The route of a call and what stands in its template's braces.
fn find(call: &Call) -> Option<(&'static Route, String)> {
    let segments = call.segments();
    let method = if call.method == Method::HEAD { "GET" } else { call.method.as_str() };
    ROUTES.iter().find_map(|route| {
        let template = route.0.strip_prefix(method)?.strip_prefix(" /")?;
        let parts: Vec<&str> = template.split('/').collect();
        let fits = |(part, segment): (&&str, &std::borrow::Cow<'_, str>)| part.starts_with('{') || part == segment;
        if parts.len() != segments.len() || !parts.iter().zip(&segments).all(fits) {
            return None;
        }
        let place = parts.iter().position(|part| part.starts_with('{'));
        Some((route, place.and_then(|place| segments.get(place)).map(ToString::to_string).unwrap_or_default()))
    })
}

impl Service for PlexTv {
    fn operation(&self, call: &Call) -> Operation {
        find(call).map_or(Operation { label: "unknown", group: Group::Other }, |(Route(label, group, ..), _)| {
            Operation { label, group: *group }
        })
    }

    fn answer(&self, call: &Call) -> Answer {
        let named = |name: &str| call.header(name).or_else(|| call.value(name));
        let Some((Route(_, _, access, handler), id)) = find(call) else {
            return refuse(StatusCode::NOT_FOUND, 1020, "Resource not found", &call.headers);
        };
        // Every route of the second version insists on knowing the client.
        if call.path.starts_with("/api/v2/") && named("X-Plex-Client-Identifier").is_none_or(str::is_empty) {
            let message = "X-Plex-Client-Identifier is missing";
            return refuse(StatusCode::BAD_REQUEST, 1000, message, &call.headers);
        }
        let user = named("X-Plex-Token").and_then(|token| self.caller(token));
        if *access == Access::Account && user.is_none() {
            return refuse(StatusCode::UNAUTHORIZED, 1001, "User could not be authenticated", &call.headers);
        }
        let user = user.unwrap_or_default();
        let to = user.id.clone();
        let answer = handler(&Asked { tv: self, call, user, id });
        answer.to(Some(to.as_str()).filter(|id| !id.is_empty()))
    }

    fn http(&self) -> &Http {
        &self.http
    }

    fn now(&self) -> Timestamp {
        self.time.now()
    }

    /// `POST /_sim/pins/{code}/claim?user=`, the person at the other end of a web login; log and faults as elsewhere.
    fn control(&self, call: &Call) -> Option<Answer> {
        let path = call.path.strip_prefix("/_sim/")?;
        let answer = match (path.split('/').collect::<Vec<_>>().as_slice(), &call.method) {
            (["pins", code, "claim"], &Method::POST) => {
                let claimed = self.claim_pin(code, call.value("user").unwrap_or_default());
                Answer::status(if claimed { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND })
            }
            (["log"], &Method::GET) => Answer::json(&serde_json::to_value(self.http.log.all()).unwrap_or_default()),
            (["log"], &Method::DELETE) => {
                self.http.log.clear();
                Answer::status(StatusCode::NO_CONTENT)
            }
            (["faults"], &Method::POST) => match call.json() {
                Some(fault) => {
                    self.http.faults.inject(fault);
                    Answer::status(StatusCode::NO_CONTENT)
                }
                None => Answer::status(StatusCode::BAD_REQUEST),
            },
            (["faults"], &Method::DELETE) => {
                self.http.faults.heal();
                Answer::status(StatusCode::NO_CONTENT)
            }
            _ => Answer::status(StatusCode::NOT_FOUND),
        };
        Some(answer)
    }
}

/// Whether a client asked for JSON, for modules below.
fn json_wanted(call: &Call) -> bool {
    wants_json(&call.headers)
}

/// A code for a PIN: letters and digits that are hard to mix up would be nicer, but hex will do.
fn code(number: u64, strong: bool) -> String {
    let code = hex(&format!("pin {number}"));
    if strong { code[..25].to_owned() } else { code[..4].to_uppercase() }
}
