//! The MediaServer controller.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::context::Context;

/// Works on MediaServers until `stop`, then lets what was begun finish.
pub async fn controller(_context: Arc<Context>, stop: CancellationToken) {
    stop.cancelled().await;
}
