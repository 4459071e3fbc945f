//! Which server and account an event is of. Pure: a token says which servers may have sent it, the event says which of them did, and who watched.

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use watchstate_domain::item::ServerKind;
use watchstate_domain::notice::{Notice, Reason, Teller, What, same_id};
use watchstate_merge::household::Household;
use watchstate_runtime::redact;
use watchstate_store::inbox::{Received, Verdict};
use watchstate_store::registry::{Account, Server};

/// Payloads without a stamp of their own are the same event when they come again within this time, or at most twice of it: retries of a proxy come within
/// seconds.
const SAME_EVENT_SECONDS: i64 = 600;

/// An event as it goes into the inbox. `servers`: whose token it came with. `body`: the bytes that it was read from, `place`: where in them.
pub fn resolve(
    household: &Household,
    servers: &[i64],
    kind: ServerKind,
    mut notice: Notice,
    body: &[u8],
    place: usize,
    received_at: Timestamp,
) -> Received {
    let servers = servers.iter().filter_map(|id| household.servers.get(id));
    let candidates: Vec<&Server> = servers.filter(|server| server.kind == kind).collect();
    let server = server(&candidates, &notice);
    let (server_id, account_id, reason) = match server {
        Err(reason) => (only(&candidates).map(|server| server.id), None, Some(reason)),
        Ok(server) => {
            let accounts = household.accounts.values().filter(|account| account.server_id == server.id);
            match account(server, accounts, &notice) {
                Ok(account) => (Some(server.id), account.map(|account| account.id), at_once(&notice)),
                Err(reason) => (Some(server.id), None, Some(reason)),
            }
        }
    };
    if let Some(teller) = &mut notice.account {
        // Some servers call people by their e-mail address, which is nobody's business once it is known who it was.
        teller.name = redact::scrub(&teller.name).into_owned();
    }
    let bucket = notice.sent_at.is_none().then(|| received_at.as_second().div_euclid(SAME_EVENT_SECONDS));
    Received {
        digest: digest(body, place, server_id, bucket),
        earlier: bucket.map(|bucket| digest(body, place, server_id, Some(bucket - 1))),
        server_id,
        account_id,
        received_at,
        verdict: if reason.is_some() { Verdict::Ignored } else { Verdict::Waiting },
        reason: reason.map(|reason| reason.sentence().to_owned()),
        notice,
    }
}

/// By which the same event is known when it comes again.
fn digest(body: &[u8], place: usize, server_id: Option<i64>, bucket: Option<i64>) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(server_id.unwrap_or_default().to_le_bytes());
    hash.update(bucket.unwrap_or_default().to_le_bytes());
    hash.update((place as u64).to_le_bytes());
    hash.update(body);
    hash.finalize().to_vec()
}

fn only<T: Copy>(all: &[T]) -> Option<T> {
    match all {
        [one] => Some(*one),
        _ => None,
    }
}

/// The server that sent it, out of those of its kind that have its token.
fn server<'a>(candidates: &[&'a Server], notice: &Notice) -> Result<&'a Server, Reason> {
    let told = notice.server_id.as_deref();
    let named =
        |server: &&Server| told.is_some_and(|told| server.remote_id.as_deref().is_some_and(|id| same_id(id, told)));
    // Nobody has asked them yet who they are; or the household doesn't mind.
    let could_be = |server: &&Server| server.remote_id.is_none() || told.is_none() || !server.policy.match_server;
    let found = if let Some(found) = candidates.iter().copied().find(named) {
        found
    } else {
        match candidates.iter().copied().filter(could_be).collect::<Vec<_>>()[..] {
            [] => return Err(Reason::OtherServer),
            [one] => one,
            _ => return Err(Reason::Ambiguous),
        }
    };
    if found.policy.suspend || !found.policy.webhook {
        return Err(Reason::Off);
    }
    Ok(found)
}

/// Whose it is; None for events of nobody, such as a new item.
fn account<'a>(
    server: &Server,
    accounts: impl Iterator<Item = &'a Account>,
    notice: &Notice,
) -> Result<Option<&'a Account>, Reason> {
    if notice.what == What::Added {
        return if notice.item.is_some() { Ok(None) } else { Err(Reason::NoItem) };
    }
    let Some(teller) = &notice.account else {
        return Err(at_once(notice).unwrap_or(Reason::NoUser));
    };
    let accounts: Vec<&Account> = accounts.collect();
    if let Some(account) = of(&accounts, teller) {
        return Ok(Some(account));
    }
    match only(&accounts).filter(|_| !server.policy.match_user) {
        Some(account) => Ok(Some(account)),
        None => Err(at_once(notice).unwrap_or(Reason::OtherUser)),
    }
}

/// By id, else by name where only one bears it: Plex tells the owner by another id than the server does, and an account that nobody has asked for yet is
/// known as it was configured.
fn of<'a>(accounts: &[&'a Account], teller: &Teller) -> Option<&'a Account> {
    let by_id = |account: &&&Account| {
        let known = account.remote_id.as_deref().unwrap_or(&account.configured);
        !teller.id.is_empty() && same_id(known, &teller.id)
    };
    if let Some(account) = accounts.iter().find(by_id) {
        return Some(account);
    }
    let named: Vec<&Account> = accounts
        .iter()
        .copied()
        .filter(|account| {
            let name = account.remote_name.as_deref().unwrap_or(&account.configured).trim();
            !name.is_empty() && name.to_lowercase() == teller.name.trim().to_lowercase()
        })
        .collect();
    only(&named)
}

/// What can be said of an event without a look at what is known.
fn at_once(notice: &Notice) -> Option<Reason> {
    match notice.what {
        What::Started => Some(Reason::Begins),
        What::Rated => Some(Reason::Rated),
        What::Test => Some(Reason::Test),
        What::Other => Some(Reason::NoBearing),
        _ => notice.item.is_none().then_some(Reason::NoItem),
    }
}

#[cfg(test)]
mod tests;
