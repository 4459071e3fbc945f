//! The children of a schedule at the API server: read, made as wanted, and removed where nobody wants them any more.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::labels;
use super::pod::Blueprint;
use super::{cronjob, deployment};
use crate::apply::{self, Applied, FIELD_MANAGER};
use crate::error::{self, Error};
use crate::watched::{Key, Versions};

/// The kinds of children that are read, as watches and errors name them.
pub const KINDS: [&str; 3] = [CRONJOB, DEPLOYMENT, JOB];
/// See [`KINDS`].
pub const CRONJOB: &str = "CronJob";
/// See [`KINDS`].
pub const DEPLOYMENT: &str = "Deployment";
/// See [`KINDS`].
pub const JOB: &str = "Job";

/// Children as they shall be.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The CronJobs.
    pub cronjobs: Vec<CronJob>,
    /// The follower.
    pub follower: Option<Deployment>,
}

impl Wanted {
    /// Those of a schedule.
    pub fn of(blueprint: &Blueprint<'_>) -> Self {
        Self { cronjobs: cronjob::all(blueprint), follower: deployment::follower(blueprint) }
    }

    /// All of it, as a hash.
    pub fn fingerprint(&self) -> Result<[u8; 32], Error> {
        let text = serde_json::to_vec(&(&self.cronjobs, &self.follower)).map_err(kube::Error::SerdeError);
        Ok(Sha256::digest(text.map_err(Error::kubernetes("writing the children down"))?).into())
    }
}

/// Children as the API server has them.
#[derive(Debug, Clone, Default)]
pub struct Live {
    /// The CronJobs.
    pub cronjobs: Vec<CronJob>,
    /// The followers: one, or none.
    pub deployments: Vec<Deployment>,
    /// The Jobs, made by CronJobs or asked for.
    pub jobs: Vec<Job>,
}

impl Live {
    /// Which they are, and in which versions.
    pub fn versions(&self) -> Versions {
        fn of<K: Resource>(kind: &'static str, all: &[K]) -> impl Iterator<Item = (Key, String)> {
            all.iter().map(move |one| ((kind, one.name_any()), one.resource_version().unwrap_or_default()))
        }
        let (cronjobs, deployments) = (of(CRONJOB, &self.cronjobs), of(DEPLOYMENT, &self.deployments));
        cronjobs.chain(deployments).chain(of(JOB, &self.jobs)).collect()
    }
}

/// Reads and writes children.
pub struct Children<'a> {
    client: &'a Client,
    namespace: &'a str,
    schedule: &'a str,
}

impl<'a> Children<'a> {
    /// Those of a schedule.
    pub fn of(client: &'a Client, namespace: &'a str, schedule: &'a str) -> Self {
        Self { client, namespace, schedule }
    }

    fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    async fn list<K>(&self, what: &'static str) -> Result<Vec<K>, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let query = ListParams::default().labels(&labels::query(self.schedule));
        Ok(self.api::<K>().list(&query).await.map_err(Error::kubernetes(what))?.items)
    }

    /// What is there. `some`: whether there may be any of a kind; where there is none for sure, nobody is asked.
    pub async fn live(&self, some: impl Fn(&str) -> bool) -> Result<Live, Error> {
        let (cronjobs, deployments, jobs) = tokio::try_join!(
            asked(some(CRONJOB), self.list("listing the CronJobs of the schedule")),
            asked(some(DEPLOYMENT), self.list("listing the Deployments of the schedule")),
            asked(some(JOB), self.list("listing the Jobs of the schedule")),
        )?;
        Ok(Live { cronjobs, deployments, jobs })
    }

    /// The pods, of all parts.
    pub async fn pods(&self) -> Result<Vec<Pod>, Error> {
        self.list("listing the pods of the schedule").await
    }

    /// Makes CronJobs and follower be as wanted, and removes those that aren't wanted. `live` is as the API server has them then. Answers why one
    /// can't be made: that is no reason to leave out the others.
    pub async fn settle(
        &self,
        blueprint: &Blueprint<'_>,
        wanted: &Wanted,
        live: &mut Live,
    ) -> Result<Option<String>, Error> {
        let mut refused = None;
        for wanted in &wanted.cronjobs {
            refused = self.apply(wanted, &mut live.cronjobs, blueprint, "applying a CronJob").await?.or(refused);
        }
        if let Some(wanted) = &wanted.follower {
            refused =
                self.apply(wanted, &mut live.deployments, blueprint, "applying the Deployment").await?.or(refused);
        }
        self.remove(&mut live.cronjobs, &wanted.cronjobs, blueprint, "deleting a CronJob").await?;
        self.remove(&mut live.deployments, wanted.follower.as_slice(), blueprint, "deleting the Deployment").await?;
        Ok(refused)
    }

    async fn apply<K>(
        &self,
        wanted: &K,
        live: &mut Vec<K>,
        blueprint: &Blueprint<'_>,
        what: &'static str,
    ) -> Result<Option<String>, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Serialize + DeserializeOwned + Clone + Debug,
    {
        let known = live.iter().position(|live| live.name_any() == wanted.name_any());
        if known.is_none()
            && let Some(why) = self.taken(wanted, blueprint).await?
        {
            return Ok(Some(why));
        }
        let applied = apply::apply(&self.api(), wanted, known.and_then(|known| live.get(known))).await;
        match applied.map_err(Error::kubernetes(what)) {
            Ok(Applied::Unchanged) => {}
            Ok(Applied::Written(now)) => {
                live.retain(|live| live.name_any() != now.name_any());
                live.push(now);
            }
            Err(error) => return refusal(error).map(Some),
        }
        Ok(None)
    }

