//! Errors about a translated request, in the words of the request that was sent.

use crate::error::GatewayError;

/// What the fields of a chat were called by the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldNames {
    /// Where each message of the chat came from.
    pub messages: Vec<String>,
    /// Names in the chat, and those in the client's dialect.
    pub fields: &'static [(&'static str, &'static str)],
}

impl FieldNames {
    /// The same error about the field that the client sent.
    pub fn translate(&self, error: GatewayError) -> GatewayError {
        match error {
            GatewayError::InvalidRequest {
                message,
                param: Some(param),
            } => {
                let name = self.name(&param);
                GatewayError::InvalidRequest {
                    message: message.replace(&format!("`{param}`"), &format!("`{name}`")),
                    param: Some(name),
                }
            }
            GatewayError::UnsupportedField { model, field } => GatewayError::UnsupportedField {
                model,
                field: self.name(&field),
            },
            GatewayError::UnsupportedByProvider {
                model,
                provider,
                field,
                remedy,
            } => GatewayError::UnsupportedByProvider {
                model,
                provider,
                field: self.name(&field),
                remedy,
            },
            other => other,
        }
    }

    fn name(&self, field: &str) -> String {
        if let Some((_, name)) = self.fields.iter().find(|(chat, _)| *chat == field) {
            return (*name).to_owned();
        }
        let place = field
            .strip_prefix("messages[")
            .and_then(|rest| rest.split_once(']'))
            .and_then(|(index, rest)| {
                let origin = self.messages.get(index.parse::<usize>().ok()?)?;
                Some(format!("{origin}{rest}"))
            });
        place.unwrap_or_else(|| field.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[(&str, &str)] = &[("stop", "stop_sequences")];

    #[test]
    fn fields_and_places_are_told_in_the_clients_words() {
        let names = FieldNames {
            messages: vec!["system".into(), "messages[0]".into()],
            fields: NAMES,
        };
        let told = |error| names.translate(error).to_string();
        assert_eq!(
            told(GatewayError::invalid("stop", "`stop` is 1")),
            "`stop_sequences` is 1"
        );
        assert_eq!(
            told(GatewayError::invalid(
                "messages[1].content",
                "`messages[1].content` is missing"
            )),
            "`messages[0].content` is missing"
        );
        let error = names.translate(GatewayError::UnsupportedField {
            model: "tiny".into(),
            field: "messages[0].content of type image".into(),
        });
        let far = names.translate(GatewayError::UnsupportedByProvider {
            model: "far".into(),
            provider: "Gemini",
            field: "stop".into(),
            remedy: "leave it out".into(),
        });
        assert!(far.to_string().starts_with("`stop_sequences`"), "{far}");
        assert!(
            error
                .to_string()
                .starts_with("`system.content of type image`"),
            "{error}"
        );
    }
}
