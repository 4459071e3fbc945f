//! The registry as merging needs it: servers, accounts and policies by their keys.

use std::collections::HashMap;

use watchstate_store::registry::{self, Account, SchedulePolicy, Server};
use watchstate_store::{Connection, Result};

/// One look into the registry.
#[derive(Debug, Clone, Default)]
pub struct Household {
    /// The servers.
    pub servers: HashMap<i64, Server>,
    /// The accounts.
    pub accounts: HashMap<i64, Account>,
    /// The schedules' policies, by name.
    pub schedules: Vec<(String, SchedulePolicy)>,
}

impl Household {
    /// Reads the registry.
    pub async fn load(connection: &mut Connection) -> Result<Self> {
        let servers = registry::servers(connection).await?;
        let accounts = registry::accounts(connection).await?;
        let schedules = registry::schedules(connection).await?;
        Ok(Self {
            servers: servers.into_iter().map(|server| (server.id, server)).collect(),
            accounts: accounts.into_iter().map(|account| (account.id, account)).collect(),
            schedules,
        })
    }

    /// The policy that holds for a server.
    pub fn policy(&self, server: &Server) -> SchedulePolicy {
        SchedulePolicy::of_server(&self.schedules, &server.name)
    }

    /// The server of an account.
    pub fn server_of(&self, account: &Account) -> Option<&Server> {
        self.servers.get(&account.server_id)
    }
}
