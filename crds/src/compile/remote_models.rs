//! Models behind APIs elsewhere: the address checked, the credentials resolved.

use super::{
    Found, outbound,
    problem::{ObjectRef, Problem},
    secrets::Secrets,
    url::check_base_url,
};
use crate::{
    claw_gateway::{Credentials, Provider, RemoteModel, RemoteTask},
    gateway_config::{CredentialConfig, ProviderConfig, Redacted, RemoteModelConfig},
};

/// Where a remote model stands.
pub(super) struct Place<'a> {
    pub(super) gateway: &'a ObjectRef,
    /// E.g. `spec.models[0].remote`.
    pub(super) field: &'a str,
}

/// The model called `name`. Of several keys, those that are there serve; what is wrong with the others is reported.
pub(super) fn remote(
    place: &Place<'_>,
    name: &str,
    model: &RemoteModel,
    found: Found<'_>,
    problems: &mut Vec<Problem>,
) -> Result<RemoteModelConfig, Problem> {
    let base_url = base_url(place, model, found)?;
    check_api_version(place, model)?;
    check_task(place, model)?;
    let credentials = match &model.credentials {
        Some(given) => credentials(place, given, found.secrets, problems)?,
        None => Vec::new(),
    };
    Ok(RemoteModelConfig {
        provider: provider(model.provider),
        base_url,
        model: model.model.clone().unwrap_or_else(|| name.to_owned()),
        api_version: model.api_version.clone(),
        credentials,
    })
}

const fn provider(provider: Provider) -> ProviderConfig {
    match provider {
        Provider::OpenAI => ProviderConfig::OpenAI,
        Provider::AzureOpenAI => ProviderConfig::AzureOpenAI,
        Provider::Anthropic => ProviderConfig::Anthropic,
        Provider::Gemini => ProviderConfig::Gemini,
    }
}

fn base_url(place: &Place<'_>, model: &RemoteModel, found: Found<'_>) -> Result<String, Problem> {
    let field = format!("{}.baseURL", place.field);
    let Some(given) = model.base_url_or_default() else {
        return Err(Problem::invalid(
            place.gateway,
            field,
            "AzureOpenAI has an endpoint for each resource",
            "give yours, such as https://example.openai.azure.com",
        ));
    };
    let url = check_base_url(
        place.gateway,
        &field,
        given,
        "put them into a Secret and refer to it by credentials",
    )?;
    outbound::check(place.gateway, &field, &url, found.outbound)?;
    let url = url.as_str().trim_end_matches('/');
    Ok(match model.provider {
        // The portal shows both forms.
        Provider::AzureOpenAI => url
            .strip_suffix("/openai/v1")
            .or_else(|| url.strip_suffix("/openai"))
            .unwrap_or(url),
        Provider::OpenAI | Provider::Anthropic | Provider::Gemini => url,
    }
    .to_owned())
}

fn check_api_version(place: &Place<'_>, model: &RemoteModel) -> Result<(), Problem> {
    match &model.api_version {
        Some(version) if model.provider != Provider::AzureOpenAI => Err(Problem::invalid(
            place.gateway,
            format!("{}.apiVersion", place.field),
            "only AzureOpenAI has versions of its API beside the URL",
            "leave it out",
        )
        .with_value(version)),
        _ => Ok(()),
    }
}

fn check_task(place: &Place<'_>, model: &RemoteModel) -> Result<(), Problem> {
    let name = match model.task {
        None | Some(RemoteTask::Chat | RemoteTask::Summarize) => return Ok(()),
        Some(RemoteTask::Embed) => "Embed",
        Some(RemoteTask::Rerank) => "Rerank",
    };
    match model.provider {
        Provider::OpenAI | Provider::AzureOpenAI => Ok(()),
        Provider::Anthropic | Provider::Gemini => Err(Problem::invalid(
            place.gateway,
            format!("{}.task", place.field),
            "the provider is asked by chats alone",
            "use the provider OpenAI or AzureOpenAI, or the task Chat or Summarize",
        )
        .with_value(name)),
    }
}

