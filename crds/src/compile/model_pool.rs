//! What local models share.

use super::problem::{ObjectRef, Problem};
use crate::{ClawGatewaySpec, gateway_config::ModelPoolConfig, quantity::Quantity};

/// The share of the storage that models may fill, in fifths: the rest is for what the gateway remembers.
const DISK_FIFTHS: u64 = 4;

/// What the spec says; the rest as it is documented there.
pub(super) fn compile(
    gateway: &ObjectRef,
    spec: &ClawGatewaySpec,
    problems: &mut Vec<Problem>,
) -> ModelPoolConfig {
    if spec.models.iter().all(|model| model.local.is_none()) {
        return ModelPoolConfig::default();
    }
    let pool = spec.model_pool.clone().unwrap_or_default();
    let mut bytes = |part: &str, quantity: Option<&Quantity>| {
        let quantity = quantity?;
        let bytes = quantity.whole().filter(|bytes| *bytes > 0);
        if bytes.is_none() {
            let field = format!("spec.modelPool.{part}");
            let message = "not a number of bytes";
            let remedy = "give a positive quantity such as 12Gi";
            let problem = Problem::invalid(gateway, field, message, remedy);
            problems.push(problem.with_value(quantity.as_str()));
        }
        bytes
    };
    let memory_bytes = bytes("memory", pool.memory.as_ref());
    let disk_bytes = bytes("disk", pool.disk.as_ref());
    ModelPoolConfig {
        memory_bytes,
        disk_bytes: disk_bytes.or_else(|| storage(spec).map(|size| size / 5 * DISK_FIFTHS)),
        offline: pool.offline,
    }
}

fn storage(spec: &ClawGatewaySpec) -> Option<u64> {
    let given = spec
        .storage
        .as_ref()
        .and_then(|storage| storage.size.clone());
    given
        .unwrap_or_else(|| Quantity::from(spec.size.defaults().storage))
        .whole()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compiled(spec: &serde_json::Value) -> (ModelPoolConfig, Vec<String>) {
        let mut whole = json!({
            "models": [{"name": "m", "local": {"source": {"path": "/m"}}}], "auth": {"anonymous": {}},
        });
        for (key, value) in spec.as_object().expect("an object") {
            whole[key] = value.clone();
        }
        let spec = serde_json::from_value(whole).expect("a spec");
        let gateway = ObjectRef {
            kind: "ClawGateway".to_owned(),
            name: "desk".to_owned(),
        };
        let mut problems = Vec::new();
        let pool = compile(&gateway, &spec, &mut problems);
        (pool, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn models_fill_four_fifths_of_the_storage_unless_more_is_said() {
        let (pool, _) = compiled(&json!({}));
        assert_eq!(pool.disk_bytes, Some((50 << 30) / 5 * 4));
        assert_eq!((pool.memory_bytes, pool.offline), (None, false));
        let (pool, _) = compiled(&json!({"storage": {"size": "10Gi"}}));
        assert_eq!(pool.disk_bytes, Some(8 << 30));
        let said = json!({"modelPool": {"memory": "2Gi", "disk": 1000, "offline": true}});
        let (pool, _) = compiled(&said);
        let expected = ModelPoolConfig {
            memory_bytes: Some(2 << 30),
            disk_bytes: Some(1000),
            offline: true,
        };
        assert_eq!(pool, expected);
    }

    #[test]
    fn a_pool_of_nothing_is_told() {
        let (pool, problems) = compiled(&json!({"modelPool": {"memory": "-2Gi"}}));
        assert_eq!(pool.memory_bytes, None);
        assert!(
            problems[0].contains("spec.modelPool.memory \"-2Gi\""),
            "{problems:?}"
        );
    }

    #[test]
    fn a_gateway_without_local_models_has_none() {
        let remote = json!({"provider": "OpenAI", "baseURL": "https://api.example.com/v1"});
        let (pool, _) = compiled(&json!({"models": [{"name": "m", "remote": remote}]}));
        assert!(pool.is_default());
    }
}
