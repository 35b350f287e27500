//! The self-signed certificates of one machine, kept in the state directory.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use claw_crds::ClawGateway;
use claw_crds::gateway_config::{Redacted, TlsConfig};
use claw_crds::pki::{self, Authority, Store};
use jiff::Timestamp;

/// What a certificate for this machine is always good for.
const LOCAL_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

const CA_CERTIFICATE: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const PREVIOUS_CA: &str = "previous-ca.crt";
const BRIDGE: &str = "bridge.crt";
const LEAF: &str = "tls.crt";
const LEAF_KEY: &str = "tls.key";
const BUNDLE: &str = "ca-bundle.crt";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum CertificatesError {
    #[error("failed to issue a certificate")]
    Issue(#[from] pki::Error),
    #[error("failed to keep certificates in {}: make it writable, or choose another with --state-dir", path.display())]
    Keep { path: PathBuf, source: io::Error },
}

/// The certificate in force, issued or renewed as needed.
pub(super) fn issue(
    state_dir: &Path,
    gateway: &ClawGateway,
    hosts: &[String],
) -> Result<TlsConfig, CertificatesError> {
    let namespace = gateway.metadata.namespace.as_deref().unwrap_or("default");
    let name = gateway.metadata.name.as_deref().unwrap_or_default();
    let folder = state_dir
        .join("certificates")
        .join(format!("{namespace}-{name}"));
    let current = load(&folder);
    let mut wanted: Vec<String> = LOCAL_HOSTS.iter().map(ToString::to_string).collect();
    wanted.extend(
        hosts
            .iter()
            .filter(|host| !LOCAL_HOSTS.contains(&host.as_str()))
            .cloned(),
    );
    let store = pki::issue(&current, &wanted, Timestamp::now())?;
    if store != current {
        save(&folder, &store).map_err(|source| CertificatesError::Keep {
            path: folder.clone(),
            source,
        })?;
        tracing::info!(
            ca = %folder.join(BUNDLE).display(),
            hosts = ?wanted,
            "issued a certificate from an own authority; clients trust it by this file"
        );
    }
    store.leaf.ok_or_else(|| CertificatesError::Keep {
        path: folder,
        source: io::ErrorKind::NotFound.into(),
    })
}

/// What is there; whatever is missing or damaged is issued anew.
fn load(folder: &Path) -> Store {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    let ca = read(CA_CERTIFICATE)
        .zip(read(CA_KEY))
        .map(|(certificate_pem, key)| Authority {
            certificate_pem,
            private_key: Redacted::new(key),
            previous_certificate_pem: read(PREVIOUS_CA),
            bridge_pem: read(BRIDGE),
        });
    let leaf = read(LEAF)
        .zip(read(LEAF_KEY))
        .map(|(certificate_chain, key)| TlsConfig {
            certificate_chain,
            private_key: Redacted::new(key),
        });
    Store { ca, leaf }
}

fn save(folder: &Path, store: &Store) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    if let Some(ca) = &store.ca {
        write(folder, CA_KEY, ca.private_key.expose())?;
        write(folder, CA_CERTIFICATE, &ca.certificate_pem)?;
        for (name, text) in [
            (PREVIOUS_CA, &ca.previous_certificate_pem),
            (BRIDGE, &ca.bridge_pem),
        ] {
            match text {
                Some(text) => write(folder, name, text)?,
                None if folder.join(name).exists() => std::fs::remove_file(folder.join(name))?,
                None => {}
            }
        }
    }
    if let Some(leaf) = &store.leaf {
        write(folder, LEAF_KEY, leaf.private_key.expose())?;
        write(folder, LEAF, &leaf.certificate_chain)?;
    }
    write(folder, BUNDLE, &pki::trust_bundle(store))
}

/// Whole or not at all, and for our eyes only: temporary files are created with mode 0600.
fn write(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist(folder.join(name))
        .map(drop)
        .map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn gateway() -> ClawGateway {
        let json = serde_json::json!({
            "apiVersion": "claw.dev/v1alpha1", "kind": "ClawGateway",
            "metadata": {"name": "helpdesk"},
            "spec": {"models": [{"name": "red", "local": {"source": {"path": "/red"}}}], "auth": {"anonymous": {}}},
        });
        serde_json::from_value(json).expect("a gateway")
    }

    #[test]
    fn a_certificate_is_kept_and_its_key_is_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = issue(folder.path(), &gateway(), &[]).expect("issued");
        assert_eq!(issue(folder.path(), &gateway(), &[]).expect("kept"), first);
        let key = folder.path().join("certificates/default-helpdesk/tls.key");
        assert_eq!(
            key.metadata().expect("a key").permissions().mode() & 0o777,
            0o600
        );
        let other = issue(folder.path(), &gateway(), &["gateway.test".to_owned()]).expect("issued");
        assert_ne!(other, first, "another host needs another certificate");
    }
}