fn credentials(
    place: &Place<'_>,
    given: &Credentials,
    secrets: &Secrets,
    problems: &mut Vec<Problem>,
) -> Result<Vec<CredentialConfig>, Problem> {
    let field = format!("{}.credentials", place.field);
    if given.secret_key_ref.is_some() == given.secret_key_refs.is_some() {
        let message = "credentials are either one reference or several";
        let remedy = "set exactly one of secretKeyRef and secretKeyRefs";
        return Err(Problem::invalid(place.gateway, field, message, remedy));
    }
    let mut found = Vec::new();
    let mut faults = Vec::new();
    for (at, reference) in given.references() {
        match secrets.entry(place.gateway, &format!("{field}.{at}"), reference) {
            Ok(value) => found.push(CredentialConfig {
                name: format!("{}/{}", reference.name, reference.key),
                value: Redacted::new(value),
            }),
            Err(problem) => faults.push(problem),
        }
    }
    if found.is_empty()
        && let Some(first) = faults.pop()
    {
        problems.extend(faults);
        return Err(first);
    }
    problems.extend(faults);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{compile::ConfigMaps, compile::Secret, outbound::OutboundConfig};

    fn compiled(yaml: &str) -> (Result<RemoteModelConfig, String>, Vec<String>) {
        let model: RemoteModel = serde_yaml::from_str(yaml).expect("a remote model");
        let gateway = ObjectRef {
            kind: "ClawGateway".to_owned(),
            name: "desk".to_owned(),
        };
        let mut secrets = Secrets::default();
        for (name, value) in [("first", "k-1"), ("second", "k-2")] {
            let data = [("key".to_owned(), value.as_bytes().to_vec())];
            let secret = Secret {
                data: data.into(),
                ..Secret::default()
            };
            secrets.insert(name, secret);
        }
        let mut problems = Vec::new();
        let place = Place {
            gateway: &gateway,
            field: "spec.models[0].remote",
        };
        let found = Found {
            secrets: &secrets,
            config_maps: &ConfigMaps::default(),
            outbound: &OutboundConfig::default(),
        };
        let config = remote(&place, "near", &model, found, &mut problems);
        let told = problems.iter().map(ToString::to_string).collect();
        (config.map_err(|problem| problem.to_string()), told)
    }

    #[rstest]
    #[case::openai("{provider: OpenAI}", "https://api.openai.com/v1")]
    #[case::anthropic("{provider: Anthropic}", "https://api.anthropic.com/v1")]
    #[case::gemini(
        "{provider: Gemini}",
        "https://generativelanguage.googleapis.com/v1beta"
    )]
    #[case::own("{provider: Gemini, baseURL: 'http://host/v9/'}", "http://host/v9")]
    #[case::azure(
        "{provider: AzureOpenAI, baseURL: 'https://me.openai.azure.com'}",
        "https://me.openai.azure.com"
    )]
    #[case::azure_v1(
        "{provider: AzureOpenAI, baseURL: 'https://me.openai.azure.com/openai/v1/'}",
        "https://me.openai.azure.com"
    )]
    fn every_provider_has_an_address(#[case] yaml: &str, #[case] expected: &str) {
        let config = compiled(yaml).0.expect("valid");
        assert_eq!(
            (config.base_url.as_str(), config.model.as_str()),
            (expected, "near")
        );
    }

    #[rstest]
    #[case::azure_without_endpoint(
        "{provider: AzureOpenAI}",
        "baseURL: AzureOpenAI has an endpoint"
    )]
    #[case::version_elsewhere(
        "{provider: OpenAI, apiVersion: 2024-10-21}",
        "apiVersion \"2024-10-21\": only AzureOpenAI"
    )]
    #[case::task_of_another_provider(
        "{provider: Anthropic, task: Embed}",
        "task \"Embed\": the provider is asked by chats alone"
    )]
    #[case::not_allowed(
        "{provider: Anthropic, baseURL: 'http://169.254.169.254/v1'}",
        "which the gateway may not call"
    )]
    #[case::no_reference(
        "{provider: OpenAI, credentials: {}}",
        "either one reference or several"
    )]
    #[case::both(
        "{provider: OpenAI, credentials: {secretKeyRef: {name: first, key: key}, secretKeyRefs: [{name: second, key: key}]}}",
        "either one reference or several"
    )]
    fn what_cannot_work_is_told(#[case] yaml: &str, #[case] expected: &str) {
        let told = compiled(yaml).0.expect_err("refused");
        assert!(told.contains(expected), "{told}");
    }

    #[test]
    fn keys_keep_their_order_and_names() {
        let (config, problems) = compiled(
            "{provider: OpenAI, credentials: {secretKeyRefs: [{name: second, key: key}, {name: first, key: key}]}}",
        );
        let config = config.expect("valid");
        let keys: Vec<_> = config
            .credentials
            .iter()
            .map(|key| (key.name.as_str(), key.value.expose()))
            .collect();
        assert_eq!(keys, [("second/key", "k-2"), ("first/key", "k-1")]);
        assert_eq!(problems, Vec::<String>::new());
    }

    #[test]
    fn a_missing_key_is_reported_and_the_others_serve() {
        let (config, problems) = compiled(
            "{provider: OpenAI, credentials: {secretKeyRefs: [{name: gone, key: key}, {name: first, key: key}]}}",
        );
        assert_eq!(config.expect("valid").credentials.len(), 1);
        let [told] = problems.as_slice() else {
            panic!("{problems:?}")
        };
        assert!(
            told.contains("spec.models[0].remote.credentials.secretKeyRefs[0].name \"gone\""),
            "{told}"
        );
        let (config, problems) = compiled(
            "{provider: OpenAI, credentials: {secretKeyRefs: [{name: gone, key: key}, {name: first, key: other}]}}",
        );
        assert!(config.is_err());
        assert_eq!(problems.len(), 1);
    }
}
