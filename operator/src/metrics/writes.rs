//! Counting what really goes to the API server: every request that is not a read, at the client.

use std::{
    sync::atomic::AtomicU64,
    task::{Context, Poll},
};

use http::{Method, Request};
use prometheus_client::metrics::{counter::Counter, family::Family};
use tower::{Layer, Service};

use super::Write;

type Writes = Family<Write, Counter<u64, AtomicU64>>;

/// Resources that the operator writes; any other counts as `other`, so that labels stay few.
const RESOURCES: [&str; 21] = [
    "certificates",
    "channels/status",
    "clawgateways/status",
    "configmaps",
    "deployments",
    "events",
    "horizontalpodautoscalers",
    "httproutes",
    "ingresses",
    "leases",
    "modelroutes/status",
    "networkpolicies",
    "persistentvolumeclaims",
    "poddisruptionbudgets",
    "podmonitors",
    "prometheusrules",
    "rolebindings",
    "roles",
    "secrets",
    "serviceaccounts",
    "services",
];

/// Wraps a client's service in [`CountWrites`].
#[derive(Clone)]
pub struct CountWritesLayer(Writes);

impl CountWritesLayer {
    pub(super) fn new(writes: Writes) -> Self {
        Self(writes)
    }
}

impl<S> Layer<S> for CountWritesLayer {
    type Service = CountWrites<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CountWrites {
            inner,
            writes: self.0.clone(),
        }
    }
}

/// Counts requests that write.
#[derive(Clone)]
pub struct CountWrites<S> {
    inner: S,
    writes: Writes,
}

impl<S, B> Service<Request<B>> for CountWrites<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if let Some(verb) = verb(request.method()) {
            let resource = resource(request.uri().path());
            self.writes.get_or_create(&Write { resource, verb }).inc();
        }
        self.inner.call(request)
    }
}

fn verb(method: &Method) -> Option<&'static str> {
    match *method {
        Method::POST => Some("create"),
        Method::PUT => Some("update"),
        Method::PATCH => Some("patch"),
        Method::DELETE => Some("delete"),
        _ => None,
    }
}

/// `/apis/GROUP/VERSION/namespaces/NS/RESOURCE[/NAME[/SUBRESOURCE]]`, and the same under `/api/v1`.
fn resource(path: &str) -> &'static str {
    let mut parts = path
        .split('/')
        .skip_while(|part| *part != "namespaces")
        .skip(2);
    let Some(plural) = parts.next() else {
        return "other";
    };
    let name = match parts.nth(1) {
        Some(subresource) => format!("{plural}/{subresource}"),
        None => plural.to_owned(),
    };
    RESOURCES
        .into_iter()
        .find(|known| *known == name)
        .unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/apis/apps/v1/namespaces/shop/deployments/desk", "deployments")]
    #[case("/api/v1/namespaces/shop/secrets/desk-config", "secrets")]
    #[case(
        "/apis/claw.dev/v1alpha1/namespaces/shop/clawgateways/desk/status",
        "clawgateways/status"
    )]
    #[case("/apis/events.k8s.io/v1/namespaces/shop/events", "events")]
    #[case("/api/v1/namespaces/namespaces/secrets/namespaces", "secrets")]
    #[case("/apis/example.com/v1/namespaces/shop/toasters/one", "other")]
    #[case("/version", "other")]
    fn the_path_tells_the_resource(#[case] path: &str, #[case] expected: &str) {
        assert_eq!(resource(path), expected);
    }

    #[test]
    fn reads_are_not_counted() {
        assert_eq!(verb(&Method::GET), None);
        assert_eq!(verb(&Method::PATCH), Some("patch"));
    }
}
