//! Rankings as Cohere, Jina and vLLM have them, for models in this process. Pure.

use std::sync::Arc;

use claw_inference::RerankRequest;
use serde_json::{Map, Value, json};

use super::embedding::{refuse_others, shortest};
use crate::error::GatewayError;
use crate::models::Cancellation;
use crate::types::{ChatRequest, fields};

/// Fields that are honoured.
const HONOURED: [&str; 5] = ["model", "query", "documents", "top_n", "return_documents"];

/// A checked request.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    query: String,
    documents: Vec<String>,
    top: usize,
    shows_documents: bool,
}

impl Wanted {
    /// The request as the model takes it.
    pub fn to_engine(&self, caller: Arc<str>, cancellation: Cancellation) -> RerankRequest {
        RerankRequest {
            query: self.query.clone(),
            documents: self.documents.clone(),
            caller,
            cancellation,
        }
    }
}

/// Read a request for the local model of that name. What it cannot honour is refused by name.
pub fn request(request: &ChatRequest, model: &str) -> Result<Wanted, GatewayError> {
    let body = request.body.fields();
    refuse_others(body, &HONOURED, model)?;
    let documents = match body.get("documents") {
        Some(Value::Array(items)) => items
            .iter()
            .enumerate()
            .map(|(index, item)| document(index, item))
            .collect::<Result<Vec<_>, _>>()?,
        _ => {
            return Err(GatewayError::invalid(
                "documents",
                "`documents` must be a list of texts",
            ));
        }
    };
    let top = fields::count(body, "top_n")?.and_then(|top| usize::try_from(top).ok());
    Ok(Wanted {
        query: fields::string(body, "query")?.unwrap_or_default(),
        top: top.unwrap_or(documents.len()),
        documents,
        shows_documents: fields::boolean(body, "return_documents")?.unwrap_or(false),
    })
}

/// A text, alone or in an object.
fn document(index: usize, item: &Value) -> Result<String, GatewayError> {
    let text = match item {
        Value::Object(fields) => fields.get("text"),
        other => Some(other),
    };
    let text = text.and_then(Value::as_str).map(str::to_owned);
    text.ok_or_else(|| {
        let at = format!("documents[{index}]");
        let message = format!("`{at}` must be a text, or an object with `text`");
        GatewayError::invalid(&at, message)
    })
}

/// The fields of an answer, but for its model and usage: the best documents first.
pub fn answer(wanted: &Wanted, scores: &[f32]) -> Map<String, Value> {
    let mut ranked: Vec<_> = scores.iter().copied().enumerate().collect();
    ranked.sort_by(|(_, left), (_, right)| right.total_cmp(left));
    let results: Vec<Value> = ranked
        .into_iter()
        .take(wanted.top)
        .map(|(index, score)| {
            let mut result = json!({"index": index, "relevance_score": shortest(score)});
            if wanted.shows_documents {
                result["document"] = json!({"text": wanted.documents.get(index)});
            }
            result
        })
        .collect();
    Map::from_iter([("results".to_owned(), Value::Array(results))])
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::types::Task;

    fn read(body: &Value) -> Result<Wanted, GatewayError> {
        let body = body.as_object().expect("an object").clone();
        request(&ChatRequest::of_task(Task::Rerank, body)?, "tiny")
    }

    #[test]
    fn the_best_documents_come_first() {
        let body = json!({"query": "q", "documents": ["a", {"text": "b"}, "c"], "top_n": 2, "return_documents": true});
        let wanted = read(&body).expect("valid");
        assert_eq!(wanted.documents, ["a", "b", "c"]);
        let answer = answer(&wanted, &[0.25, 0.5, 0.125]);
        assert_eq!(
            answer["results"],
            json!([
                {"index": 1, "relevance_score": 0.5, "document": {"text": "b"}},
                {"index": 0, "relevance_score": 0.25, "document": {"text": "a"}},
            ])
        );
    }

    #[rstest]
    #[case(json!({"query": "q", "documents": "a"}), "documents")]
    #[case(json!({"query": "q", "documents": ["a", 1]}), "documents[1]")]
    #[case(json!({"query": 1, "documents": ["a"]}), "query")]
    #[case(json!({"query": "q", "documents": ["a"], "top_n": 0}), "top_n")]
    #[case(json!({"query": "q", "documents": ["a"], "return_documents": "yes"}), "return_documents")]
    fn what_cannot_be_is_named(#[case] body: Value, #[case] field: &str) {
        let error = read(&body).expect_err("invalid");
        let GatewayError::InvalidRequest { param, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(param.as_deref(), Some(field));
    }
}
