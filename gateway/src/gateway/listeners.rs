//! The open ports of a gateway.

use std::io::{self, ErrorKind, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use super::plan::Plan;
use crate::exit::Failure;

/// Ports, open but not served yet.
pub(super) struct Listeners {
    pub(super) public: TcpListener,
    pub(super) public_address: SocketAddr,
    pub(super) management: Option<(TcpListener, SocketAddr)>,
}

impl Listeners {
    pub(super) fn open(plan: &Plan) -> Result<Self, Failure> {
        let (public, public_address) = bind("--port", plan.public)?;
        let management = plan
            .management
            .map(|address| bind("--management-port", address))
            .transpose()?;
        Ok(Self {
            public,
            public_address,
            management,
        })
    }

    /// Tell where we listen. Whole or not at all, since whoever waits for the file reads it at once.
    pub(super) fn write_port_file(&self, path: &Path) -> Result<(), Failure> {
        let addresses = serde_json::json!({
            "gateway": self.public_address.to_string(),
            "management": self.management.as_ref().map(|(_, address)| address.to_string()),
        });
        let write = || -> io::Result<()> {
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty())
                .unwrap_or_else(|| Path::new("."));
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(addresses.to_string().as_bytes())?;
            file.persist(path).map(drop).map_err(|error| error.error)
        };
        write().map_err(|error| {
            Failure::Io(format!(
                "--port-file {}: cannot be written: {error}",
                path.display()
            ))
        })
    }
}

fn bind(flag: &str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let open = || -> io::Result<_> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    open().map_err(|error| {
        Failure::Bind(match error.kind() {
            ErrorKind::AddrInUse => {
                let port = address.port();
                format!("{flag} {port}: the port is in use on {}; stop what listens there, or choose another", address.ip())
            }
            ErrorKind::PermissionDenied => {
                format!("{flag} {}: not permitted; choose a port above 1023", address.port())
            }
            _ => format!("{flag}: cannot listen on {address}: {error}"),
        })
    })
}
