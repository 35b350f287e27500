//! Configuration, authority and serving certificate.

use std::collections::BTreeMap;

use claw_crds::gateway_config::CONFIG_KEY;
use k8s_openapi::{ByteString, api::core::v1::Secret};

use super::object_meta;
use crate::claw_gateway::{
    certificates::{
        BRIDGE_CERTIFICATE, CA_CERTIFICATE, CA_KEY, CERTIFICATE, KEY, PREVIOUS_CA_CERTIFICATE,
        ROTATE_ANNOTATION,
    },
    validate::ValidatedGateway,
};

pub(super) fn build_config(gateway: &ValidatedGateway) -> Secret {
    secret(
        gateway,
        gateway.name.config_secret(),
        "Opaque",
        [(CONFIG_KEY, Some(gateway.config_json.as_str()))],
    )
}

pub(super) fn build_ca(gateway: &ValidatedGateway) -> Option<Secret> {
    let certificates = gateway.certificates.as_ref()?;
    let authority = &certificates.authority;
    let mut secret = secret(
        gateway,
        gateway.name.ca_secret(),
        "Opaque",
        [
            (CA_CERTIFICATE, Some(authority.certificate_pem.as_str())),
            (CA_KEY, Some(authority.private_key.expose())),
            (
                PREVIOUS_CA_CERTIFICATE,
                authority.previous_certificate_pem.as_deref(),
            ),
            (BRIDGE_CERTIFICATE, authority.bridge_pem.as_deref()),
        ],
    );
    // Written together with what it asked for, so that no wish is fulfilled twice or forgotten.
    secret.metadata.annotations = certificates
        .rotated_for
        .clone()
        .map(|wish| [(ROTATE_ANNOTATION.to_owned(), wish)].into());
    Some(secret)
}

pub(super) fn build_tls(gateway: &ValidatedGateway) -> Option<Secret> {
    let certificates = gateway.certificates.as_ref()?;
    Some(secret(
        gateway,
        gateway.name.tls_secret(),
        "kubernetes.io/tls",
        [
            (
                CERTIFICATE,
                Some(certificates.leaf.certificate_chain.as_str()),
            ),
            (KEY, Some(certificates.leaf.private_key.expose())),
            (CA_CERTIFICATE, Some(certificates.bundle.as_str())),
        ],
    ))
}

fn secret<const N: usize>(
    gateway: &ValidatedGateway,
    name: String,
    secret_type: &str,
    entries: [(&str, Option<&str>); N],
) -> Secret {
    let data: BTreeMap<String, ByteString> = entries
        .into_iter()
        .filter_map(|(key, text)| Some((key.to_owned(), ByteString(text?.as_bytes().to_vec()))))
        .collect();
    Secret {
        metadata: object_meta(gateway, name),
        type_: Some(secret_type.to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}
