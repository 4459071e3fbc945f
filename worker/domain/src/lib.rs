//! worker/domain
