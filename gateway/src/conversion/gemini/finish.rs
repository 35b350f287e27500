//! Why an answer ended.

use crate::conversion::Fault;

/// In OpenAI's words. <https://ai.google.dev/api/generate-content#FinishReason>
pub(super) fn finish_reason(reason: &str, has_calls: bool) -> Result<&'static str, Fault> {
    match reason {
        "STOP" if has_calls => Ok("tool_calls"),
        "STOP" => Ok("stop"),
        "MAX_TOKENS" => Ok("length"),
        "MALFORMED_FUNCTION_CALL"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS"
        | "MISSING_THOUGHT_SIGNATURE"
        | "MALFORMED_RESPONSE" => Err(Fault::Malformed("a call of a tool that makes no sense")),
        // Safety, recitation, language and more: all keep an answer back.
        _ => Ok("content_filter"),
    }
}
