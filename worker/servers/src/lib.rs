//! worker/servers
