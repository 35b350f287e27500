//! What API servers fill into lists and maps that are owned whole.

use serde_json::{Value, json};

/// Whether the API server itself adds the field with this value where it is left out.
///
/// The defaults are those of the Kubernetes API and the Gateway API for what we build:
/// <https://kubernetes.io/docs/reference/kubernetes-api/> and <https://gateway-api.sigs.k8s.io/reference/spec/>.
pub(super) fn is_default(field: &str, value: &Value) -> bool {
    match field {
        // A NetworkPolicy's and a Service's ports.
        "protocol" => value == "TCP",
        // References to fields of the pod.
        "apiVersion" => value == "v1",
        "divisor" => value == "0",
        // References of an HTTPRoute to its parents and backends.
        "group" => value == "" || value == "gateway.networking.k8s.io",
        "kind" => value == "Gateway" || value == "Service",
        "weight" => value == 1,
        "matches" => *value == json!([{"path": {"type": "PathPrefix", "value": "/"}}]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::filled_in("protocol", json!("TCP"), true)]
    #[case::chosen("protocol", json!("UDP"), false)]
    #[case::parent("group", json!("gateway.networking.k8s.io"), true)]
    #[case::weight("weight", json!(1), true)]
    #[case::section("sectionName", json!("https"), false)]
    #[case::peer("namespaceSelector", json!({}), false)]
    fn only_values_that_nobody_chose_are_defaults(
        #[case] field: &str,
        #[case] value: Value,
        #[case] expected: bool,
    ) {
        assert_eq!(is_default(field, &value), expected);
    }
}
