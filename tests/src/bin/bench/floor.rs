//! The floor: one server, read and written with no more than its client.

use std::collections::HashMap;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use secrecy::SecretString;
use url::Url;
use watchstate_domain::item::{Item, ServerKind};
use watchstate_servers::{AccountView, Connection, Credentials, Selection, Write};
use watchstate_tests::server::SimServer;
use watchstate_tests::world::{self, World};

/// One server that is read and written with no more than its client.
pub struct Floor {
    _sim: SimServer,
    /// Its client, as its owner's account sees it.
    pub view: Box<dyn AccountView>,
}

impl Floor {
    /// Starts the server, and connects to it.
    pub async fn start(world: World) -> Result<Self> {
        let sim = SimServer::start(world.clone(), "127.0.0.1:0").await?;
        let kind = match world.flavor() {
            flavor if flavor.is_plex() => ServerKind::Plex,
            flavor if flavor.is_jellyfin() => ServerKind::Jellyfin,
            _ => ServerKind::Emby,
        };
        let token = world
            .read(|model| model.owner().and_then(|owner| owner.tokens.last().cloned()))
            .context("the owner has no token")?;
        let credentials = Credentials { token: Some(SecretString::from(token)), ..Credentials::default() };
        // Nobody is asked there: the token's own account is all that is needed.
        let nowhere = Url::parse("http://127.0.0.1:1")?;
        let connection = Connection::new("floor", kind, Url::parse(&sim.url)?, credentials, "bench", nowhere);
        let server = watchstate_servers::connect(connection)?;
        let identity = server.identify(&|| Timestamp::UNIX_EPOCH).await?;
        // Emby can't say whose a token is.
        let account = match server.own_account().await? {
            Some(account) => account,
            None => {
                server.accounts().await?.there.into_iter().find(|account| account.admin).context("nobody is there")?
            }
        };
        let view = server.open(&account, &identity.server_id).await?;
        Ok(Self { _sim: sim, view })
    }

    /// Fetches and parses every page.
    pub async fn fetch(&self) -> Result<usize> {
        let mut items = 0;
        for library in self.view.libraries().await? {
            let mut pages = self.view.items(&library, Selection::All);
            while let Some(page) = pages.try_next().await? {
                items += page.items.len();
            }
        }
        Ok(items)
    }

    /// The same, and keeps them.
    pub async fn read(&self) -> Result<HashMap<String, Item>> {
        let mut items = HashMap::new();
        for library in self.view.libraries().await? {
            let mut pages = self.view.items(&library, Selection::All);
            while let Some(page) = pages.try_next().await? {
                items.extend(page.items.into_iter().map(|item| (item.remote_id.clone(), item)));
            }
        }
        Ok(items)
    }

    /// The requests of an incremental reading that finds nothing.
    pub async fn peek(&self) -> Result<()> {
        let now = Timestamp::MAX;
        for library in self.view.libraries().await? {
            for selection in [Selection::ChangedSince(now), Selection::ActiveSince(now)] {
                self.view.items(&library, selection).try_collect::<Vec<_>>().await?;
            }
            self.view.counts(&library).await?;
        }
        Ok(())
    }

    /// Sends the writes that the worker sent, four at a time and a hundred after a look at their items, as it does.
    pub async fn write(&self, items: &HashMap<String, Item>, sent: &[world::WriteSeen]) -> Result<()> {
        for sent in sent.chunks(100) {
            let ids: Vec<String> = sent.iter().map(|sent| sent.item.clone()).collect();
            self.view.items_by_id(&ids).await?;
            stream::iter(sent.iter().filter_map(|sent| Some((items.get(&sent.item)?, write(&sent.what)?))))
                .map(|(item, write)| async move { self.view.write(item, &write).await })
                .buffered(4)
                .try_collect::<Vec<_>>()
                .await?;
        }
        Ok(())
    }
}

fn write(seen: &world::Write) -> Option<Write> {
    Some(match seen {
        world::Write::Played { date } => Write::Played { at: *date },
        world::Write::Unplayed => Write::Unplayed,
        world::Write::Position { position_ms } => {
            Write::Position { position_ms: *position_ms, at: Timestamp::UNIX_EPOCH }
        }
        world::Write::Set(patch) if patch.played == Some(true) => Write::Played { at: patch.last_played_at },
        world::Write::Set(patch) => Write::Position {
            position_ms: patch.position_ms?,
            at: patch.last_played_at.unwrap_or(Timestamp::UNIX_EPOCH),
        },
        world::Write::Forget | world::Write::Favorite(_) => return None,
    })
}
