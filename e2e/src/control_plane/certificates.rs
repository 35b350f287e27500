//! The control plane's own authority and what it signs; made anew for each control plane, and gone with it.

use std::{
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use super::{Credentials, Error, Ports, write_error};

/// All certificates and keys, as PEM.
pub(super) struct Certificates {
    authority: String,
    server: Pair,
    etcd_client: Pair,
    admin: Pair,
    service_account_key: String,
    service_account_public_key: String,
}

struct Pair {
    certificate: String,
    key: String,
}

/// Where they were written.
#[derive(Clone, Debug)]
pub(super) struct CertificateFiles {
    pub(super) authority: PathBuf,
    pub(super) server: PathBuf,
    pub(super) server_key: PathBuf,
    pub(super) etcd_client: PathBuf,
    pub(super) etcd_client_key: PathBuf,
    pub(super) service_account_key: PathBuf,
    pub(super) service_account_public_key: PathBuf,
}

impl Certificates {
    pub(super) fn issue() -> Result<Self, rcgen::Error> {
        let authority = authority_params();
        let key = KeyPair::generate()?;
        let certificate = authority.self_signed(&key)?;
        let issuer = Issuer::new(authority, key);
        let service_account = KeyPair::generate()?;
        Ok(Self {
            authority: certificate.pem(),
            server: leaf(&issuer, &server_params()?)?,
            etcd_client: leaf(&issuer, &client_params("kube-apiserver", None)?)?,
            // The group that Kubernetes lets do everything, before any role exists.
            admin: leaf(&issuer, &client_params("admin", Some("system:masters"))?)?,
            service_account_key: service_account.serialize_pem(),
            service_account_public_key: service_account.public_key_pem(),
        })
    }

    pub(super) fn write(&self, directory: &Path) -> Result<CertificateFiles, Error> {
        let write = |name: &str, content: &str| {
            let path = directory.join(name);
            write_private(&path, content)
                .map(|()| path.clone())
                .map_err(|source| write_error(&path, source))
        };
        Ok(CertificateFiles {
            authority: write("ca.crt", &self.authority)?,
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

    pub(super) fn admin_credentials(&self, ports: Ports) -> Credentials {
        Credentials::certificate(
            format!("https://127.0.0.1:{}", ports.api_server),
            self.authority.clone(),
            self.admin.certificate.clone(),
            self.admin.key.clone(),
        )
    }
}

/// For this user's eyes only: the keys open everything.
pub(super) fn write_private(path: &Path, content: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?
        .write_all(content.as_bytes())
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
        .distinguished_name
        .push(DnType::CommonName, "control plane");
    params
}

/// One certificate serves etcd (which is its own peer, too) and the API server.
fn server_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = client_params("control plane server", None)?;
    params
        .extended_key_usages
        .push(ExtendedKeyUsagePurpose::ServerAuth);
    params.subject_alt_names = vec![
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        SanType::DnsName("localhost".try_into()?),
        SanType::DnsName("kubernetes.default.svc".try_into()?),
    ];
    Ok(params)
}

fn client_params(name: &str, group: Option<&str>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        params
            .distinguished_name
            .push(DnType::OrganizationName, group);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn leaf(issuer: &Issuer<'_, KeyPair>, params: &CertificateParams) -> Result<Pair, rcgen::Error> {
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    Ok(Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_readable_by_their_owner_alone() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let files = Certificates::issue()
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
