//! What the API takes and gives, as an OpenAPI 3.1 document made from the types. It tells no secrets: neither models nor
//! routes, only the endpoints that every gateway has.

pub mod bodies;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::error::{AnthropicErrorBody, ErrorBody};
use crate::handlers::models::{Model, ModelList};
use crate::types::{ChatChunk, ChatCompletion, MessageAnswer, TokenCount};

/// One endpoint.
struct Endpoint {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    /// Schema of the body, for those that have one.
    body: Option<Value>,
    answer: Value,
    /// What an event of a stream carries, for those that stream.
    event: Option<Value>,
    error: Value,
}

/// The document.
pub fn document() -> Value {
    let mut schemas = Schemas::new();
    let paths = endpoints(&mut schemas)
        .into_iter()
        .fold(Map::new(), |mut paths, endpoint| {
            let operations = paths.entry(endpoint.path).or_insert_with(|| json!({}));
            operations[endpoint.method] = operation(&endpoint);
            paths
        });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "claw gateway",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "One door to local and remote models. docs/api.md tells what each endpoint honours. Paths of routes \
                            take and give what their models do: chat completions, summaries, embeddings or rankings.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.0.take_definitions(true),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    })
}

struct Schemas(SchemaGenerator);

impl Schemas {
    fn new() -> Self {
        let mut settings = SchemaSettings::draft2020_12();
        settings.definitions_path = "/components/schemas".into();
        // What is read where an API leaves a field out, new ids and the time among it, is nobody else's default.
        settings.transforms.push(Box::new(RecursiveTransform(
            |schema: &mut schemars::Schema| {
                schema.remove("default");
            },
        )));
        Self(settings.into_generator())
    }

    fn of<T: JsonSchema>(&mut self) -> Value {
        self.0.subschema_for::<T>().to_value()
    }
}

fn endpoints(schemas: &mut Schemas) -> Vec<Endpoint> {
    let mut all = chats(schemas);
    all.extend(dialects(schemas));
    all.extend(passed_on(schemas));
    all.extend(about_the_gateway(schemas));
    all
}

fn chats(schemas: &mut Schemas) -> Vec<Endpoint> {
    vec![
        Endpoint {
            method: "post",
            path: "/v1/chat/completions",
            summary: "Answer a conversation (OpenAI's chat completions)",
            body: Some(schemas.of::<bodies::ChatBody>()),
            answer: schemas.of::<ChatCompletion>(),
            event: Some(schemas.of::<ChatChunk>()),
            error: schemas.of::<ErrorBody>(),
        },
        Endpoint {
            method: "post",
            path: "/v1/completions",
            summary: "Go on with a text (OpenAI's older completions)",
            body: Some(schemas.of::<bodies::CompletionBody>()),
            answer: schemas.of::<bodies::TextCompletion>(),
            event: Some(schemas.of::<bodies::TextCompletion>()),
            error: schemas.of::<ErrorBody>(),
        },
    ]
}

fn dialects(schemas: &mut Schemas) -> Vec<Endpoint> {
    vec![
        Endpoint {
            method: "post",
            path: "/v1/messages",
            summary: "Answer a conversation (Anthropic's Messages API)",
            body: Some(schemas.of::<bodies::MessagesBody>()),
            answer: schemas.of::<MessageAnswer>(),
            event: Some(schemas.of::<bodies::TypedEvent>()),
            error: schemas.of::<AnthropicErrorBody>(),
        },
        Endpoint {
            method: "post",
            path: "/v1/messages/count_tokens",
            summary: "Count or estimate the tokens of a conversation; the header x-claw-token-count says which",
            body: Some(schemas.of::<bodies::CountBody>()),
            answer: schemas.of::<TokenCount>(),
            event: None,
            error: schemas.of::<AnthropicErrorBody>(),
        },
        Endpoint {
            method: "post",
            path: "/v1/responses",
            summary: "Answer a conversation (OpenAI's Responses API); nothing is stored",
            body: Some(schemas.of::<bodies::ResponsesBody>()),
            answer: schemas.of::<bodies::ResponseAnswer>(),
            event: Some(schemas.of::<bodies::TypedEvent>()),
            error: schemas.of::<ErrorBody>(),
        },
    ]
}

