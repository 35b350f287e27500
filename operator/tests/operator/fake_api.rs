//! An API server in memory: objects by path, server-side apply with managed fields, watches, and a log of writes.
//!
//! It knows nothing of kinds. What only a real API server does (defaults, validation, garbage collection) is tested
//! against one.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures::StreamExt;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    writes: Vec<String>,
    watches: Vec<Watch>,
    faults: BTreeMap<String, u16>,
}

struct Watch {
    query: Query,
    lines: UnboundedSender<Bytes>,
}

/// The API server; clones share it.
#[derive(Clone)]
pub(crate) struct FakeApi {
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<u64>>,
}

/// A label that has the value, or has it not.
#[derive(Clone)]
struct Requirement {
    label: String,
    value: String,
    equals: bool,
}

impl Requirement {
    fn parse(text: &str) -> Option<Self> {
        let (label, value) = text.split_once('=')?;
        Some(Self {
            label: label.trim_end_matches('!').to_owned(),
            value: value.to_owned(),
            equals: !label.ends_with('!'),
        })
    }

    fn holds(&self, labels: &Value) -> bool {
        (labels[&self.label] == self.value.as_str()) == self.equals
    }
}

/// What a list or watch asks for.
#[derive(Clone)]
struct Query {
    /// Of the collection, in one namespace or in all.
    path: String,
    labels: Vec<Requirement>,
    /// Of the only object, where one is selected.
    name: Option<String>,
    only_metadata: bool,
    /// How many objects, after so many.
    page: Option<(usize, usize)>,
}

impl Query {
    fn of<B>(request: &Request<B>) -> (Self, bool) {
        let parameters: BTreeMap<String, String> =
            url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let labels = parameters.get("labelSelector").into_iter();
        let labels = labels
            .flat_map(|selector| selector.split(','))
            .filter_map(Requirement::parse)
            .collect();
        let number = |name| parameters.get(name).and_then(|text| text.parse().ok());
        let page = number("limit").map(|limit| (limit, number("continue").unwrap_or(0)));
        let accept = request.headers().get(http::header::ACCEPT);
        let only_metadata = accept
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("PartialObjectMetadata"));
        let fields = parameters.get("fieldSelector");
        let name = fields.and_then(|fields| fields.strip_prefix("metadata.name="));
        let query = Self {
            path: request.uri().path().to_owned(),
            labels,
            name: name.map(str::to_owned),
            only_metadata,
            page,
        };
        (query, parameters.contains_key("watch"))
    }

    fn wants(&self, path: &str, object: &Value) -> bool {
        let (collection, name) = path.rsplit_once('/').expect("an object's path");
        let everywhere = collection
            .split_once("/namespaces/")
            .and_then(|(api, rest)| Some(format!("{api}/{}", rest.split_once('/')?.1)));
        let labels = &object["metadata"]["labels"];
        (collection == self.path || everywhere.as_ref() == Some(&self.path))
            && self.name.as_ref().is_none_or(|wanted| wanted == name)
            && self
                .labels
                .iter()
                .all(|requirement| requirement.holds(labels))
    }

    fn show(&self, object: &Value) -> Value {
        if self.only_metadata {
            json!({
                "apiVersion": "meta.k8s.io/v1",
                "kind": "PartialObjectMetadata",
                "metadata": object["metadata"],
            })
        } else {
            object.clone()
        }
    }
}

impl FakeApi {
    pub(crate) fn new() -> Self {
        Self {
            state: Arc::default(),
            changed: Arc::new(watch::Sender::new(0)),
        }
    }

