//! A simulated Jellyfin or Emby. Both come from `MediaBrowser` and share most routes; what differs asks the
//! [`Flavor`](crate::world::Flavor). Steps of a call: find the route, find out who calls, run the handler, spell the
//! answer as asked (camel case).

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::http::{Answer, Call, Group, Operation};
use crate::world::{Caller, Flavor, Media, Model, UserId, World};

mod credentials;
mod describe;
mod items;
mod libraries;
mod marks;
mod notifications;
mod routes;
mod select;
mod sessions;
mod spelling;
mod system;
#[cfg(test)]
mod tests;
mod users;

use credentials::{Credentials, Device};
use describe::{Folders, Wanted};
use routes::{Access, Route};
pub(crate) use spelling::{date, provider};

/// Ticks in a millisecond; both count time in units of 100 ns.
pub(crate) const TICKS: u64 = 10_000;

/// Which route a call takes.
pub fn operation(flavor: Flavor, call: &Call) -> Operation {
    let Some((route, _)) = routes::find(flavor, call) else {
        return Operation { label: "unknown", group: Group::Other };
    };
    let group = match route.group {
        Group::ReadPage if call.parsed::<u64>("limit") == Some(0) => Group::Count,
        Group::ReadPage if call.value("ids").is_some() => Group::ById,
        group => group,
    };
    Operation { label: route.label, group }
}

/// Carries a call out.
pub fn answer(world: &World, call: &Call) -> Answer {
    let flavor = world.flavor();
    let Some((route, params)) = routes::find(flavor, call) else {
        return Answer::status(StatusCode::NOT_FOUND);
    };
    let legacy = world.read(|model| model.settings.legacy_authorization);
    let Credentials { token, device } = Credentials::of(call, flavor, legacy);
    let caller = token.as_deref().and_then(|token| world.read(|model| model.caller(token)));
    let user = caller.as_ref().and_then(Caller::user).map(str::to_owned);
    let context = Context { world, call, flavor, params, caller, token, device };
    let answer = match context.admit(route) {
        Err(refused) => refused,
        Ok(()) => (route.run)(&context).unwrap_or_else(|refused| refused),
    };
    let answer = if flavor.is_jellyfin() { spelling::as_asked(call, answer) } else { answer };
    let answer = if call.method == Method::HEAD { Answer { body: bytes::Bytes::new(), ..answer } } else { answer };
    answer.to(user.as_deref())
}

/// An item with all that its own page shows, and with the state of a user if one is named.
pub(crate) fn whole_item(model: &Model, user: Option<&str>, media: &Media) -> Value {
    let folders = if media.kind.is_playable() { Folders::default() } else { Folders::count(model, user) };
    describe::item(model, user, media, &Wanted::all(), &folders)
}

/// `Type`.
pub(crate) const fn kind_name(media: &Media) -> &'static str {
    describe::kind_name(media.kind)
}

/// A call on its way through a handler.
struct Context<'a> {
    world: &'a World,
    call: &'a Call,
    flavor: Flavor,
    /// What stood in the place of the template's `{…}`, in order.
    params: Vec<String>,
    caller: Option<Caller>,
    token: Option<String>,
    device: Device,
}

/// What handlers come to: an answer, or an early refusal.
type Handled = Result<Answer, Answer>;

impl Context<'_> {
    fn admit(&self, route: &Route) -> Result<(), Answer> {
        match (route.access, &self.caller) {
            (Access::Anyone, _) => Ok(()),
            (_, None) => Err(self.unauthorized()),
            (Access::Admin, Some(caller)) if !caller.is_admin() => Err(self.refuse(StatusCode::FORBIDDEN)),
            (Access::Known | Access::Admin, Some(_)) => Ok(()),
        }
    }

    fn unauthorized(&self) -> Answer {
        if self.flavor.is_emby() {
            return Answer::new(StatusCode::UNAUTHORIZED, "text/plain", "Access token is invalid or expired.");
        }
        Answer::status(StatusCode::UNAUTHORIZED)
    }

    /// A refusal in the words of the server: problem details (Jellyfin), plain text (Emby).
    fn refuse(&self, status: StatusCode) -> Answer {
        let reason = status.canonical_reason().unwrap_or("Error");
        if self.flavor.is_emby() {
            return Answer::new(status, "text/plain", reason);
        }
        let problem = json!({
            "type": "https://tools.ietf.org/html/rfc9110#section-15.5",
            "title": reason,
            "status": status.as_u16(),
        });
        Answer::new(status, "application/problem+json; charset=utf-8", problem.to_string())
    }

    fn not_found(&self) -> Answer {
        self.refuse(StatusCode::NOT_FOUND)
    }

    /// An id as the model has it. Jellyfin reads GUIDs, with dashes or without, and refuses anything else.
    fn id(&self, raw: &str) -> Result<String, Answer> {
        if !self.flavor.is_jellyfin() {
            return Ok(raw.to_owned());
        }
        let id = raw.replace('-', "").to_ascii_lowercase();
        let valid = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if valid { Ok(id) } else { Err(self.refuse(StatusCode::BAD_REQUEST)) }
    }

    /// The nth id in the path.
    fn param(&self, nth: usize) -> Result<String, Answer> {
        self.id(self.params.get(nth).map(String::as_str).unwrap_or_default())
    }

    /// The user whom a call is about: the one it names, else the caller. None: an API key that names nobody.
    fn user(&self, named: Option<&str>) -> Result<Option<UserId>, Answer> {
        let own = self.caller.as_ref().and_then(Caller::user).map(str::to_owned);
        let Some(named) = named.filter(|named| !named.is_empty()) else { return Ok(own) };
        let id = self.id(named)?;
        if id.bytes().all(|byte| byte == b'0') {
            return Ok(own);
        }
        let admin = self.caller.as_ref().is_some_and(Caller::is_admin);
        if !admin && own.as_ref() != Some(&id) {
            return Err(self.refuse(StatusCode::FORBIDDEN));
        }
        let known = self.world.read(|model| model.users.iter().any(|user| user.id == id));
        if known { Ok(Some(id)) } else { Err(self.not_found()) }
    }

    /// The user named by the query's `userId`, else the caller.
    fn query_user(&self) -> Result<Option<UserId>, Answer> {
        self.user(self.call.value("userId"))
    }

    /// The user named by the first id in the path.
    fn path_user(&self) -> Result<UserId, Answer> {
        let user = self.user(self.params.first().map(String::as_str))?;
        user.ok_or_else(|| self.not_found())
    }

    /// The item's id, if this user may see it.
    fn item(&self, user: Option<&str>, id: &str) -> Result<String, Answer> {
        let seen = self.world.read(|model| {
            let media = model.item(id)?;
            let may_see = user.is_none_or(|user| model.may_see(user, &media.library));
            may_see.then(|| media.id.clone())
        });
        seen.ok_or_else(|| self.not_found())
    }

    /// The body as a JSON object with names in lower case, since input names are read in any case.
    fn body(&self) -> Result<Map<String, Value>, Answer> {
        let object: Option<Map<String, Value>> = self.call.json();
        let object = object.ok_or_else(|| self.refuse(StatusCode::BAD_REQUEST))?;
        Ok(object.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect())
    }
}
