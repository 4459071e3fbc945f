//! Annotations by which a user asks for something once. The operator acts when the value differs
//! from the one it noted in the status as handled.

/// On either resource, any new value (a time by custom): check the server or start a run now.
/// Handled values are kept in `status.lastHandledRequestedAt`.
pub const REQUESTED_AT: &str = "watchstate.dev/requestedAt";

/// On a SyncSchedule, the id of a run that the brake holds: apply exactly its plan.
/// Ids that wait are listed in `status.heldRuns`.
pub const APPROVE: &str = "watchstate.dev/approve";

/// On a MediaServer, any new value: replace the webhook token that the operator made.
/// Handled values are kept in `status.webhook.lastHandledRotation`.
pub const ROTATE_WEBHOOK_TOKEN: &str = "watchstate.dev/rotate-webhook-token";
