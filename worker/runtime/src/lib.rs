//! worker/runtime
