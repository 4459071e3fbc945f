//! What only plex.tv knows: who the accounts are, and which token lets each of them into the server. Answers hold tokens, so
//! nothing of them is shown.

use http::Method;
use http::header::ACCEPT;
use secrecy::SecretString;
use serde::de::DeserializeOwned;

use super::dto::{Friends, Home, HomeUser, Resource, Shares, Switched, TvUser};
use super::{Server, lacks};
use crate::error::ErrorKind;
use crate::http::{Answer, NO_QUERY, Repeat, Request, exposed};
use crate::operation::Operation;
use crate::{Account, Result};

const HOME: &str = "/api/v2/home/users";

impl HomeUser {
    /// The name that Plex shows.
    fn name(&self) -> String {
        [&self.title, &self.friendly_name, &self.username]
            .into_iter()
            .flatten()
            .find(|name| !name.is_empty())
            .cloned()
            .unwrap_or_default()
    }
}

impl Server {
    pub(super) fn tv_request(
        &self,
        token: &SecretString,
        operation: Operation,
        route: &'static str,
        ids: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Request> {
        let mut request = self.sign(self.tv.request(operation, route, ids, query), token)?;
        request.secret_answer = true;
        request.if_refused = "plex.tv refused the token (401): other accounts need a token of the owner's Plex account, in the Secret that tokenSecretRef names";
        Ok(request)
    }

    pub(super) async fn tv_json<T: DeserializeOwned>(&self, request: &Request) -> Result<T> {
        let answer = self.tv.send(request).await?;
        self.tv.json(request, &answer)
    }

    /// The older routes of plex.tv know XML only.
    async fn tv_xml<T: DeserializeOwned>(&self, operation: Operation, route: &'static str, ids: &[&str]) -> Result<T> {
        let request = self.tv_request(&self.token, operation, route, ids, NO_QUERY)?.header(ACCEPT, "application/xml");
        let Answer { body, .. } = self.tv.send(&request).await?;
        let bad = || self.tv.error(operation, ErrorKind::BadAnswer, "unexpected XML");
        let text = std::str::from_utf8(&body).map_err(|_| bad())?;
        // The library's own words may quote values.
        quick_xml::de::from_str(text).map_err(|_| bad())
    }

    /// The id and the name of the token's account at plex.tv.
    pub(super) async fn tv_user(&self) -> Result<(String, String)> {
        let request = self.tv_request(&self.token, Operation::Accounts, "/api/v2/user", &[], NO_QUERY)?;
        let user: TvUser = self.tv_json(&request).await?;
        let Some(id) = user.id else {
            return Err(self.tv.error(Operation::Accounts, ErrorKind::BadAnswer, "the account came without an id"));
        };
        let name = [user.title, user.username].into_iter().flatten().find(|name| !name.is_empty()).unwrap_or_default();
        Ok((id.to_string(), name))
    }

    /// The members of the owner's home. None where there is no home.
    async fn home(&self, operation: Operation) -> Result<Vec<HomeUser>> {
        let request = self.tv_request(&self.token, operation, HOME, &[], NO_QUERY)?;
        match self.tv_json::<Home>(&request).await {
            Ok(home) => Ok(home.users),
            Err(error) if lacks(&error) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn shares(&self, operation: Operation, server_id: &str) -> Result<Shares> {
        self.tv_xml(operation, "/api/servers/{server}/shared_servers", &[server_id]).await
    }

    /// Adds the accounts beside the owner's, as far as they are told: members of the home, and friends with whom this server is shared.
    pub(super) async fn others(&self, owner: &str, server_id: &str, accounts: &mut Vec<Account>) -> Result<()> {
        let operation = Operation::Accounts;
        for user in self.home(operation).await? {
            let name = user.name();
            if let Some(id) = user.id.map(|id| id.to_string()).filter(|id| id != owner) {
                accounts.push(Account { id, name, admin: false, own: false });
            }
        }
        let shares = self.shares(operation, server_id).await?.shares;
        // Most servers are shared with nobody.
        if shares.iter().all(|share| accounts.iter().any(|account| account.id == share.user_id)) {
            return Ok(());
        }
        let friends: Friends = self.tv_xml(operation, "/api/users", &[]).await?;
        for friend in friends.users {
            let known = friend.id == owner || accounts.iter().any(|account| account.id == friend.id);
            if !known && shares.iter().any(|share| share.user_id == friend.id) {
                let name = if friend.title.is_empty() { friend.username } else { friend.title };
                accounts.push(Account { id: friend.id, name, admin: false, own: false });
            }
        }
        Ok(())
    }

    /// A token with which the server takes us for `account`.
    pub(super) async fn token_of(&self, account: &Account, server_id: &str) -> Result<SecretString> {
        if let Some(token) = self.credentials.of_account(&account.id, &account.name).and_then(|own| own.token.as_ref())
        {
            return Ok(token.clone());
        }
        if account.own {
            return Ok(self.token.clone());
        }
        let member = self
            .home(Operation::Open)
            .await?
            .into_iter()
            .find(|user| user.id.is_some_and(|id| id.to_string() == account.id));
        match member {
            Some(member) => self.member_token(account, &member, server_id).await,
            None => self.friend_token(account, server_id).await,
        }
    }

    /// A member of the home: become that member at plex.tv, then look up which token opens the server.
    async fn member_token(&self, account: &Account, member: &HomeUser, server_id: &str) -> Result<SecretString> {
        let operation = Operation::Open;
        let name = &account.name;
        let pin = self.credentials.of_account(&account.id, name).and_then(|secret| secret.pin.as_ref());
        if member.protected == Some(true) && pin.is_none() {
            let problem = format!("the account {name:?} is protected by a PIN: name its Secret in pinSecretRef");
            return Err(self.tv.error(operation, ErrorKind::Configuration, problem));
        }
        let query: Vec<_> = pin.iter().map(|pin| ("pin", exposed(pin))).collect();
        let request = self
            .tv_request(&self.token, operation, "/api/v2/home/users/{user}/switch", &[&member.uuid], &query)?
            .write(Method::POST, Repeat::Harmless);
        let switched: Switched = self.tv_json(&request).await.map_err(|error| match error.kind() {
            ErrorKind::Unauthorized | ErrorKind::Forbidden => error.meaning(
                ErrorKind::Configuration,
                format!("plex.tv doesn't let us become {name:?}: correct the PIN in pinSecretRef, and use the home owner's token"),
            ),
            _ => error,
        })?;
        let token = SecretString::from(switched.auth_token);
        let query = [("includeHttps", "1"), ("includeRelay", "1"), ("includeIPv6", "1")];
        let request = self.tv_request(&token, operation, "/api/v2/resources", &[], &query)?;
        let resources: Vec<Resource> = self.tv_json(&request).await?;
        resources
            .into_iter()
            .find(|resource| resource.client_identifier == server_id)
            .and_then(|resource| resource.access_token)
            .map(SecretString::from)
            .ok_or_else(|| self.no_access(account))
    }

    async fn friend_token(&self, account: &Account, server_id: &str) -> Result<SecretString> {
        let shares = self.shares(Operation::Open, server_id).await?.shares;
        shares
            .into_iter()
            .find(|share| share.user_id == account.id)
            .and_then(|share| share.access_token)
            .map(SecretString::from)
            .ok_or_else(|| self.no_access(account))
    }

    fn no_access(&self, account: &Account) -> crate::ServerError {
        let problem = format!(
            "the account {:?} has no access to this server: share a library with it, or name a token of its own in tokenSecretRef",
            account.name
        );
        self.tv.error(Operation::Open, ErrorKind::Forbidden, problem)
    }
}
