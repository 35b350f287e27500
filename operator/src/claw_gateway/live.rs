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
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace);
    Ok(api.list(&named(name)).await?.items.pop().map(Arc::new))
}

/// A list of one object, which whoever watches may make anyway.
pub fn named(name: &str) -> ListParams {
    ListParams::default().fields(&format!("metadata.name={name}"))
}
