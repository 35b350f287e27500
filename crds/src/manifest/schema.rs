//! Checking a value against a custom resource definition: structure, unknown fields, CEL rules.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, ValidationError, Validator};
use kube::CustomResourceExt;
use kube_cel::{CompiledSchema, compile_schema};
use serde_json::Value;

/// The compiled checks of one kind.
pub(super) struct KindSchema {
    structure: Validator,
    rules: CompiledSchema,
}

impl KindSchema {
    pub(super) fn of<K: CustomResourceExt>() -> Self {
        let crd = K::crd();
        let schema = crd
            .spec
            .versions
            .first()
            .and_then(|version| version.schema.as_ref());
        let schema = schema.and_then(|schema| schema.open_api_v3_schema.as_ref());
        let schema = serde_json::to_value(schema).expect("a schema is plain JSON");
        let mut strict = schema.clone();
        refuse_unknown_fields(&mut strict, true);
        Self {
            structure: jsonschema::validator_for(&strict)
                .expect("our own schemas are valid; a test compiles each"),
            rules: compile_schema(&schema),
        }
    }

    /// Field and fault of everything wrong. Rules are looked at only where the structure is right, as by an API
    /// server.
    pub(super) fn check(&self, value: &Value) -> Vec<(String, String)> {
        let structural: Vec<_> = self
            .structure
            .iter_errors(value)
            .map(|error| {
                let fault = if may_be_secret(&error) {
                    error.masked().to_string()
                } else {
                    error.to_string()
                };
                (field_path(error.instance_path().as_str()), fault)
            })
            .collect();
        if !structural.is_empty() {
            return structural;
        }
        let outcome = kube_cel::Validator::new().validate_compiled(&self.rules, value, None);
        let errors = outcome
            .err()
            .map(kube_cel::ValidationErrors::into_vec)
            .unwrap_or_default();
        errors
            .into_iter()
            .map(|error| (error.field_path, error.message))
            .collect()
    }
}

/// Whether the value at fault may hold a secret, which is not to be repeated: a URL with a query or credentials, or a text
/// where a reference to a Secret belongs.
fn may_be_secret(error: &ValidationError<'_>) -> bool {
    let is_for_object = matches!(
        error.kind(),
        ValidationErrorKind::Type {
            kind: TypeKind::Single(JsonType::Object)
        }
    );
    is_for_object || error.instance().to_string().contains(['?', '@'])
}

/// Add `additionalProperties: false` wherever properties are listed, as `kubectl` asks of the API server. The root
/// also has apiVersion, kind and metadata, which the API server adds by itself.
fn refuse_unknown_fields(schema: &mut Value, is_root: bool) {
    match schema {
        Value::Object(object) => {
            if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
                if is_root {
                    for name in ["apiVersion", "kind"] {
                        properties.insert(name.to_owned(), serde_json::json!({"type": "string"}));
                    }
                    properties.insert("metadata".to_owned(), serde_json::json!({"type": "object"}));
                }
                let open = object.contains_key("additionalProperties")
                    || object.contains_key("x-kubernetes-preserve-unknown-fields");
                if !open {
                    object.insert("additionalProperties".to_owned(), Value::Bool(false));
                }
            }
            object
                .values_mut()
                .for_each(|child| refuse_unknown_fields(child, false));
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|child| refuse_unknown_fields(child, false)),
        _ => {}
    }
}

/// `/spec/models/0/name` as `spec.models[0].name`.
fn field_path(pointer: &str) -> String {
    let mut path = String::new();
    for segment in pointer.split('/').skip(1) {
        if segment.parse::<usize>().is_ok() {
            path.extend(["[", segment, "]"]);
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&segment.replace("~1", "/").replace("~0", "~"));
        }
    }
    path
}

/// The API server takes a null for an absent field.
pub(super) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, child| !child.is_null());
            object.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
