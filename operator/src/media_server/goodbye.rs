//! The end of a MediaServer. A finalizer holds it only while a webhook of ours may be at the server, and never for long; the registry follows by
//! itself: what has no resource any more is swept out, also when the resource went while nobody watched or the database was away.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::runtime::reflector;
use kube::{Api, ResourceExt};
use watchstate_crds::MediaServer;
use watchstate_crds::condition::{WEBHOOK_REGISTERED, find};
use watchstate_runtime::redact;
use watchstate_servers::MediaServer as Client;
use watchstate_store::{Store, StoreError, registry};

use super::Shared;
use super::probe::{self, Question};
use super::{registration, secrets};
use crate::apply;
use crate::context::Context;
use crate::error::{Error, words};
use crate::events::Reason;

/// Holds a MediaServer until the webhook at its server is taken away.
pub const FINALIZER: &str = "watchstate.dev/webhook";

/// Whether the finalizer is there.
pub fn is_held(server: &MediaServer) -> bool {
    server.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

/// Puts the finalizer on.
pub async fn hold(context: &Context, server: &MediaServer) -> Result<(), Error> {
    let api = Api::namespaced(context.client.clone(), &context.namespace);
    apply::add_finalizer(&api, server, FINALIZER).await.map(drop).map_err(Error::kubernetes("setting the finalizer"))
}

/// Takes the webhook away from the server and lets the resource go. Where the server can't be asked, that is told, and the resource goes all the same.
pub async fn let_go(shared: &Shared, server: &MediaServer) -> Result<(), Error> {
    if !is_held(server) {
        return Ok(());
    }
    let context = &shared.context;
    if !may_be_there(server) {
        return release(context, server).await;
    }
    let taken = tokio::time::timeout(registration::GOODBYE, take_away(shared, server));
    let why = match taken.await {
        Ok(Ok(true)) => {
            context.events.publish(server, Reason::WebhookRemoved, "The server no longer sends its events here").await;
            None
        }
        Ok(Ok(false)) => None,
        Ok(Err(why)) => Some(why),
        Err(_) => Some(format!("no answer within {:?}", registration::GOODBYE)),
    };
    if let Some(why) = why {
        let note = format!(
            "The webhook is left at the server: {why}. Remove it there by hand; its events are refused from now on"
        );
        tracing::warn!(server = server.name_any(), "{note}");
        context.events.publish(server, Reason::WebhookLeft, &note).await;
    }
    release(context, server).await
}

/// Takes the finalizer off.
pub async fn release(context: &Context, server: &MediaServer) -> Result<(), Error> {
    let api = Api::namespaced(context.client.clone(), &context.namespace);
    apply::remove_finalizer(&api, server, FINALIZER).await.map_err(Error::kubernetes("taking the finalizer off"))
}

/// Whether the server may know a webhook of ours: it may have been told before it refused, or before our address was taken out of the settings.
fn may_be_there(server: &MediaServer) -> bool {
    let conditions = server.status.as_ref().map(|status| &status.conditions[..]).unwrap_or_default();
    find(conditions, WEBHOOK_REGISTERED).is_some()
}

async fn take_away(shared: &Shared, server: &MediaServer) -> Result<bool, String> {
    // With the Secrets deleted in the same breath, what is remembered may be all that is left to reach the server with.
    let remembered = shared.memory.of(&server.uid().unwrap_or_default()).and_then(|remembered| remembered.parting);
    // A token goes to where it was taken, and nowhere else.
    let client = match remembered.filter(|(url, _)| *url == server.spec.url) {
        Some((_, access)) => probe::connect(&shared.context, server, access).map_err(|error| redact::chain(&error))?,
        None => reached(&shared.context, server).await?,
    };
    registration::remove(client.as_ref(), server).await
}

async fn reached(context: &Context, server: &MediaServer) -> Result<Arc<dyn Client>, String> {
    let gathered = secrets::gather(context, server).await.map_err(|error| redact::chain(&error))?;
    let gathered = gathered.map_err(|lack| lack.message)?;
    let known = server.status.as_ref().and_then(|status| status.server.as_ref()).map(|identity| identity.id.as_str());
    let nobody = Ok(Vec::new());
    let question = Question { server, people: &nobody, gathered: &gathered, known, before: None };
    let answer = probe::ask(context, &question).await;
    answer.client.ok_or(answer.findings.authenticated.message)
}

/// Sweeps out of the registry what has no resource any more. History stays. `there` tells the names of all resources. It is asked after the registry was
/// read, so that it knows what was registered meanwhile, and again while what shall go is held: one that is made anew by the same name is registered
/// after us.
pub async fn sweep(store: &Store, there: impl Fn() -> BTreeSet<String>) -> Result<Vec<String>, StoreError> {
    let mut transaction = store.begin().await?;
    let registered = registry::servers(&mut transaction).await?;
    let known = there();
    let gone: Vec<String> =
        registered.into_iter().map(|server| server.name).filter(|name| !known.contains(name)).collect();
    let mut swept = registry::hold_servers(&mut transaction, &gone).await?;
    let known = there();
    swept.retain(|name| !known.contains(name));
    for name in &swept {
        registry::remove_server(&mut transaction, name).await?;
    }
    transaction.commit().await?;
    Ok(swept)
}

/// When this process ends because its namespace does, nobody will be there to let resources go: they are let go now.
pub async fn let_all_go(context: &Context) {
    let namespaces: Api<Namespace> = Api::all(context.client.clone());
    let ends = match namespaces.get_opt(&context.namespace).await {
        Ok(found) => found.is_none_or(|namespace| namespace.metadata.deletion_timestamp.is_some()),
        Err(error) => {
            tracing::debug!("whether the namespace ends can't be told: {}", words(&error));
            false
        }
    };
    if !ends {
        return;
    }
    tracing::info!("the namespace is being deleted: no MediaServer is held back");
    for gone in join_all(held(context).await.iter().map(|server| release(context, server))).await {
        if let Err(error) = gone {
            tracing::warn!("a MediaServer is held back: {}", redact::chain(&error));
        }
    }
}

/// Takes all webhooks away and lets the resources go, which stay.
pub async fn farewell(context: &Arc<Context>) {
    let (servers, _) = reflector::store();
    let shared = Shared::new(context.clone(), servers);
    for gone in join_all(held(context).await.iter().map(|server| let_go(&shared, server))).await {
        if let Err(error) = gone {
            tracing::warn!("a MediaServer is held back: {}", redact::chain(&error));
        }
    }
}

/// Those that the finalizer holds.
async fn held(context: &Context) -> Vec<MediaServer> {
    let api: Api<MediaServer> = Api::namespaced(context.client.clone(), &context.namespace);
    match api.list(&ListParams::default()).await {
        Ok(servers) => servers.items.into_iter().filter(is_held).collect(),
        Err(error) => {
            tracing::warn!("the MediaServers can't be listed, some may be held back: {}", words(&error));
            Vec::new()
        }
    }
}
