//! Why a model in this process does not take what it is asked.

use std::time::Duration;

use crate::conversion::format_field;
use crate::error::GatewayError;
use crate::models::SubmitError;
use crate::types::ChatRequest;

/// A model that is unloaded is replaced, or gone, after about this long.
const UNLOAD_PAUSE: Duration = Duration::from_secs(1);

/// Why an engine does not take a request, as its client is told.
pub(super) fn refusal(model: &str, request: &ChatRequest, error: SubmitError) -> GatewayError {
    let model = model.to_owned();
    match error {
        SubmitError::QueueFull { retry_after } => GatewayError::Overloaded { model, retry_after },
        SubmitError::PromptTooLong { tokens, limit } => GatewayError::PromptTooLong {
            model,
            tokens,
            limit,
        },
        SubmitError::InputTooLong {
            field,
            tokens,
            limit,
        } => GatewayError::InputTooLong {
            model,
            field,
            tokens,
            limit,
        },
        SubmitError::InvalidRequest { field, message } => GatewayError::InvalidRequest {
            message,
            param: field,
        },
        SubmitError::UnsupportedForm { field, problem } => GatewayError::UnsupportedByProvider {
            model,
            provider: "the gateway",
            field: match field {
                "response_format" => format_field(request.body.fields()),
                other => other,
            }
            .to_owned(),
            remedy: problem,
        },
        SubmitError::Closed => GatewayError::ModelNotReady {
            model,
            state: "unloading".to_owned(),
            retry_after: UNLOAD_PAUSE,
        },
    }
}