    /// What a client talks to.
    pub(crate) async fn serve(self, request: Request<Body>) -> Result<Answer, Infallible> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let request = Request::from_parts(parts, ());
        let path = request.uri().path().to_owned();
        let answer = match *request.method() {
            Method::GET => self.read(&request),
            ref method => self.write(method, &path, body),
        };
        Ok(answer)
    }

    /// As somebody else writes: an object at its path, with a new version.
    pub(crate) fn put(&self, path: &str, mut object: Value) {
        let mut state = self.lock();
        if let Some(old) = state.objects.get(path) {
            if object["status"].is_null() {
                object["status"] = old["status"].clone();
            }
            if object["metadata"]["uid"].is_null() {
                object["metadata"]["uid"] = old["metadata"]["uid"].clone();
            }
        }
        state.store(path, object);
        drop(state);
        self.tell();
    }

    /// As somebody else changes an object.
    pub(crate) fn edit(&self, path: &str, edit: impl FnOnce(&mut Value)) {
        let mut object = self.get(path).expect("an object to edit");
        edit(&mut object);
        self.put(path, object);
    }

    /// As somebody else deletes an object.
    pub(crate) fn delete(&self, path: &str) {
        self.lock().remove(path);
        self.tell();
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.lock().objects.get(path).cloned()
    }

    /// From now on, writes whose path contains `part` fail with `code`.
    pub(crate) fn fail(&self, part: &str, code: u16) {
        self.lock().faults.insert(part.to_owned(), code);
    }

    /// Everything works again.
    pub(crate) fn heal(&self) {
        self.lock().faults.clear();
    }

    /// What clients have written since the last call, Leases and Events left out.
    pub(crate) fn take_writes(&self) -> Vec<String> {
        let mut writes = std::mem::take(&mut self.lock().writes);
        writes.retain(|write| !write.contains("/events") && !write.contains("/leases"));
        writes
    }

    /// The reasons of all Events.
    pub(crate) fn events(&self) -> Vec<String> {
        let state = self.lock();
        let events = state.objects.iter();
        events
            .filter(|(path, _)| path.contains("/events/"))
            .map(|(_, event)| event["reason"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Resolves at the next change of anything.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn read(&self, request: &Request<()>) -> Answer {
        let (query, is_watch) = Query::of(request);
        let mut state = self.lock();
        if let Some(object) = state.objects.get(&query.path) {
            return answer(StatusCode::OK, &query.show(object));
        }
        if let Some(served) = discovery(&query.path) {
            return answer(StatusCode::OK, &served);
        }
        if is_named(&query.path) {
            return failure(404, "NotFound");
        }
        if is_watch {
            let (lines, stream) = unbounded();
            state.watches.push(Watch { query, lines });
            let frames = stream.map(|line| Ok(Frame::data(line)));
            return Response::new(StreamBody::new(frames).boxed_unsync());
        }
        let mut items: Vec<Value> = state
            .objects
            .iter()
            .filter(|(path, object)| query.wants(path, object))
            .map(|(_, object)| query.show(object))
            .collect();
        let mut metadata = json!({"resourceVersion": state.version.to_string()});
        if let Some((limit, from)) = query.page {
            items = items.split_off(from.min(items.len()));
            if items.len() > limit {
                items.truncate(limit);
                metadata["continue"] = json!((from + limit).to_string());
            }
        }
        answer(
            StatusCode::OK,
            &json!({"apiVersion": "v1", "kind": "List", "metadata": metadata, "items": items}),
        )
    }

    fn write(&self, method: &Method, path: &str, body: Value) -> Answer {
        let mut state = self.lock();
        state.writes.push(format!("{method} {path}"));
        let fault = state.faults.iter().find(|(part, _)| path.contains(*part));
        if let Some((_, code)) = fault {
            return failure(*code, "InternalError");
        }
        let answer = match *method {
            Method::PATCH => state.apply(path, body),
            Method::PUT => state.replace(path, body),
            Method::POST => state.create(path, body),
            _ => match state.remove(path) {
                Some(object) => answer(StatusCode::OK, &object),
                None => failure(404, "NotFound"),
            },
        };
        drop(state);
        self.tell();
        answer
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn store(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = json!(self.version.to_string());
        if metadata["uid"].is_null() {
            metadata["uid"] = json!(format!("uid-{}", self.version));
        }
        let old = self.objects.insert(path.to_owned(), object.clone());
        self.send(path, old.as_ref(), Some(&object));
        object
    }

    fn remove(&mut self, path: &str) -> Option<Value> {
        let mut object = self.objects.remove(path)?;
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.send(path, Some(&object), None);
        Some(object)
    }

    /// An object that no longer has a selected label is gone for those who watch by it.
    fn send(&mut self, path: &str, old: Option<&Value>, new: Option<&Value>) {
        self.watches.retain(|watch| {
            let wanted = |object: &&Value| watch.query.wants(path, object);
            let (kind, object) = match (old.filter(wanted), new.filter(wanted)) {
                (None, None) => return true,
                (None, Some(new)) => ("ADDED", new),
                (Some(_), Some(new)) => ("MODIFIED", new),
                (Some(old), None) => ("DELETED", new.unwrap_or(old)),
            };
            let line = json!({"type": kind, "object": watch.query.show(object)});
            let line = Bytes::from(format!("{line}\n"));
            watch.lines.unbounded_send(line).is_ok()
        });
    }

    /// Server-side apply by the one manager that there is.
    fn apply(&mut self, path: &str, mut body: Value) -> Answer {
        if let Some(path) = path.strip_suffix("/status") {
            let Some(mut object) = self.objects.get(path).cloned() else {
                return failure(404, "NotFound");
            };
            object["status"] = body["status"].take();
            return answer(StatusCode::OK, &self.store(path, object));
        }
        body["metadata"]["managedFields"] = json!([{
            "manager": "claw-operator", "operation": "Apply", "fieldsType": "FieldsV1",
            "fieldsV1": fields_of(&body),
        }]);
        if let Some(old) = self.objects.get(path) {
            body["metadata"]["uid"] = old["metadata"]["uid"].clone();
            if !old["status"].is_null() {
                body["status"] = old["status"].clone();
            }
        }
        answer(StatusCode::OK, &self.store(path, body))
    }

    fn replace(&mut self, path: &str, body: Value) -> Answer {
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        match self.objects.get(path) {
            None => failure(404, "NotFound"),
            Some(old) if version(old) != version(&body) => failure(409, "Conflict"),
            Some(_) => answer(StatusCode::OK, &self.store(path, body)),
        }
    }

    fn create(&mut self, path: &str, body: Value) -> Answer {
        let name = body["metadata"]["name"].as_str().unwrap_or_default();
        let path = format!("{path}/{name}");
        if self.objects.contains_key(&path) {
            return failure(409, "AlreadyExists");
        }
        answer(StatusCode::CREATED, &self.store(&path, body))
    }
}

/// Whether the path is of one object: `…/namespaces/NS/PLURAL/NAME`.
/// Kinds that a cluster may have or not; this one has them.
const OPTIONAL_KINDS: [(&str, &[(&str, &str)]); 3] = [
    (
        "monitoring.coreos.com",
        &[
            ("PodMonitor", "podmonitors"),
            ("PrometheusRule", "prometheusrules"),
        ],
    ),
    ("gateway.networking.k8s.io", &[("HTTPRoute", "httproutes")]),
    ("cert-manager.io", &[("Certificate", "certificates")]),
];

/// What it says of itself.
fn discovery(path: &str) -> Option<Value> {
    if path == "/apis" {
        let groups = OPTIONAL_KINDS.map(|(group, _)| {
            let version = json!({"groupVersion": format!("{group}/v1"), "version": "v1"});
            json!({"name": group, "versions": [version], "preferredVersion": version})
        });
        return Some(json!({"apiVersion": "v1", "kind": "APIGroupList", "groups": groups}));
    }
    let (group, kinds) = OPTIONAL_KINDS
        .iter()
        .find(|(group, _)| path == format!("/apis/{group}/v1"))?;
    let resources: Vec<Value> = kinds
        .iter()
        .map(|(kind, plural)| {
            json!({"name": plural, "singularName": "", "namespaced": true, "kind": kind, "verbs": ["get"]})
        })
        .collect();
    let group_version = format!("{group}/v1");
    Some(json!({
        "apiVersion": "v1", "kind": "APIResourceList", "groupVersion": group_version, "resources": resources,
    }))
}

fn is_named(path: &str) -> bool {
    path.split_once("/namespaces/")
        .is_some_and(|(_, rest)| rest.split('/').count() > 2)
}

/// The managed fields of an applied object, every list being one.
fn fields_of(object: &Value) -> Value {
    fn walk(value: &Value, skip: &[&str]) -> Value {
        let fields = value.as_object().into_iter().flatten();
        fields
            .filter(|(name, _)| !skip.contains(&name.as_str()))
            .map(|(name, value)| {
                let skip: &[&str] = if name == "metadata" {
                    &["name", "namespace"]
                } else {
                    &[]
                };
                (format!("f:{name}"), walk(value, skip))
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
    walk(object, &["apiVersion", "kind"])
}

fn answer(status: StatusCode, body: &Value) -> Answer {
    let body = Full::new(Bytes::from(body.to_string())).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

fn failure(code: u16, reason: &str) -> Answer {
    let status = StatusCode::from_u16(code).expect("a status code");
    let message = format!("the fake API server says {code}");
    answer(
        status,
        &json!({
            "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason,
            "message": message,
        }),
    )
}
