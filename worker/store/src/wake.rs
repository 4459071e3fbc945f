//! Wake-ups between processes: `NOTIFY` when there is something to do, `LISTEN` to hear of it. A wake-up may get lost with its connection, so
//! whoever listens also looks by itself from time to time.

use sqlx::postgres::PgListener;

use crate::{Connection, Result, Store};

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Writes to be made, or items to be looked up.
    Outbox,
    /// The registry has changed. Its triggers send this.
    Registry,
}

impl Channel {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Outbox => "watchstate_outbox",
            Self::Registry => "watchstate_registry",
        }
    }
}

/// Wakes who listens, once the transaction has committed.
pub async fn send(connection: &mut Connection, channel: Channel) -> Result<()> {
    sqlx::query!("select pg_notify($1, '')", channel.as_str()).fetch_one(connection).await?;
    Ok(())
}

/// Hears wake-ups, on a connection of its own.
#[derive(Debug)]
pub struct Ear {
    listener: PgListener,
}

impl Store {
    /// Listens to channels from now on.
    pub async fn listen(&self, channels: &[Channel]) -> Result<Ear> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen_all(channels.iter().map(|channel| channel.as_str())).await?;
        Ok(Ear { listener })
    }
}

impl Ear {
    /// Waits for a wake-up. None: the connection was lost and is there again, so that any may have been missed.
    pub async fn hear(&mut self) -> Result<Option<Channel>> {
        loop {
            let Some(notification) = self.listener.try_recv().await? else { return Ok(None) };
            let heard = [Channel::Outbox, Channel::Registry]
                .into_iter()
                .find(|channel| channel.as_str() == notification.channel());
            if heard.is_some() {
                return Ok(heard);
            }
        }
    }
}