fn passed_on(schemas: &mut Schemas) -> Vec<Endpoint> {
    vec![
        Endpoint {
            method: "post",
            path: "/v1/embeddings",
            summary: "Turn texts into vectors",
            body: Some(schemas.of::<bodies::EmbeddingsBody>()),
            answer: schemas.of::<bodies::Embeddings>(),
            event: None,
            error: schemas.of::<ErrorBody>(),
        },
        Endpoint {
            method: "post",
            path: "/v1/rerank",
            summary: "Sort documents by what they say about a question",
            body: Some(schemas.of::<bodies::RerankBody>()),
            answer: schemas.of::<bodies::Ranking>(),
            event: None,
            error: schemas.of::<ErrorBody>(),
        },
    ]
}

fn about_the_gateway(schemas: &mut Schemas) -> Vec<Endpoint> {
    vec![
        Endpoint {
            method: "get",
            path: "/v1/models",
            summary: "List the models",
            body: None,
            answer: schemas.of::<ModelList>(),
            event: None,
            error: schemas.of::<ErrorBody>(),
        },
        Endpoint {
            method: "get",
            path: "/v1/models/{id}",
            summary: "Show one model",
            body: None,
            answer: schemas.of::<Model>(),
            event: None,
            error: schemas.of::<ErrorBody>(),
        },
        Endpoint {
            method: "get",
            path: "/openapi.json",
            summary: "This document",
            body: None,
            answer: json!({"type": "object"}),
            event: None,
            error: schemas.of::<ErrorBody>(),
        },
    ]
}

fn operation(endpoint: &Endpoint) -> Value {
    let mut content = json!({"application/json": {"schema": endpoint.answer}});
    if let Some(event) = &endpoint.event {
        content["text/event-stream"] = json!({
            "schema": {"type": "string", "contentMediaType": "application/json", "contentSchema": event},
        });
    }
    let mut operation = json!({
        "summary": endpoint.summary,
        "operationId": operation_id(endpoint.method, endpoint.path),
        "responses": {
            "200": {"description": "The answer", "content": content},
            "default": {
                "description": "An error",
                "content": {"application/json": {"schema": endpoint.error}},
            },
        },
    });
    if let Some(body) = &endpoint.body {
        operation["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": body}}});
    }
    if endpoint.path.contains("{id}") {
        operation["parameters"] =
            json!([{"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}]);
    }
    if endpoint.path.starts_with("/v1/messages") {
        operation["security"] = json!([{"bearer": []}, {"apiKey": []}]);
    } else if endpoint.path == "/openapi.json" {
        operation["security"] = json!([]);
    }
    operation
}

fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words = words.filter(|word| !word.is_empty() && *word != "v1");
    std::iter::once(method)
        .chain(words)
        .collect::<Vec<_>>()
        .join("_")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::conversion::HONOURED_IN_ALL;

    /// Every reference in the document.
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(target)) = fields.get("$ref") {
                    found.insert(target.clone());
                }
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn the_document_is_always_the_same() {
        assert_eq!(document(), document());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 10, "{found:?}");
        for target in found {
            let pointer = target.strip_prefix('#').expect("within the document");
            assert!(document.pointer(pointer).is_some(), "{target}");
        }
    }

    #[test]
    fn the_body_of_a_chat_has_every_field_that_local_models_honour() {
        let document = document();
        let body = &document["components"]["schemas"]["ChatBody"]["properties"];
        for field in HONOURED_IN_ALL {
            assert!(body.get(field).is_some(), "{field}");
        }
    }
}
