//! Channels: models and credentials resolved; a broken channel is left out.

use super::{
    Found, outbound,
    problem::{ObjectRef, Problem, ProblemReason},
    routes::check_model,
    url::check_base_url,
};
use crate::{
    Channel,
    channel::{Access, Direct, Groups, Telegram},
    gateway_config::{
        AccessConfig, ChannelConfig, DirectAccess, GroupAccess, ModelConfig, PlatformConfig,
        Redacted,
    },
};

pub(super) fn compile(
    objects: &[Channel],
    models: &[ModelConfig],
    found: Found<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<ChannelConfig> {
    let mut objects: Vec<&Channel> = objects.iter().collect();
    objects.sort_by_key(|channel| channel.metadata.name.clone());
    objects
        .into_iter()
        .filter_map(|channel| {
            compile_one(channel, models, found)
                .map_err(|problem| problems.push(problem))
                .ok()
        })
        .collect()
}

fn compile_one(
    channel: &Channel,
    models: &[ModelConfig],
    found: Found<'_>,
) -> Result<ChannelConfig, Problem> {
    let object = ObjectRef::of(channel);
    let spec = &channel.spec;
    let task = check_model(&object, "spec.model".to_owned(), &spec.model, models)?;
    if !task.can_chat() {
        let problem = Problem::invalid(
            &object,
            "spec.model",
            format!(
                "the task of the model is {}, and channels chat",
                task.as_str()
            ),
            "name a model of the task Chat",
        );
        return Err(problem
            .with_value(&spec.model)
            .with_reason(ProblemReason::TaskMismatch));
    }
    let platform = match (&spec.web_socket, &spec.telegram) {
        (Some(_), None) => PlatformConfig::WebSocket {},
        (None, Some(telegram)) => compile_telegram(&object, telegram, found)?,
        (None, None) | (Some(_), Some(_)) => {
            return Err(Problem::invalid(
                &object,
                "spec",
                "a channel has one platform",
                "set exactly one of webSocket and telegram",
            ));
        }
    };
    if matches!(platform, PlatformConfig::WebSocket {}) && spec.access.groups != Groups::Disabled {
        return Err(Problem::invalid(
            &object,
            "spec.access.groups",
            "a WebSocket has no groups",
            "leave the field out",
        ));
    }
    Ok(ChannelConfig {
        name: object.name.clone(),
        model: spec.model.clone(),
        system_prompt: spec.system_prompt.clone(),
        platform,
        access: compile_access(&object, &spec.access)?,
    })
}

fn compile_telegram(
    object: &ObjectRef,
    telegram: &Telegram,
    found: Found<'_>,
) -> Result<PlatformConfig, Problem> {
    let base_url = telegram.api_base_url_or_default();
    let base_url = check_base_url(
        object,
        "spec.telegram.apiBaseURL",
        base_url,
        "leave them out: the bot's token is all that is needed",
    )?;
    outbound::check(
        object,
        "spec.telegram.apiBaseURL",
        &base_url,
        found.outbound,
    )?;
    let bot_token = found.secrets.text(
        object,
        "spec.telegram.botToken",
        &telegram.bot_token.secret_key_ref,
    )?;
    let webhook_secret = found.secrets.text(
        object,
        "spec.telegram.webhookSecret",
        &telegram.webhook_secret.secret_key_ref,
    )?;
    Ok(PlatformConfig::Telegram {
        bot_token: Redacted::new(bot_token),
        webhook_secret: Redacted::new(webhook_secret),
        api_base_url: base_url.as_str().trim_end_matches('/').to_owned(),
    })
}

fn compile_access(object: &ObjectRef, access: &Access) -> Result<AccessConfig, Problem> {
    let allow_from = access.allow_from.clone().unwrap_or_default();
    if access.direct == Direct::AllowList && allow_from.is_empty() {
        let remedy = "say who may write, or set access.direct: Open";
        return Err(Problem::invalid(
            object,
            "spec.access.allowFrom",
            "an allow list without entries admits nobody",
            remedy,
        ));
    }
    Ok(AccessConfig {
        direct: match access.direct {
            Direct::Open => DirectAccess::Open,
            Direct::AllowList => DirectAccess::AllowList,
            Direct::Disabled => DirectAccess::Disabled,
        },
        allow_from: allow_from.into_iter().collect(),
        groups: match access.groups {
            Groups::Disabled => GroupAccess::Disabled,
            Groups::MentionOnly => GroupAccess::MentionOnly,
            Groups::All => GroupAccess::All,
        },
    })
}
