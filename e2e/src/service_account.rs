//! Being a ServiceAccount: its token in a kubeconfig, as a pod would have it.

use std::path::{Path, PathBuf};

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, api::PostParams, config::Kubeconfig};

use crate::control_plane::{self, Credentials};

/// Why there is no such kubeconfig.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server gives no token.
    #[error("failed to get a token for the ServiceAccount {namespace}/{name}")]
    Token {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The administrator's kubeconfig does not say where the cluster is.
    #[error("{path} names no server, or its certificate authority cannot be read")]
    Cluster {
        /// The file.
        path: PathBuf,
    },
    /// The new file cannot be written.
    #[error("failed to write the kubeconfig of a ServiceAccount")]
    Write(#[source] control_plane::Error),
}

/// A ServiceAccount and who may ask for its token.
#[derive(Clone, Copy, Debug)]
pub struct ServiceAccountRef<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// Write a kubeconfig for the account to `path`; the server is that of `admin`, the administrator's kubeconfig.
pub async fn write_kubeconfig(
    client: &kube::Client,
    account: ServiceAccountRef<'_>,
    admin: &Path,
    path: &Path,
) -> Result<(), Error> {
    let ServiceAccountRef { namespace, name } = account;
    let api = Api::<ServiceAccount>::namespaced(client.clone(), namespace);
    let request = TokenRequest {
        spec: TokenRequestSpec {
            // Longer than any test or demo runs.
            expiration_seconds: Some(24 * 3600),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let answer = api
        .create_token_request(name, &PostParams::default(), &request)
        .await
        .map_err(|source| Error::Token {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            source: Box::new(source),
        })?;
    let token = answer.status.map(|status| status.token).unwrap_or_default();
    let (server, authority) = cluster_of(admin).ok_or_else(|| Error::Cluster {
        path: admin.to_owned(),
    })?;
    Credentials::token(server, authority, token)
        .write(path)
        .map_err(Error::Write)
}

/// Server and PEM authority of a kubeconfig's current context.
fn cluster_of(path: &Path) -> Option<(String, String)> {
    let kubeconfig = Kubeconfig::read_from(path).ok()?;
    let current = kubeconfig.current_context.as_ref()?;
    let context = kubeconfig
        .contexts
        .iter()
        .find(|named| &named.name == current)?;
    let cluster_name = &context.context.as_ref()?.cluster;
    let cluster = kubeconfig
        .clusters
        .iter()
        .find(|named| &named.name == cluster_name)?
        .cluster
        .as_ref()?;
    let authority = match (
        &cluster.certificate_authority_data,
        &cluster.certificate_authority,
    ) {
        (Some(data), _) => {
            let quoted = serde_json::Value::String(data.clone());
            let bytes: k8s_openapi::ByteString = serde_json::from_value(quoted).ok()?;
            String::from_utf8(bytes.0).ok()?
        }
        (None, Some(file)) => std::fs::read_to_string(file).ok()?,
        (None, None) => return None,
    };
    Some((cluster.server.clone()?, authority))
}
