//! URLs of those who say who a caller is.

use url::{Host, Url};

use crate::compile::{
    Found, outbound,
    problem::{ObjectRef, Problem},
    url::check_url,
};

/// Whoever can change the answer on its way can let in anybody, so it comes by https.
pub(super) fn check(
    gateway: &ObjectRef,
    field: &str,
    text: &str,
    found: Found<'_>,
) -> Result<String, Problem> {
    let url = check_url(gateway, field, text, "leave them out of the URL")?;
    outbound::check(gateway, field, &url, found.outbound)?;
    if url.scheme() == "https" || is_this_machine(&url) {
        return Ok(url.to_string());
    }
    let message = "an answer that comes over plain HTTP can be forged on its way";
    Err(Problem::invalid(gateway, field, message, "use https").with_value(text))
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
