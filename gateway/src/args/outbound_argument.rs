//! `--allow-outbound RANGE_OR_HOST`.

use std::net::IpAddr;
use std::str::FromStr;

use claw_crds::outbound::normal_host;
use ipnet::IpNet;

/// What may be called, as named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutboundArgument {
    /// A range of addresses, or one address.
    Range(IpNet),
    /// A name that may lead to private addresses.
    Host(String),
}

/// An `--allow-outbound` that means nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither a range such as 10.0.0.0/8, nor an address, nor the name of a host without scheme and port"
)]
pub struct InvalidOutboundArgument(String);

impl FromStr for OutboundArgument {
    type Err = InvalidOutboundArgument;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(range) = text.parse::<IpNet>() {
            return Ok(Self::Range(range.trunc()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Range(address.into()));
        }
        let is_name = !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if is_name {
            Ok(Self::Host(normal_host(text)))
        } else {
            Err(InvalidOutboundArgument(text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_addresses_and_names_are_told_apart() {
        let parse = |text: &str| text.parse::<OutboundArgument>();
        let range = |text: &str| OutboundArgument::Range(text.parse().expect("a range"));
        assert_eq!(parse("10.0.0.0/8"), Ok(range("10.0.0.0/8")));
        assert_eq!(parse("::1"), Ok(range("::1/128")));
        assert_eq!(
            parse("Vllm.shop.svc."),
            Ok(OutboundArgument::Host("vllm.shop.svc".into()))
        );
        for wrong in ["", "http://vllm", "vllm:8000", "10.0.0.0/99"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
