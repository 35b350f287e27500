//! One rule of the routing table, ready to be asked.

use claw_crds::gateway_config::{
    BackendConfig, RetriesConfig, RouteConfig, TaskConfig, TimeoutsConfig,
};
use http::HeaderMap;

use super::headers::{HeaderMatch, InvalidHeader};
use super::weights::Weights;

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// Where it was written.
    pub origin: String,
    /// The regular expression on the path.
    pub pattern: Option<String>,
    /// The model that the request must name.
    pub alias: Option<String>,
    headers: Vec<HeaderMatch>,
    backends: Weights,
    /// The models to try in order, after those with a weight.
    pub targets: Vec<String>,
    /// What its models do, which decides the body at the paths that patterns open.
    pub task: TaskConfig,
    /// How long is waited, where the rule says it.
    pub timeouts: TimeoutsConfig,
    /// Whether a model is asked again.
    pub retries: Option<RetriesConfig>,
}

impl Rule {
    pub(super) fn compile(config: &RouteConfig) -> Result<Self, (String, InvalidHeader)> {
        let headers = config
            .headers
            .iter()
            .map(|header| {
                HeaderMatch::compile(header).map_err(|error| (header.name.clone(), error))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            origin: config.origin.clone(),
            pattern: config.pattern.clone(),
            alias: config.alias.clone(),
            headers,
            backends: Weights::new(config.backends.clone(), rand::random()),
            targets: config.targets.clone(),
            task: config.task,
            timeouts: config.timeouts,
            retries: config.retries,
        })
    }

    /// The models with a weight.
    pub fn backends(&self) -> &[BackendConfig] {
        self.backends.shares()
    }

    /// The names of the headers that it asks for.
    pub fn header_names(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(HeaderMatch::name)
    }

    /// Whether a request has all but the path that the rule asks for.
    pub(super) fn takes(&self, model: Option<&str>, headers: &HeaderMap) -> bool {
        (self.alias.is_none() || self.alias.as_deref() == model)
            && self.headers.iter().all(|header| header.is_in(headers))
    }

    /// Whether it takes what asks for its alias, wherever and by whom it is sent.
    pub(super) fn has_alias_alone(&self) -> bool {
        self.pattern.is_none() && self.headers.is_empty() && self.alias.is_some()
    }

    /// Whether this model answers first, always.
    pub(super) fn begins_with(&self, model: &str) -> bool {
        self.backends().is_empty() && self.targets.first().is_some_and(|first| first == model)
    }

    /// The names of the models for the next request, each once.
    pub(super) fn turn(&self) -> Vec<&str> {
        let mut order = self.backends.turn();
        for target in &self.targets {
            if !order.contains(&target.as_str()) {
                order.push(target);
            }
        }
        order
    }
}
