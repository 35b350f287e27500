//! kubeconfig files: who one is, and to which API server.

use std::path::{Path, PathBuf};

use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use super::write_error;

/// Why a kubeconfig cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Unreadable or not a kubeconfig.
    #[error("failed to read the kubeconfig {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: kube::config::KubeconfigError,
    },
    /// No client from it.
    #[error("failed to make a client from {path}")]
    Client {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<kube::Error>,
    },
}

/// An identity at an API server. Its `Debug` shows the server alone.
#[derive(Clone)]
pub struct Credentials {
    server: String,
    authority: String,
    user: User,
}

#[derive(Clone)]
enum User {
    Certificate { certificate: String, key: String },
    Token(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    pub(crate) fn certificate(
        server: String,
        authority: String,
        certificate: String,
        key: String,
    ) -> Self {
        let user = User::Certificate { certificate, key };
        Self {
            server,
            authority,
            user,
        }
    }

    /// A bearer token, e.g. of a ServiceAccount; `authority` is PEM.
    pub fn token(server: String, authority: String, token: String) -> Self {
        let user = User::Token(token);
        Self {
            server,
            authority,
            user,
        }
    }

    fn to_kubeconfig(&self) -> Value {
        let user = match &self.user {
            User::Certificate { certificate, key } => json!({
                "client-certificate-data": base64(certificate),
                "client-key-data": base64(key),
            }),
            User::Token(token) => json!({ "token": token }),
        };
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "e2e", "cluster": {
                "server": self.server,
                "certificate-authority-data": base64(&self.authority),
            }}],
            "users": [{"name": "e2e", "user": user}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "e2e"}}],
            "current-context": "e2e",
        })
    }

    /// Write a kubeconfig file that only its owner can read. JSON is YAML.
    pub fn write(&self, path: &Path) -> Result<(), super::Error> {
        let text = self.to_kubeconfig().to_string();
        super::certificates::write_private(path, &text).map_err(|source| write_error(path, source))
    }
}

/// As the API's own types encode bytes.
fn base64(text: &str) -> Value {
    serde_json::to_value(k8s_openapi::ByteString(text.as_bytes().to_vec()))
        .expect("bytes are written as a string")
}

/// A client for the current context of the file; kube's own environment (`KUBECONFIG`, in-cluster) is not looked at.
pub async fn client_from(path: &Path) -> Result<kube::Client, Error> {
    let read = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    // Another provider may be installed already, by an earlier call.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = Kubeconfig::read_from(path).map_err(read)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(read)?;
    kube::Client::try_from(config).map_err(|source| Error::Client {
        path: path.to_owned(),
        source: Box::new(source),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control_plane::certificates::LOOPBACK;

    #[tokio::test]
    async fn a_written_file_makes_a_client() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("config");
        let authority = super::super::Certificates::issue(&LOOPBACK).expect("issued");
        let ports = super::super::Ports::free().expect("free ports");
        authority
            .admin_credentials(ports)
            .write(&path)
            .expect("written");
        client_from(&path).await.expect("a client");
    }

    #[test]
    fn debug_output_holds_no_token() {
        let credentials = Credentials::token("https://x".into(), String::new(), "hunter2".into());
        assert!(!format!("{credentials:?}").contains("hunter2"));
        assert!(credentials.to_kubeconfig().to_string().contains("hunter2"));
    }
}
