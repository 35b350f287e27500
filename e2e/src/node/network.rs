//! Addresses inside, and the node's own network.
//!
//! The node's address sits on `lo`, and the default route leads there: a stray packet goes nowhere.

use std::net::Ipv4Addr;

use super::{Error, command, namespaces::Namespaces};

/// The node's address.
pub(super) const NODE: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);
/// The range of the pods' addresses.
pub(super) const PODS: &str = "10.244.0.0/24";
/// The range of the Services' addresses.
pub(super) const SERVICES: &str = "10.96.0.0/16";
/// The API server's Service: the first of the range.
pub(super) const API_SERVER: &str = "10.96.0.1";
/// The cluster's DNS.
pub(super) const DNS: &str = "10.96.0.10";

pub(super) fn set_up(namespaces: &Namespaces) -> Result<(), Error> {
    let address = format!("{NODE}/32");
    let steps: [&[&str]; 3] = [
        &["link", "set", "lo", "up"],
        &["address", "add", &address, "dev", "lo"],
        &["route", "add", "default", "dev", "lo"],
    ];
    for arguments in steps {
        let mut command = namespaces.command();
        command::run(command.arg("ip").args(arguments)).map_err(Error::Command)?;
    }
    Ok(())
}