    /// Why a child can't be made: its name is taken by what somebody else made. An apply would take that over, and the garbage collector take it away
    /// one day. What is listed under our label needs no such question.
    async fn taken<K>(&self, wanted: &K, blueprint: &Blueprint<'_>) -> Result<Option<String>, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
    {
        let name = wanted.name_any();
        let found = self.api::<K>().get_metadata_opt(&name).await;
        let found = found.map_err(Error::kubernetes("looking whether a name is taken"))?;
        Ok(found.filter(|found| !is_ours(found.owner_references(), &blueprint.owner)).map(|_| {
            let kind = K::kind(&());
            format!(
                "the {kind} {name} exists and was not made for this SyncSchedule: remove or rename it, or make a SyncSchedule of another name"
            )
        }))
    }

    /// Only what this very schedule owns: one of the same name that is gone may have left some to the garbage collector, and labels can be copied.
    async fn remove<K>(
        &self,
        live: &mut Vec<K>,
        wanted: &[K],
        blueprint: &Blueprint<'_>,
        what: &'static str,
    ) -> Result<(), Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
    {
        let owned = |object: &K| object.owner_references().iter().any(|owner| owner.uid == blueprint.owner.uid);
        let kept = |object: &K| wanted.iter().any(|wanted| wanted.name_any() == object.name_any());
        let (gone, left) = std::mem::take(live).into_iter().partition(|object| owned(object) && !kept(object));
        *live = left;
        let gone: Vec<K> = gone;
        for object in gone {
            tracing::info!(schedule = self.schedule, name = object.name_any(), "no longer wanted: removed");
            apply::delete(&self.api(), &object).await.map_err(Error::kubernetes(what))?;
        }
        Ok(())
    }

    /// Makes a Job that somebody asked for. False: it was made before.
    pub async fn start(&self, job: &Job) -> Result<bool, Error> {
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match self.api::<Job>().create(&params, job).await {
            Ok(_) => Ok(true),
            Err(error) if apply::is(&error, 409) => Ok(false),
            Err(error) => Err(Error::kubernetes("creating a Job")(error)),
        }
    }
}

async fn asked<K>(some: bool, answer: impl Future<Output = Result<Vec<K>, Error>>) -> Result<Vec<K>, Error> {
    if some { answer.await } else { Ok(Vec::new()) }
}

/// Whether an object was made for the schedule `owner`, or for an earlier one of its name that is gone: what is left of that is taken over.
fn is_ours(owners: &[OwnerReference], owner: &OwnerReference) -> bool {
    fn named(owner: &OwnerReference) -> (Option<&str>, &str, &str) {
        // Of whichever version.
        (owner.api_version.split('/').next(), &owner.kind, &owner.name)
    }
    owners.iter().any(|one| one.controller == Some(true) && named(one) == named(owner))
}

/// What the API server says about an object that it doesn't take; any other error is one.
fn refusal(error: Error) -> Result<String, Error> {
    match &error {
        Error::Kubernetes { cause, .. } if is_refused(cause) => {
            Ok(format!("the API server refuses what the spec asks for: {}", error::words(cause)))
        }
        _ => Err(error),
    }
}

/// Whether it was this object that the API server didn't take: it is invalid, or against a quota or a policy of the cluster. What is about who asks,
/// where, at the same time as others or too often, another try may help against.
fn is_refused(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    (400..500).contains(&status.code) && ![401, 404, 409, 429].contains(&status.code)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn what_the_api_server_does_not_take_is_refused_and_what_may_pass_is_not() {
        let refused = [400, 403, 413, 422];
        for code in [400, 401, 403, 404, 409, 413, 422, 429, 500, 503] {
            let status = Status { code, message: "exceeded quota".to_owned(), ..Status::default() };
            let told = refusal(Error::kubernetes("applying a CronJob")(kube::Error::Api(Box::new(status)))).ok();
            let expected = "the API server refuses what the spec asks for: exceeded quota";
            assert_eq!(told.as_deref(), refused.contains(&code).then_some(expected), "{code}");
        }
    }

    #[test]
    fn a_child_belongs_to_the_schedule_that_controls_it_in_this_life_or_an_earlier_one() {
        let owner = |api_version: &str, kind: &str, name: &str, uid: &str, controller| OwnerReference {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
            controller,
            ..OwnerReference::default()
        };
        let ours = owner("watchstate.dev/v1alpha1", "SyncSchedule", "home", "1", Some(true));
        let cases = [
            (vec![], false),
            (vec![ours.clone()], true),
            (vec![owner("watchstate.dev/v1", "SyncSchedule", "home", "0", Some(true))], true),
            (vec![owner("watchstate.dev/v1alpha1", "SyncSchedule", "home", "1", None)], false),
            (vec![owner("watchstate.dev/v1alpha1", "SyncSchedule", "other", "2", Some(true))], false),
            (vec![owner("watchstate.dev/v1alpha1", "MediaServer", "home", "3", Some(true))], false),
            (vec![owner("example.org/v1", "SyncSchedule", "home", "4", Some(true))], false),
            (vec![owner("apps/v1", "Deployment", "x", "5", None), ours.clone()], true),
        ];
        for (owners, expected) in cases {
            assert_eq!(is_ours(&owners, &ours), expected, "{owners:?}");
        }
    }
}
