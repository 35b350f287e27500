//! Only one process reconciles: the one that holds the Lease.
//!
//! Written here because the crates that do this are made for older releases of kube. The algorithm is that of
//! client-go: a holder that cannot renew stops well before anybody else may take over, and clocks of two machines
//! are never compared.

mod elector;
mod lease;

pub use elector::{Elector, Error, Timing};
