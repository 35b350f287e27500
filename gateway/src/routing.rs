//! Which models a request may be answered by, in order. Pure but for the turns of weighted models.
//!
//! The first rule that matches wins; on the paths of the API without such a rule, the body names the model. Whether a
//! model is up is for the dispatcher.

mod headers;
mod rule;
mod table;
mod weights;

use http::HeaderMap;

pub use rule::Rule;
pub use table::{InvalidRoute, RouteTable};

use crate::config::{ModelEntry, RuntimeConfig};
use crate::error::GatewayError;

/// The path where the model is chosen by the body.
pub const CHAT_COMPLETIONS: &str = "/v1/chat/completions";
/// The same in Anthropic's dialect.
pub const MESSAGES: &str = "/v1/messages";
/// The same as OpenAI's responses.
pub const RESPONSES: &str = "/v1/responses";
/// Where a text is gone on with.
pub const COMPLETIONS: &str = "/v1/completions";
/// Where texts become vectors.
pub const EMBEDDINGS: &str = "/v1/embeddings";
/// Where documents are sorted.
pub const RERANK: &str = "/v1/rerank";
/// Paths where the model is chosen by the body, unless a rule matches.
const CHOSEN_BY_BODY: [&str; 6] = [
    CHAT_COMPLETIONS,
    MESSAGES,
    RESPONSES,
    COMPLETIONS,
    EMBEDDINGS,
    RERANK,
];

/// What of a request decides where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its path.
    pub path: &'a str,
    /// The model that its body names.
    pub model: Option<&'a str>,
    /// Its headers.
    pub headers: &'a HeaderMap,
}

/// Who may answer a request.
#[derive(Debug)]
pub struct Candidates<'a> {
    /// The rule that says so; `None` where the request named a model for which there is no rule.
    pub rule: Option<&'a Rule>,
    /// The models to try in order, never empty.
    pub models: Vec<&'a ModelEntry>,
}

/// The models to try for a request.
pub fn candidates<'a>(
    runtime: &'a RuntimeConfig,
    asked: Asked<'_>,
) -> Result<Candidates<'a>, GatewayError> {
    if let Some(rule) = runtime.routes.find(asked) {
        return of_rule(runtime, rule);
    }
    if !CHOSEN_BY_BODY.contains(&asked.path) {
        return Err(unmatched(runtime, asked.path));
    }
    match asked.model {
        None => Err(GatewayError::invalid(
            "model",
            format!("`model` is missing: name one of {}", known_models(runtime)),
        )),
        Some(name) => Ok(Candidates {
            rule: None,
            models: vec![by_name(runtime, name)?],
        }),
    }
}

/// Who may answer for the model of that name without a request: the rule whose alias it is, else the model and, after
/// it, the fallbacks of the first rule that begins with it.
pub fn candidates_by_model<'a>(
    runtime: &'a RuntimeConfig,
    name: &str,
) -> Result<Candidates<'a>, GatewayError> {
    if let Some(rule) = runtime.routes.by_alias_alone(name) {
        return of_rule(runtime, rule);
    }
    let model = by_name(runtime, name)?;
    let mut rules = runtime.routes.rules().iter();
    match rules.find(|rule| rule.begins_with(name)) {
        Some(rule) => of_rule(runtime, rule),
        None => Ok(Candidates {
            rule: None,
            models: vec![model],
        }),
    }
}

/// A helpful 404.
pub fn unknown_path(path: &str) -> GatewayError {
    GatewayError::NotFound {
        message: format!(
            "nothing is served at {path}: use POST {CHAT_COMPLETIONS}, {MESSAGES} or {RESPONSES}, GET /v1/models, or a \
             path that a route of this gateway matches"
        ),
    }
}

/// The model of that name.
pub fn by_name<'a>(runtime: &'a RuntimeConfig, name: &str) -> Result<&'a ModelEntry, GatewayError> {
    runtime
        .model(name)
        .ok_or_else(|| GatewayError::ModelNotFound {
            model: name.to_owned(),
            known: known_models(runtime),
        })
}

fn of_rule<'a>(runtime: &'a RuntimeConfig, rule: &'a Rule) -> Result<Candidates<'a>, GatewayError> {
    let models: Vec<_> = rule
        .turn()
        .into_iter()
        .filter_map(|name| runtime.model(name))
        .collect();
    if models.is_empty() {
        return Err(GatewayError::RouteWithoutModel {
            origin: rule.origin.clone(),
        });
    }
    Ok(Candidates {
        rule: Some(rule),
        models,
    })
}

fn unmatched(runtime: &RuntimeConfig, path: &str) -> GatewayError {
    if !runtime.routes.serves(path) {
        return unknown_path(path);
    }
    GatewayError::NotFound {
        message: format!(
            "no route of this gateway takes this request to {path}: its routes there ask for another `model` or for \
             headers that the request does not have"
        ),
    }
}

/// Of models and aliases.
fn known_models(runtime: &RuntimeConfig) -> String {
    let names: Vec<_> = runtime
        .models
        .iter()
        .map(|model| model.name.as_str())
        .chain(aliases(runtime))
        .map(|name| format!("`{name}`"))
        .collect();
    if names.is_empty() {
        "none, since this gateway has no models".to_owned()
    } else {
        names.join(", ")
    }
}

/// The names beside those of models that clients may ask for, each once, in the order of the rules.
pub fn aliases(runtime: &RuntimeConfig) -> impl Iterator<Item = &str> {
    let aliases = runtime.routes.aliases().iter().map(String::as_str);
    aliases.filter(|alias| runtime.model(alias).is_none())
}

#[cfg(test)]
mod tests;
