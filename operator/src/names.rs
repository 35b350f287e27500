//! The names of everything that belongs to a gateway. Nothing else makes names.

use std::fmt;

/// Longest name of a ClawGateway: it leaves room for the suffixes in the 63 characters of a label.
const MAX_LENGTH: usize = 50;

/// A name that cannot become the name of a Service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "metadata.name {0:?}: must be at most {MAX_LENGTH} lower-case letters, digits and '-', starting with a letter \
     and not ending with '-'; create the gateway under another name"
)]
pub struct InvalidName(String);

/// The name of a ClawGateway, fit to be the name of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayName(String);

impl GatewayName {
    /// Check a name.
    pub fn parse(name: &str) -> Result<Self, InvalidName> {
        let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
        let inner = name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if starts && inner && !name.ends_with('-') && name.len() <= MAX_LENGTH {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidName(name.to_owned()))
        }
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The Deployment.
    pub fn deployment(&self) -> String {
        self.0.clone()
    }

    /// The Service.
    pub fn service(&self) -> String {
        self.0.clone()
    }

    /// The ServiceAccount of the pods.
    pub fn service_account(&self) -> String {
        self.0.clone()
    }

    /// The Role of the pods, and its binding.
    pub fn role(&self) -> String {
        self.0.clone()
    }

    /// The HorizontalPodAutoscaler.
    pub fn autoscaler(&self) -> String {
        self.0.clone()
    }

    /// The PodDisruptionBudget.
    pub fn disruption_budget(&self) -> String {
        self.0.clone()
    }

    /// The NetworkPolicy.
    pub fn network_policy(&self) -> String {
        self.0.clone()
    }

    /// The PodMonitor.
    pub fn pod_monitor(&self) -> String {
        self.0.clone()
    }

    /// The PrometheusRule.
    pub fn prometheus_rule(&self) -> String {
        self.0.clone()
    }

    /// The ConfigMap with the dashboard.
    pub fn dashboard(&self) -> String {
        format!("{}-dashboard", self.0)
    }

    /// The HTTPRoute.
    pub fn http_route(&self) -> String {
        self.0.clone()
    }

    /// The Ingress.
    pub fn ingress(&self) -> String {
        self.0.clone()
    }

    /// The Certificate that cert-manager is asked for.
    pub fn certificate(&self) -> String {
        self.0.clone()
    }

    /// The Secret that cert-manager fills.
    pub fn issued_secret(&self) -> String {
        claw_crds::claw_gateway::issued_secret(&self.0)
    }

    /// The PersistentVolumeClaim for models.
    pub fn volume_claim(&self) -> String {
        format!("{}-state", self.0)
    }

    /// The Secret with the configuration.
    pub fn config_secret(&self) -> String {
        format!("{}-config", self.0)
    }

    /// The Secret with the certificate authority.
    pub fn ca_secret(&self) -> String {
        format!("{}-ca", self.0)
    }

    /// The Secret with the serving certificate and what clients trust.
    pub fn tls_secret(&self) -> String {
        format!("{}-tls", self.0)
    }

    /// The host under which clients of the cluster reach the Service.
    pub fn host(&self, namespace: &str) -> String {
        format!("{}.{namespace}.svc", self.0)
    }

    /// Every name that clients of the cluster may use for the Service.
    pub fn hosts(&self, namespace: &str) -> [String; 4] {
        let host = self.host(namespace);
        [
            self.0.clone(),
            format!("{}.{namespace}", self.0),
            format!("{host}.cluster.local"),
            host,
        ]
    }
}

impl fmt::Display for GatewayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::empty("")]
    #[case::digit_first("1st")]
    #[case::upper_case("Desk")]
    #[case::dash_last("desk-")]
    #[case::dot("desk.shop")]
    #[case::too_long("a23456789012345678901234567890123456789012345678901")]
    fn a_name_that_no_service_can_have_is_refused(#[case] name: &str) {
        let error = GatewayName::parse(name).expect_err("refused");
        assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
    }

    fn secrets(name: &GatewayName) -> [String; 3] {
        [name.config_secret(), name.ca_secret(), name.tls_secret()]
    }

    proptest! {
        #[test]
        fn every_derived_name_is_a_dns_label(name in "[a-z]([-a-z0-9]{0,48}[a-z0-9])?") {
            let name = GatewayName::parse(&name).expect("valid");
            for derived in secrets(&name) {
                prop_assert!(derived.len() <= 63);
                prop_assert!(derived.ends_with(|c: char| c.is_ascii_alphanumeric()));
            }
        }

        #[test]
        fn no_two_gateways_share_a_secret(
            left in "[a-c](-(ca|tls|config)){0,3}",
            right in "[a-c](-(ca|tls|config)){0,3}",
        ) {
            prop_assume!(left != right);
            let left = GatewayName::parse(&left).expect("valid");
            let right = GatewayName::parse(&right).expect("valid");
            for name in secrets(&left) {
                prop_assert!(!secrets(&right).contains(&name));
            }
        }
    }
}
