//! Tables of objects that the API server takes or refuses, each a small change to a valid object of its kind.

use kube::{
    Api, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    context::{Case, Context},
    objects::holds,
};

/// A kind with a valid object of it, and the changes to try.
pub(crate) struct Table {
    pub(crate) kind: &'static str,
    pub(crate) valid: Value,
    pub(crate) rows: Vec<Row>,
}

/// One change to the valid object, as a merge patch (`null` removes), and what becomes of it.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) change: Value,
    /// A further change, to the stored object.
    pub(crate) edit: Option<Value>,
    pub(crate) verdict: Verdict,
}

pub(crate) enum Verdict {
    /// Stored; the API server's answer holds at least this.
    Accepted(Value),
    /// Refused with a message that holds the field's path and this text.
    Rejected {
        field: &'static str,
        message: &'static str,
    },
}

pub(crate) fn accepts(name: &'static str, change: Value) -> Row {
    let verdict = Verdict::Accepted(change.clone());
    Row {
        name,
        change,
        edit: None,
        verdict,
    }
}

/// Accepted, and so is this edit of what was stored.
pub(crate) fn edits(name: &'static str, change: Value, edit: Value) -> Row {
    Row {
        edit: Some(edit.clone()),
        verdict: Verdict::Accepted(edit),
        ..accepts(name, change)
    }
}

/// Accepted, but this edit of what was stored is not.
pub(crate) fn refuses_edit(
    name: &'static str,
    change: Value,
    edit: Value,
    (field, message): (&'static str, &'static str),
) -> Row {
    Row {
        edit: Some(edit),
        ..rejects(name, change, field, message)
    }
}

/// Accepted, and filled with these defaults.
pub(crate) fn defaults(name: &'static str, change: Value, to: Value) -> Row {
    let verdict = Verdict::Accepted(to);
    Row {
        name,
        change,
        edit: None,
        verdict,
    }
}

pub(crate) fn rejects(
    name: &'static str,
    change: Value,
    field: &'static str,
    message: &'static str,
) -> Row {
    let verdict = Verdict::Rejected { field, message };
    Row {
        name,
        change,
        edit: None,
        verdict,
    }
}

impl Table {
    /// A case for each row. `module` is the table's module.
    pub(crate) fn into_cases(self, module: &str) -> Vec<Case> {
        let Self { kind, valid, rows } = self;
        let module = module.trim_start_matches("e2e::").to_owned();
        let case = move |Row {
                             name,
                             change,
                             edit,
                             verdict,
                         }: Row| {
            let mut object = valid.clone();
            merge(&mut object, &change);
            let verdict = std::sync::Arc::new(verdict);
            Case::new(format!("{module}::{name}"), move |context| {
                let (object, verdict) = (object.clone(), std::sync::Arc::clone(&verdict));
                let edit = edit.clone();
                async move {
                    let answer = match edit {
                        None => create(&context, kind, &object).await,
                        Some(edit) => create_and_edit(&context, kind, &object, &edit).await,
                    };
                    check(answer, &verdict);
                }
            })
        };
        rows.into_iter().map(case).collect()
    }
}

fn check(answer: kube::Result<DynamicObject>, verdict: &Verdict) {
    match verdict {
        Verdict::Accepted(part) => {
            let stored = answer.expect("the object is taken");
            let stored = serde_json::to_value(stored).expect("an object is JSON");
            assert!(holds(&stored, part), "{stored:#}\nlacks\n{part:#}");
        }
        Verdict::Rejected { field, message } => {
            let error = answer.expect_err("the object is refused");
            let kube::Error::Api(status) = error else {
                unreachable!("the API server did not answer: {error}")
            };
            assert_eq!(status.code, 422, "{}", status.message);
            let text = &status.message;
            assert!(text.contains(message), "{text}\nlacks {message:?}");
            assert!(text.contains(field), "{text}\nlacks {field:?}");
        }
    }
}

/// Stored, and then edited by a merge patch: what the API server says to the edit.
async fn create_and_edit(
    context: &Context,
    kind: &str,
    object: &Value,
    edit: &Value,
) -> kube::Result<DynamicObject> {
    let kind = GroupVersionKind::gvk(claw_crds::GROUP, claw_crds::VERSION, kind);
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> =
        Api::namespaced_with(context.client.clone(), &context.namespace, &resource);
    let object = serde_json::from_value(object.clone()).expect("an object");
    let stored = api.create(&PostParams::default(), &object).await;
    let name = stored.expect("the object is taken").name_any();
    api.patch(&name, &PatchParams::default(), &Patch::Merge(edit))
        .await
}

/// A dry run with strict field validation: everything but storing, and unknown fields are errors.
async fn create(context: &Context, kind: &str, object: &Value) -> kube::Result<DynamicObject> {
    let kind = GroupVersionKind::gvk(claw_crds::GROUP, claw_crds::VERSION, kind);
    let path = DynamicObject::url_path(&ApiResource::from_gvk(&kind), Some(&context.namespace));
    let request = http::Request::post(format!("{path}?dryRun=All&fieldValidation=Strict"))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(object.to_string().into_bytes())
        .expect("a request");
    context.client.request(request).await
}

/// RFC 7386.
fn merge(target: &mut Value, change: &Value) {
    let Value::Object(change) = change else {
        *target = change.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(target) = target else {
        return;
    };
    for (key, value) in change {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}
