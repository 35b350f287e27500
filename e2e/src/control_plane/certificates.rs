//! The control plane's own authority and what it signs; made anew for each control plane, and gone with it.

use std::{
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rcgen::KeyPair;

use super::{
    Credentials, Error, Ports,
    authority::{Authority, Pair, Subject},
    write_error,
};

/// What a server on loopback is called.
pub(crate) const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "kubernetes.default.svc"];

/// All certificates and keys, as PEM.
pub(crate) struct Certificates {
    pub(crate) authority: Authority,
    server: Pair,
    etcd_client: Pair,
    admin: Pair,
    service_account_key: String,
    service_account_public_key: String,
}

/// Where they were written.
#[derive(Clone, Debug)]
pub(crate) struct CertificateFiles {
    pub(crate) authority: PathBuf,
    pub(crate) server: PathBuf,
    pub(crate) server_key: PathBuf,
    pub(crate) etcd_client: PathBuf,
    pub(crate) etcd_client_key: PathBuf,
    pub(crate) service_account_key: PathBuf,
    pub(crate) service_account_public_key: PathBuf,
}

impl Certificates {
    /// One certificate serves etcd (which is its own peer, too) and the API server, under these names and addresses.
    pub(crate) fn issue(server_hosts: &[&str]) -> Result<Self, rcgen::Error> {
        let authority = Authority::new()?;
        let service_account = KeyPair::generate()?;
        let issue = |name, group, hosts| authority.issue(Subject { name, group, hosts });
        Ok(Self {
            server: issue("control plane server", None, server_hosts)?,
            etcd_client: issue("kube-apiserver", None, &[])?,
            // The group that Kubernetes lets do everything, before any role exists.
            admin: issue("admin", Some("system:masters"), &[])?,
            service_account_key: service_account.serialize_pem(),
            service_account_public_key: service_account.public_key_pem(),
            authority,
        })
    }

    pub(crate) fn write(&self, directory: &Path) -> Result<CertificateFiles, Error> {
        let write = |name: &str, content: &str| {
            let path = directory.join(name);
            write_private(&path, content)
                .map(|()| path.clone())
                .map_err(|source| write_error(&path, source))
        };
        Ok(CertificateFiles {
            authority: write("ca.crt", self.authority.pem())?,
            server: write("server.crt", &self.server.certificate)?,
            server_key: write("server.key", &self.server.key)?,
            etcd_client: write("etcd-client.crt", &self.etcd_client.certificate)?,
            etcd_client_key: write("etcd-client.key", &self.etcd_client.key)?,
            service_account_key: write("service-account.key", &self.service_account_key)?,
            service_account_public_key: write(
                "service-account.pub",
                &self.service_account_public_key,
            )?,
        })
    }

    pub(crate) fn admin_credentials(&self, ports: Ports) -> Credentials {
        self.credentials(&self.admin, ports)
    }

    /// What the holder of a certificate needs to speak to the API server.
    pub(crate) fn credentials(&self, user: &Pair, ports: Ports) -> Credentials {
        Credentials::certificate(
            format!("https://127.0.0.1:{}", ports.api_server),
            self.authority.pem().to_owned(),
            user.certificate.clone(),
            user.key.clone(),
        )
    }
}

/// For this user's eyes only: the keys open everything.
pub(crate) fn write_private(path: &Path, content: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?
        .write_all(content.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_readable_by_their_owner_alone() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let files = Certificates::issue(&LOOPBACK)
            .expect("issued")
            .write(directory.path())
            .expect("written");
        for path in [files.server_key, files.service_account_key] {
            let mode = std::fs::metadata(&path)
                .expect("there")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        }
    }
}
