//! What users ask for by annotation: a run now, and that a held run goes through. Each value is acted on once, however often it is seen.

use kube::ResourceExt;
use watchstate_crds::{SyncSchedule, annotation};

use super::children::{Children, Live};
use super::job;
use super::pod::Blueprint;
use super::status::Records;
use crate::context::Context;
use crate::error::Error;
use crate::events::Reason;

/// Whether an annotation asks for something that may have to be done yet.
pub fn are_open(schedule: &SyncSchedule) -> bool {
    let handled = schedule.status.as_ref().and_then(|status| status.last_handled_requested_at.as_ref());
    let requested = schedule.annotations().get(annotation::REQUESTED_AT);
    requested.is_some_and(|value| Some(value) != handled) || schedule.annotations().contains_key(annotation::APPROVE)
}

/// The values that were acted on already.
pub fn handled(schedule: &SyncSchedule) -> (Option<String>, Option<String>) {
    let status = schedule.status.clone();
    status.map(|status| (status.last_handled_requested_at, status.last_handled_approval)).unwrap_or_default()
}

/// Does once what each annotation asks for. Answers the values that were acted on, by this reconcile or an earlier one.
pub async fn answer(
    blueprint: &Blueprint<'_>,
    children: &Children<'_>,
    live: &Live,
    records: Option<&Records>,
    context: &Context,
) -> Result<(Option<String>, Option<String>), Error> {
    let schedule = blueprint.schedule;
    let (mut requested_at, mut approval) = handled(schedule);
    // Where nothing runs, a request waits until something does.
    let asked =
        schedule.annotations().get(annotation::REQUESTED_AT).filter(|value| Some(*value) != requested_at.as_ref());
    if let Some(value) = asked.filter(|_| !blueprint.suspended()).cloned() {
        if let Some(job) = job::on_request(blueprint, &value) {
            if children.start(&job).await? {
                let note = format!("Job {} runs, as {}={value} asks", job.name_any(), annotation::REQUESTED_AT);
                context.events.publish(schedule, Reason::RunRequested, &note).await;
            }
        } else {
            let note = "Neither import, export nor push is on: there is nothing to run";
            context.events.publish(schedule, Reason::RequestRefused, note).await;
        }
        requested_at = Some(value);
    }
    // Without the database nobody knows what is held.
    if let (Some(value), Some(records)) = (schedule.annotations().get(annotation::APPROVE), records) {
        let job = job::approval(blueprint, value);
        let made = live.jobs.iter().any(|live| live.metadata.name == job.metadata.name);
        let new = Some(value) != approval.as_ref();
        // As long as the run is held and no Job is at it: one that failed and was deleted is made again.
        if records.held.iter().any(|held| held.run.to_string() == *value) {
            if !made && children.start(&job).await? {
                let what = format!("Run {value} is let through by Job {}", job.name_any());
                let note = format!("{what}; the servers are told by the next export");
                context.events.publish(schedule, Reason::RunApproved, &note).await;
            }
        } else if new && !made {
            let held: Vec<String> = records.held.iter().map(|held| held.run.to_string()).collect();
            let note = match held.as_slice() {
                [] => "No run of this schedule is held: there is nothing to approve".to_owned(),
                held => {
                    format!(
                        "The annotation {} names no run that is held; held: {}",
                        annotation::APPROVE,
                        held.join(", ")
                    )
                }
            };
            context.events.publish(schedule, Reason::ApprovalRefused, &note).await;
        }
        approval = Some(value.clone());
    }
    Ok((requested_at, approval))
}
