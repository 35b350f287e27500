//! Looking up a child: in the cache, or where that knows nothing, at the API server.

use std::sync::Arc;

use kube::{Api, api::ListParams};

use crate::{context::Context, world::Child};

/// The child of that name. What the cache does not have is asked for: a cache may be behind, and an object
/// without our label is not watched, but must neither be overwritten nor issued a second time.
pub async fn find<K: Child>(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<Option<Arc<K>>, kube::Error> {
    if let Some(cached) = K::cache(&context.world.children).get(namespace, name) {
        return Ok(Some(cached));
    }
    Ok(ask(context, namespace, name).await?.map(Arc::new))
}

/// The child of that name, as the API server has it now. By a list, which whoever watches may make anyway.
pub async fn ask<K: Child>(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<Option<K>, kube::Error> {
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace);
    let only = ListParams::default().fields(&format!("metadata.name={name}"));
    Ok(api.list(&only).await?.items.pop())
}
