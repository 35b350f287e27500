//! What the pods reach.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort,
};

use super::{label, port};
use crate::claw_gateway::validate::{Host, ValidatedNetwork};

/// Addresses that are not of the internet: private, shared, link-local (where clouds keep credentials), loopback,
/// multicast and reserved ones.
const NOT_INTERNET_FOUR: [&str; 8] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/3",
];
const NOT_INTERNET_SIX: [&str; 4] = ["::/96", "fc00::/7", "fe80::/10", "ff00::/8"];
/// Where API servers listen: at their Service, and behind it.
const API_SERVER_PORTS: [u16; 2] = [443, 6443];
const DNS_PORT: u16 = 53;

pub(super) fn rules(network: &ValidatedNetwork) -> Vec<NetworkPolicyEgressRule> {
    let mut rules = vec![dns(), api_server(&network.api_server_ranges)];
    rules.extend(internet(network));
    rules.extend(addresses(network));
    rules.extend(services(network));
    rules.extend(network.egress.iter().cloned());
    rules
}

/// Anywhere, since resolvers run as pods, on nodes and outside.
fn dns() -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        ports: Some(vec![port("UDP", DNS_PORT), port("TCP", DNS_PORT)]),
        to: None,
    }
}

/// It is no pod, so nothing but addresses can name it, and those only its keeper knows.
fn api_server(ranges: &[String]) -> NetworkPolicyEgressRule {
    if ranges.is_empty() {
        return NetworkPolicyEgressRule {
            ports: Some(API_SERVER_PORTS.map(|number| port("TCP", number)).into()),
            to: None,
        };
    }
    NetworkPolicyEgressRule {
        ports: None,
        to: Some(ranges.iter().map(|range| block(range, &[])).collect()),
    }
}

/// Every host of the internet on the ports in use: policies know no names, and providers' addresses change.
fn internet(network: &ValidatedNetwork) -> Option<NetworkPolicyEgressRule> {
    let ports: BTreeSet<u16> = network
        .destinations
        .iter()
        .filter(|destination| matches!(destination.host, Host::Internet | Host::Either(_)))
        .map(|destination| destination.port)
        .collect();
    (!ports.is_empty()).then(|| NetworkPolicyEgressRule {
        ports: Some(tcp(ports)),
        to: Some(vec![
            block("0.0.0.0/0", &NOT_INTERNET_FOUR),
            block("::/0", &NOT_INTERNET_SIX),
        ]),
    })
}

/// An address that a URL spells out is meant, be it private.
fn addresses(network: &ValidatedNetwork) -> Vec<NetworkPolicyEgressRule> {
    let mut ports: BTreeMap<IpAddr, BTreeSet<u16>> = BTreeMap::new();
    for destination in &network.destinations {
        if let Host::Address(address) = destination.host {
            ports.entry(address).or_default().insert(destination.port);
        }
    }
    ports
        .into_iter()
        .map(|(address, ports)| NetworkPolicyEgressRule {
            ports: Some(tcp(ports)),
            to: Some(vec![block(&single(address), &[])]),
        })
        .collect()
}

/// On any port: policies see the port of the pod, which the Service may map from another one.
fn services(network: &ValidatedNetwork) -> Option<NetworkPolicyEgressRule> {
    let namespaces: BTreeSet<&str> = network
        .destinations
        .iter()
        .filter_map(|destination| match &destination.host {
            Host::Service(namespace) | Host::Either(namespace) => Some(namespace.as_str()),
            Host::Address(_) | Host::Internet => None,
        })
        .collect();
    let peers: Vec<_> = namespaces.into_iter().map(namespace).collect();
    (!peers.is_empty()).then_some(NetworkPolicyEgressRule {
        ports: None,
        to: Some(peers),
    })
}

fn namespace(name: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(label("kubernetes.io/metadata.name", name)),
        ..NetworkPolicyPeer::default()
    }
}

fn block(cidr: &str, except: &[&str]) -> NetworkPolicyPeer {
    let except: Vec<String> = except.iter().map(|&range| range.to_owned()).collect();
    NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: cidr.to_owned(),
            except: (!except.is_empty()).then_some(except),
        }),
        ..NetworkPolicyPeer::default()
    }
}

fn single(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("{address}/32"),
        IpAddr::V6(address) => format!("{address}/128"),
    }
}

fn tcp(ports: BTreeSet<u16>) -> Vec<NetworkPolicyPort> {
    ports
        .into_iter()
        .map(|number| port("TCP", number))
        .collect()
}
