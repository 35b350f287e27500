//! What a known caller may do. Pure.

use std::net::IpAddr;

use claw_crds::gateway_config::{BudgetConfig, GrantConfig};
use jiff::Timestamp;

use crate::error::GatewayError;
use crate::routing::Candidates;

/// What a caller may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant(GrantConfig);

/// Why a known caller is not let in here and now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotGranted {
    Expired(Timestamp),
    Address,
    Path,
}

impl Grant {
    pub(super) fn new(config: GrantConfig) -> Self {
        Self(config)
    }

    /// Who is to be asked about the caller.
    pub fn owner(&self) -> Option<&str> {
        self.0.owner.as_deref()
    }

    /// What the caller may use, where that is less than everybody may.
    pub fn limits(&self) -> Option<&BudgetConfig> {
        Some(&self.0.limits).filter(|limits| !limits.is_empty())
    }

    /// Whether the model of this name may be used.
    pub fn allows_model(&self, name: &str) -> bool {
        self.0
            .models
            .as_ref()
            .is_none_or(|models| models.contains(name))
    }

    /// Of the models that could answer, those that may. `requested` is the name in the request. Whoever may ask for
    /// the alias of a route may have whatever answers there.
    pub fn permitted<'a>(
        &self,
        candidates: Candidates<'a>,
        requested: Option<&str>,
    ) -> Result<Candidates<'a>, GatewayError> {
        let Some(models) = &self.0.models else {
            return Ok(candidates);
        };
        let Candidates {
            rule,
            models: mut answering,
        } = candidates;
        let alias = rule.and_then(|rule| rule.alias.as_ref());
        if !alias.is_some_and(|alias| models.contains(alias)) {
            answering.retain(|model| models.contains(&model.name));
        }
        match (rule, requested) {
            _ if !answering.is_empty() => Ok(Candidates {
                rule,
                models: answering,
            }),
            // As for one that does not exist: a key is no means to find out what there is.
            (None, Some(name)) => Err(self.unknown(name)),
            _ => Err(GatewayError::Forbidden {
                message: "this credential may use none of the models that answer here".to_owned(),
            }),
        }
    }

    /// An error as the caller may see it: models that it may not use do not exist.
    pub fn veiled(&self, error: GatewayError) -> GatewayError {
        match error {
            GatewayError::ModelNotFound { model, .. } if self.0.models.is_some() => {
                self.unknown(&model)
            }
            other => other,
        }
    }

    /// What is told of a model that does not exist for the caller.
    pub fn unknown(&self, model: &str) -> GatewayError {
        let known: Vec<_> = self
            .0
            .models
            .iter()
            .flatten()
            .map(|name| format!("`{name}`"))
            .collect();
        GatewayError::ModelNotFound {
            model: model.to_owned(),
            known: known.join(", "),
        }
    }

    pub(super) fn admit(
        &self,
        path: &str,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<(), NotGranted> {
        let GrantConfig {
            owner: _,
            expires,
            models: _,
            paths,
            cidrs,
            limits: _,
        } = &self.0;
        if let Some(expires) = expires
            && *expires <= now
        {
            return Err(NotGranted::Expired(*expires));
        }
        if let Some(cidrs) = cidrs
            && !address.is_some_and(|address| cidrs.iter().any(|range| range.contains(&address)))
        {
            return Err(NotGranted::Address);
        }
        if let Some(paths) = paths
            && !paths.iter().any(|allowed| matches(allowed, path))
        {
            return Err(NotGranted::Path);
        }
        Ok(())
    }
}

