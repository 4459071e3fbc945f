//! What runs came to: read from the `run` table, for the status of schedules and for metrics.
