//! Models: sources and credentials resolved, names unique.

use std::collections::BTreeSet;

use url::Url;

use super::{
    problem::{ObjectRef, Problem, ProblemReason},
    secrets::Secrets,
};
use crate::{
    claw_gateway::{LocalModel, Model, Quantization, RemoteModel},
    gateway_config::{
        LocalModelConfig, ModelBackend, ModelConfig, QuantizationConfig, Redacted,
        RemoteModelConfig, SourceConfig,
    },
};

pub(super) fn compile(
    gateway: &ObjectRef,
    models: &[Model],
    secrets: &Secrets,
    problems: &mut Vec<Problem>,
) -> Vec<ModelConfig> {
    let mut names = BTreeSet::new();
    let mut configs = Vec::new();
    for (index, model) in models.iter().enumerate() {
        let field = format!("spec.models[{index}]");
        if !names.insert(model.name.as_str()) {
            problems.push(Problem {
                object: gateway.clone(),
                field: format!("{field}.name"),
                value: Some(model.name.clone()),
                reason: ProblemReason::Conflict,
                message: "another model has that name".to_owned(),
                remedy: "rename or remove one of them".to_owned(),
                fatal: true,
            });
            continue;
        }
        let backend = backend(gateway, &field, model, secrets).unwrap_or_else(|problem| {
            let reason = problem.detail();
            problems.push(problem);
            ModelBackend::Unavailable { reason }
        });
        configs.push(ModelConfig {
            name: model.name.clone(),
            backend,
        });
    }
    configs
}

fn backend(
    gateway: &ObjectRef,
    field: &str,
    model: &Model,
    secrets: &Secrets,
) -> Result<ModelBackend, Problem> {
    match (&model.local, &model.remote) {
        (Some(model), None) => local(gateway, field, model).map(ModelBackend::Local),
        (None, Some(remote_model)) => {
            remote(gateway, field, &model.name, remote_model, secrets).map(ModelBackend::Remote)
        }
        (None, None) | (Some(_), Some(_)) => {
            let value = Some(model.name.clone());
            Err(invalid(
                gateway,
                field.to_owned(),
                value,
                "a model is either local or remote",
                "set exactly one of local and remote",
            ))
        }
    }
}

fn local(
    gateway: &ObjectRef,
    field: &str,
    model: &LocalModel,
) -> Result<LocalModelConfig, Problem> {
    let source = match (&model.source.path, &model.source.http) {
        (Some(path), None) => SourceConfig::Path(path.clone()),
        (None, Some(http)) => {
            let url = check_url(gateway, format!("{field}.local.source.http.url"), &http.url)?;
            SourceConfig::Http {
                url: url.to_string(),
                sha256: http.sha256.clone(),
            }
        }
        (None, None) | (Some(_), Some(_)) => {
            let field = format!("{field}.local.source");
            return Err(invalid(
                gateway,
                field,
                None,
                "a source is either a path or a URL",
                "set exactly one of path and http",
            ));
        }
    };
    Ok(LocalModelConfig {
        source,
        quantization: match model.quantization {
            Quantization::None => QuantizationConfig::None,
            Quantization::Int8 => QuantizationConfig::Int8,
        },
        context_length: model
            .context_length
            .and_then(|length| u32::try_from(length).ok()),
    })
}

fn remote(
    gateway: &ObjectRef,
    field: &str,
    name: &str,
    model: &RemoteModel,
    secrets: &Secrets,
) -> Result<RemoteModelConfig, Problem> {
    let url = check_url(gateway, format!("{field}.remote.baseURL"), &model.base_url)?;
    let api_key = model
        .credentials
        .as_ref()
        .map(|value| {
            secrets.text(
                gateway,
                &format!("{field}.remote.credentials"),
                &value.secret_key_ref,
            )
        })
        .transpose()?;
    Ok(RemoteModelConfig {
        base_url: url.as_str().trim_end_matches('/').to_owned(),
        model: model.model.clone().unwrap_or_else(|| name.to_owned()),
        api_key: api_key.map(Redacted::new),
    })
}

/// An absolute HTTP(S) URL without credentials, query or fragment.
pub(super) fn check_url(object: &ObjectRef, field: String, value: &str) -> Result<Url, Problem> {
    const REMEDY: &str = "give an absolute URL such as https://api.example.com/v1";
    let fault = match Url::parse(value) {
        Err(error) => error.to_string(),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            format!("the scheme {:?} is not supported", url.scheme())
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            // The value itself holds the secret, so it must not be repeated.
            let fault = "the URL carries credentials, which end up in logs";
            return Err(invalid(
                object,
                field,
                None,
                fault,
                "put them into a Secret and refer to it by credentials",
            ));
        }
        Ok(url) if url.fragment().is_some() => {
            "the URL has a fragment, which is never sent".to_owned()
        }
        Ok(url) => return Ok(url),
    };
    Err(invalid(
        object,
        field,
        Some(value.to_owned()),
        fault,
        REMEDY,
    ))
}

fn invalid(
    object: &ObjectRef,
    field: String,
    value: Option<String>,
    message: impl Into<String>,
    remedy: &str,
) -> Problem {
    let message = message.into();
    let (object, remedy) = (object.clone(), remedy.to_owned());
    Problem {
        object,
        field,
        value,
        reason: ProblemReason::Invalid,
        message,
        remedy,
        fatal: false,
    }
}