fn matches(allowed: &str, path: &str) -> bool {
    allowed
        .strip_suffix('*')
        .map_or(allowed == path, |start| path.starts_with(start))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use claw_crds::gateway_config::RouteConfig;

    use super::*;
    use crate::config::{RuntimeConfig, fixture};
    use crate::routing::{self, Asked};

    #[rstest]
    #[case::anything("{}", "/x", None, None)]
    #[case::in_time(r#"{"expires": "2027-01-01T00:00:00Z"}"#, "/x", None, None)]
    #[case::late(
        r#"{"expires": "2026-01-01T00:00:00Z"}"#,
        "/x",
        None,
        Some("Expired(2026-01-01T00:00:00Z)")
    )]
    #[case::that_very_moment(
        r#"{"expires": "2026-06-01T00:00:00Z"}"#,
        "/x",
        None,
        Some("Expired(2026-06-01T00:00:00Z)")
    )]
    #[case::the_path(r#"{"paths": ["/ask"]}"#, "/ask", None, None)]
    #[case::a_longer_path(r#"{"paths": ["/ask"]}"#, "/ask/more", None, Some("Path"))]
    #[case::a_path_below(r#"{"paths": ["/v1/*"]}"#, "/v1/models", None, None)]
    #[case::another_path(r#"{"paths": ["/v1/*", "/ask"]}"#, "/v2", None, Some("Path"))]
    #[case::from_inside(r#"{"cidrs": ["10.0.0.0/8"]}"#, "/x", Some("10.1.1.1"), None)]
    #[case::from_outside(
        r#"{"cidrs": ["10.0.0.0/8"]}"#,
        "/x",
        Some("11.1.1.1"),
        Some("Address")
    )]
    #[case::from_nowhere(r#"{"cidrs": ["10.0.0.0/8"]}"#, "/x", None, Some("Address"))]
    fn who_is_let_in(
        #[case] grant: &str,
        #[case] path: &str,
        #[case] address: Option<&str>,
        #[case] expected: Option<&str>,
    ) {
        let grant = Grant::new(serde_json::from_str(grant).expect("a grant"));
        let address = address.map(|address| address.parse().expect("an address"));
        let now = "2026-06-01T00:00:00Z".parse().expect("a time");
        let outcome = grant.admit(path, address, now).err();
        assert_eq!(
            outcome.map(|refused| format!("{refused:?}")).as_deref(),
            expected
        );
    }

    fn grant(json: &str) -> Grant {
        Grant::new(serde_json::from_str(json).expect("a grant"))
    }

    /// The rule `/all` leads to every model, and so does the alias `any`.
    fn runtime() -> RuntimeConfig {
        let mut config = fixture::config(&["red", "green", "blue"]);
        let targets: Vec<String> = ["red", "green", "blue"].map(str::to_owned).into();
        for (pattern, alias) in [(Some("^/all$"), None), (None, Some("any"))] {
            config.routes.push(RouteConfig {
                origin: "a test".into(),
                pattern: pattern.map(str::to_owned),
                alias: alias.map(str::to_owned),
                targets: targets.clone(),
                ..RouteConfig::default()
            });
        }
        fixture::runtime(config)
    }

    fn answering(
        runtime: &RuntimeConfig,
        grant: &Grant,
        path: &str,
        model: &str,
    ) -> Result<Vec<String>, GatewayError> {
        let asked = Asked {
            path,
            model: Some(model),
            headers: &http::HeaderMap::new(),
        };
        let candidates =
            routing::candidates(runtime, asked).map_err(|error| grant.veiled(error))?;
        let permitted = grant.permitted(candidates, Some(model))?;
        Ok(permitted
            .models
            .iter()
            .map(|model| model.name.clone())
            .collect())
    }

    #[test]
    fn of_a_route_the_permitted_models_answer() {
        let runtime = runtime();
        let some = grant(r#"{"models": ["green", "blue"]}"#);
        // The name in the body chooses nothing here, and opens nothing.
        for name in ["red", "green"] {
            let found = answering(&runtime, &some, "/all", name).expect("some");
            assert_eq!(found, ["green", "blue"], "{name}");
        }
        let error = answering(&runtime, &grant(r#"{"models": ["pink"]}"#), "/all", "red");
        assert_eq!(error.expect_err("none").status(), 403);
        let all = answering(&runtime, &grant("{}"), "/all", "red").expect("all");
        assert_eq!(all.len(), 3);
    }

    #[test]
    fn an_alias_is_allowed_by_its_name_or_for_the_models_behind_it() {
        let runtime = runtime();
        let chat = routing::CHAT_COMPLETIONS;
        let by_name = answering(&runtime, &grant(r#"{"models": ["any"]}"#), chat, "any");
        assert_eq!(by_name.expect("all").len(), 3);
        let behind = answering(&runtime, &grant(r#"{"models": ["blue"]}"#), chat, "any");
        assert_eq!(behind.expect("one"), ["blue"]);
        let elsewhere = answering(&runtime, &grant(r#"{"models": ["any"]}"#), "/all", "any");
        assert_eq!(elsewhere.expect_err("another route").status(), 403);
    }

    #[test]
    fn a_model_that_may_not_be_used_does_not_exist() {
        let (runtime, green) = (runtime(), grant(r#"{"models": ["green"]}"#));
        for name in ["red", "pink"] {
            let error = answering(&runtime, &green, routing::CHAT_COMPLETIONS, name);
            let error = error.expect_err("hidden or absent");
            assert_eq!(error.status(), 404);
            assert_eq!(
                error.to_string(),
                format!("the model `{name}` does not exist: known models are `green`")
            );
        }
    }
}
