//! Free loopback ports.

use std::{io, net::TcpListener};

/// One port for each thing that listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) etcd_client: u16,
    pub(crate) etcd_peer: u16,
    pub(crate) api_server: u16,
    pub(crate) controllers: u16,
}

impl Ports {
    /// Ports that are free now. All are held until the last one is found, so no two are the same.
    pub(super) fn free() -> io::Result<Self> {
        let bind = || TcpListener::bind(("127.0.0.1", 0));
        let held = [bind()?, bind()?, bind()?, bind()?];
        let [etcd_client, etcd_peer, api_server, controllers] = &held;
        let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
        Ok(Self {
            etcd_client: port(etcd_client)?,
            etcd_peer: port(etcd_peer)?,
            api_server: port(api_server)?,
            controllers: port(controllers)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_ports_are_the_same() {
        let Ports {
            etcd_client,
            etcd_peer,
            api_server,
            controllers,
        } = Ports::free().expect("free ports");
        let distinct = BTreeSet::from([etcd_client, etcd_peer, api_server, controllers]);
        assert_eq!(distinct.len(), 4);
    }
}
