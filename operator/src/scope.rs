//! Where the operator works: in all namespaces or in one.

use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Resource};

/// All namespaces, or one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope(Option<String>);

impl Scope {
    /// One namespace, or all when there is none.
    pub fn new(namespace: Option<String>) -> Self {
        Self(namespace)
    }

    /// What lists and watches go through.
    pub fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match &self.0 {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        }
    }
}
