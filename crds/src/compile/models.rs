//! Models: sources and credentials resolved, names unique.

use std::collections::BTreeSet;

use super::{
    Found, model_sources,
    problem::{ObjectRef, Problem, ProblemReason},
    remote_models::{Place, remote},
};
use crate::{
    claw_gateway::{Load, LocalModel, Model, Quantization, RemoteTask, Task},
    gateway_config::{
        LoadConfig, LocalModelConfig, ModelBackend, ModelConfig, QuantizationConfig, TaskConfig,
    },
};

pub(super) fn compile(
    gateway: &ObjectRef,
    models: &[Model],
    found: Found<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<ModelConfig> {
    let mut names = BTreeSet::new();
    let mut configs = Vec::new();
    for (index, model) in models.iter().enumerate() {
        let field = format!("spec.models[{index}]");
        if !names.insert(model.name.as_str()) {
            let problem = Problem::invalid(
                gateway,
                format!("{field}.name"),
                "another model has that name",
                "rename or remove one of them",
            );
            let problem = problem.with_value(&model.name);
            problems.push(problem.with_reason(ProblemReason::Conflict).fatal());
            continue;
        }
        let backend = backend(gateway, &field, model, found, problems).unwrap_or_else(|problem| {
            // Callers are told; what the objects say is for whoever can read them.
            let reason = format!("{} is not usable; see the gateway's status", problem.field);
            problems.push(problem);
            ModelBackend::Unavailable { reason }
        });
        configs.push(ModelConfig {
            name: model.name.clone(),
            task: task(model),
            backend,
        });
    }
    configs
}

/// Also of a model that cannot be used now, so that its routes stay what they are.
fn task(model: &Model) -> TaskConfig {
    if let Some(local) = &model.local {
        return match local.task {
            Task::Chat => TaskConfig::Chat,
            Task::Summarize => TaskConfig::Summarize,
            Task::Embed => TaskConfig::Embed,
            Task::Rerank => TaskConfig::Rerank,
        };
    }
    match model.remote.as_ref().and_then(|remote| remote.task) {
        Some(RemoteTask::Chat) | None => TaskConfig::Chat,
        Some(RemoteTask::Summarize) => TaskConfig::Summarize,
        Some(RemoteTask::Embed) => TaskConfig::Embed,
        Some(RemoteTask::Rerank) => TaskConfig::Rerank,
    }
}

fn backend(
    gateway: &ObjectRef,
    field: &str,
    model: &Model,
    found: Found<'_>,
    problems: &mut Vec<Problem>,
) -> Result<ModelBackend, Problem> {
    match (&model.local, &model.remote) {
        (Some(model), None) => local(gateway, field, model, found).map(ModelBackend::Local),
        (None, Some(remote_model)) => {
            let place = Place {
                gateway,
                field: &format!("{field}.remote"),
            };
            remote(&place, &model.name, remote_model, found, problems).map(ModelBackend::Remote)
        }
        (None, None) | (Some(_), Some(_)) => {
            let problem = Problem::invalid(
                gateway,
                field,
                "a model is either local or remote",
                "set exactly one of local and remote",
            );
            Err(problem.with_value(&model.name))
        }
    }
}

fn local(
    gateway: &ObjectRef,
    field: &str,
    model: &LocalModel,
    found: Found<'_>,
) -> Result<LocalModelConfig, Problem> {
    let at = format!("{field}.local.source");
    let source = model_sources::compile(gateway, &at, &model.source, found)?;
    Ok(LocalModelConfig {
        source,
        quantization: quantization(gateway, field, model)?,
        context_length: model
            .context_length
            .and_then(|length| u32::try_from(length).ok()),
        load: match model.load {
            Load::Eager => LoadConfig::Eager,
            Load::Standby => LoadConfig::Standby,
            Load::Lazy => LoadConfig::Lazy,
        },
    })
}

/// The API server asks the same; files that nobody checked come here, too.
fn quantization(
    gateway: &ObjectRef,
    field: &str,
    model: &LocalModel,
) -> Result<QuantizationConfig, Problem> {
    match (model.task, model.quantization) {
        (Task::Chat | Task::Summarize, None | Some(Quantization::Int8)) => {
            Ok(QuantizationConfig::Int8)
        }
        (_, Some(Quantization::None)) | (Task::Embed | Task::Rerank, None) => {
            Ok(QuantizationConfig::None)
        }
        (Task::Chat | Task::Summarize, Some(Quantization::Int4)) => Ok(QuantizationConfig::Int4),
        (Task::Embed | Task::Rerank, Some(other @ (Quantization::Int8 | Quantization::Int4))) => {
            Err(Problem::invalid(
                gateway,
                format!("{field}.local.quantization"),
                "models that embed or rerank keep 32-bit floating point",
                "leave it out, or set None",
            )
            .with_value(match other {
                Quantization::Int4 => "Int4",
                _ => "Int8",
            }))
        }
    }
}
