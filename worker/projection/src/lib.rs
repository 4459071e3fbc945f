//! From what resources say to what the registry, a client and a pod need. Shared by `apply` and the operator, so that the same YAML means
//! the same with and without a cluster. Pure.
//!
//! [`policy`] and [`household`]: for the registry · [`references`] and [`layout`]: which Secret becomes which file · [`connection`] and [`accounts`]:
//! for reaching a server and finding people there.

pub mod accounts;
pub mod connection;
pub mod household;
pub mod layout;
pub mod policy;
pub mod references;
