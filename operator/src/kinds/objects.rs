//! Objects of kinds that others define, as much of them as we write: a spec of plain JSON.

use std::borrow::Cow;

use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::Resource;
use serde::{Deserialize, Serialize};
use serde_json::Value;

macro_rules! foreign_kind {
    ($(#[$doc:meta] $kind:ident: $group:literal, $version:literal, $name:literal, $plural:literal;)*) => {$(
        #[$doc]
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $kind {
            #[serde(default)]
            api_version: String,
            #[serde(default)]
            kind: String,
            /// Its metadata.
            pub metadata: ObjectMeta,
            /// What it says.
            #[serde(default)]
            pub spec: Value,
            /// What became of it.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub status: Option<Value>,
        }

        impl $kind {
            /// An object to be applied.
            pub fn new(metadata: ObjectMeta, spec: Value) -> Self {
                Self {
                    api_version: Self::api_version(&()).into_owned(),
                    kind: Self::kind(&()).into_owned(),
                    metadata,
                    spec,
                    status: None,
                }
            }
        }

        impl Resource for $kind {
            type DynamicType = ();
            type Scope = NamespaceResourceScope;

            fn kind(_: &()) -> Cow<'_, str> {
                $name.into()
            }

            fn group(_: &()) -> Cow<'_, str> {
                $group.into()
            }

            fn version(_: &()) -> Cow<'_, str> {
                $version.into()
            }

            fn plural(_: &()) -> Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    )*};
}

foreign_kind! {
    /// How Prometheus finds pods.
    PodMonitor: "monitoring.coreos.com", "v1", "PodMonitor", "podmonitors";
    /// What Prometheus warns of.
    PrometheusRule: "monitoring.coreos.com", "v1", "PrometheusRule", "prometheusrules";
    /// A route of the Gateway API.
    HttpRoute: "gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes";
    /// A certificate of cert-manager.
    Certificate: "cert-manager.io", "v1", "Certificate", "certificates";
}
