//! The resources of Watch State Sync: `MediaServer` and `SyncSchedule`, group `watchstate.dev`.
//! Types, schemas and rules only: nothing here talks to a cluster. [`document`] reads the same YAML
//! without one.

mod address;
pub mod annotation;
pub mod condition;
pub mod document;
mod duration;
pub mod media_server;
mod pattern;
pub mod reference;
mod schema;
pub mod sync_schedule;
mod validate;

pub use document::{Document, Secret};
pub use duration::{Duration, DurationError};
pub use media_server::{MediaServer, MediaServerSpec, MediaServerStatus, ServerType};
pub use schema::{
    NoMarks, RenderError, definitions, media_server_definition, page_file, renew_page, sync_schedule_definition,
    to_yaml,
};
pub use sync_schedule::{SyncSchedule, SyncScheduleSpec, SyncScheduleStatus};
pub use validate::Problem;

/// The API group of both resources.
pub const GROUP: &str = "watchstate.dev";

/// The one version that is served and stored.
pub const VERSION: &str = "v1alpha1";

/// Group and version as documents write them in `apiVersion`.
pub const API_VERSION: &str = "watchstate.dev/v1alpha1";
