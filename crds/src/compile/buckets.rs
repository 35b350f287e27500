//! Buckets of storage that speaks S3: their addresses checked.

use url::Url;

use super::{
    outbound,
    problem::{ObjectRef, Problem},
    url::check_base_url,
};
use crate::{claw_gateway::BucketPlace, gateway_config::OutboundConfig};

/// The address of the storage. Whether it may be called is asked of the host that is: it has the bucket in its name,
/// unless that is part of paths. `field` holds the bucket.
pub(super) fn endpoint(
    gateway: &ObjectRef,
    field: &str,
    (bucket, place): (&str, BucketPlace<'_>),
    allowed: &OutboundConfig,
) -> Result<Url, Problem> {
    let at = format!("{field}.endpoint");
    let remedy = "put them into a Secret and refer to it by accessKeyId and secretAccessKey";
    let endpoint = check_base_url(gateway, &at, &place.endpoint(), remedy)?;
    let mut called = endpoint.clone();
    if !place.has_path_style() {
        let is_named = endpoint
            .domain()
            .is_some_and(|domain| called.set_host(Some(&format!("{bucket}.{domain}"))).is_ok());
        if !is_named {
            let problem = Problem::invalid(
                gateway,
                format!("{field}.addressing"),
                "the endpoint is an address, and no bucket can stand before it",
                "give the endpoint by its name, or use Path",
            );
            return Err(problem.with_value("VirtualHost"));
        }
    }
    outbound::check(gateway, &at, &called, allowed)?;
    Ok(endpoint)
}
