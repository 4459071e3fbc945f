//! The children of a schedule at the API server: read, made as wanted, and removed where nobody wants them any more.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::labels;
use super::pod::Blueprint;
use super::{cronjob, deployment};
use crate::apply::{self, Applied, FIELD_MANAGER};
use crate::error::{self, Error};

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

    /// What is there.
    pub async fn live(&self) -> Result<Live, Error> {
        let (cronjobs, deployments, jobs) = tokio::try_join!(
            self.list("listing the CronJobs of the schedule"),
            self.list("listing the Deployments of the schedule"),
            self.list("listing the Jobs of the schedule"),
        )?;
        Ok(Live { cronjobs, deployments, jobs })
    }

    /// The pods, of all parts.
    pub async fn pods(&self) -> Result<Vec<Pod>, Error> {
        self.list("listing the pods of the schedule").await
    }

    /// Makes CronJobs and follower be as wanted, and removes those that aren't wanted. Answers the follower as it is then, and what the API server
    /// refuses as invalid: that is no reason to leave out the others.
    pub async fn settle(
        &self,
        blueprint: &Blueprint<'_>,
        live: &Live,
    ) -> Result<(Option<Deployment>, Option<String>), Error> {
        let (mut refused, mut follower) = (None, None);
        let cronjobs = cronjob::all(blueprint);
        for wanted in &cronjobs {
            match self.apply(wanted, &live.cronjobs, "applying a CronJob").await {
                Ok(_) => {}
                Err(error) => refused = Some(refusal(error)?),
            }
        }
        let wanted = deployment::follower(blueprint);
        if let Some(wanted) = &wanted {
            match self.apply(wanted, &live.deployments, "applying the Deployment").await {
                Ok(applied) => follower = Some(applied),
                Err(error) => refused = Some(refusal(error)?),
            }
        }
        self.remove(&live.cronjobs, &cronjobs, blueprint, "deleting a CronJob").await?;
        self.remove(&live.deployments, wanted.as_slice(), blueprint, "deleting the Deployment").await?;
        Ok((follower, refused))
    }

    async fn apply<K>(&self, wanted: &K, live: &[K], what: &'static str) -> Result<K, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Serialize + DeserializeOwned + Clone + Debug,
    {
        let live = live.iter().find(|live| live.name_any() == wanted.name_any());
        let applied = apply::apply(&self.api(), wanted, live).await.map_err(Error::kubernetes(what))?;
        Ok(match applied {
            Applied::Written(now) => now,
            Applied::Unchanged => live.unwrap_or(wanted).clone(),
        })
    }

    /// Only what this very schedule owns: one of the same name that is gone may have left some to the garbage collector, and labels can be copied.
    async fn remove<K>(
        &self,
        live: &[K],
        wanted: &[K],
        blueprint: &Blueprint<'_>,
        what: &'static str,
    ) -> Result<(), Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
    {
        for object in live {
            let owned = object.owner_references().iter().any(|owner| owner.uid == blueprint.owner.uid);
            let kept = wanted.iter().any(|wanted| wanted.name_any() == object.name_any());
            if owned && !kept {
                tracing::info!(schedule = self.schedule, name = object.name_any(), "no longer wanted: removed");
                apply::delete(&self.api(), object).await.map_err(Error::kubernetes(what))?;
            }
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

/// What the API server says about an object that it calls invalid; any other error is one.
fn refusal(error: Error) -> Result<String, Error> {
    match &error {
        Error::Kubernetes { cause, .. } if apply::is(cause, 422) => Ok(error::words(cause)),
        _ => Err(error),
    }
}
