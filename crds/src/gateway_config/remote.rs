//! Models behind APIs elsewhere.

use serde::{Deserialize, Deserializer, Serialize};

use super::Redacted;

/// A model behind an API elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RemoteModelConfig {
    /// The API's dialect.
    #[serde(default)]
    pub provider: ProviderConfig,
    /// Where the API is, without a trailing slash: up to and including the version, or an Azure resource's endpoint.
    pub base_url: String,
    /// The model name sent upstream; for Azure the deployment.
    pub model: String,
    /// Azure's API by deployments in this version; absent means its v1 API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Taken in turn. Empty for an API that needs none.
    #[serde(
        default,
        alias = "apiKey",
        deserialize_with = "one_or_several",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub credentials: Vec<CredentialConfig>,
}

/// The dialect of a remote API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProviderConfig {
    /// OpenAI's chat completions.
    #[default]
    OpenAI,
    /// The same, at Azure's paths.
    AzureOpenAI,
    /// Anthropic's Messages API.
    Anthropic,
    /// Google's Gemini API.
    Gemini,
}

/// One key of an API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CredentialConfig {
    /// `<secret>/<key>`, for status, logs and metrics.
    pub name: String,
    /// The key itself.
    pub value: Redacted,
}

/// Earlier configurations hold a single key without a name.
fn one_or_several<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<CredentialConfig>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stored {
        One(Redacted),
        Several(Vec<CredentialConfig>),
    }
    Ok(match Stored::deserialize(deserializer)? {
        Stored::One(value) => vec![CredentialConfig {
            name: "credentials".to_owned(),
            value,
        }],
        Stored::Several(credentials) => credentials,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_with_a_single_key_is_still_read() {
        let stored = r#"{"baseUrl": "https://host/v1", "model": "m", "apiKey": "s3cret"}"#;
        let config: RemoteModelConfig = serde_json::from_str(stored).expect("readable");
        assert_eq!(config.provider, ProviderConfig::OpenAI);
        assert_eq!(config.credentials[0].value.expose(), "s3cret");
        let again = serde_json::to_string(&config).expect("serializes");
        let again: RemoteModelConfig = serde_json::from_str(&again).expect("readable");
        assert_eq!(again, config);
        assert!(!format!("{config:?}").contains("s3cret"));
    }
}
