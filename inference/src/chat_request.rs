//! What a client asks for, and whether it can be done.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::sampler::Sampling;

const ROLES: [&str; 4] = ["system", "user", "assistant", "tool"];
/// The newer name of the system role, which models do not know.
const DEVELOPER: &str = "developer";
const MAX_TEMPERATURE: f32 = 2.0;
const MAX_STOP_STRINGS: usize = 16;

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `system`, `developer` (which is the same), `user`, `assistant` or `tool`.
    pub role: String,
    /// The text. It is never taken as markup.
    pub content: String,
}

/// Tells a model that nobody waits for an answer any more. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// Ends the generation at its next token, or takes it out of the queue. No further event comes.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A request for the next turn of a conversation.
#[derive(Debug, Clone, Default)]
pub struct ChatRequest {
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// A text to go on with, in place of a conversation: no template is put around it, and markup in it is markup.
    pub prompt: Option<String>,
    /// The most tokens of the answer; without it, as many as the context has room for.
    pub max_tokens: Option<u32>,
    /// 0 always takes the most likely token, 1 (the default) is the model's own distribution, 2 is the most.
    pub temperature: Option<f32>,
    /// Chooses among the most likely tokens that together have this probability; the default is 1, all of them.
    pub top_p: Option<f32>,
    /// Chooses among this many of the most likely tokens; without it, or at 0, among all.
    pub top_k: Option<u32>,
    /// The same seed gives the same answer to the same request; without it, chance decides.
    pub seed: Option<u64>,
    /// Ends the answer before the first of these texts.
    pub stop: Vec<String>,
    /// Lets the client leave.
    pub cancellation: Cancellation,
    /// Who asks. While requests wait, each client has a turn before any has another.
    pub client: String,
}

/// A field that cannot be what it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InvalidField {
    pub(crate) field: &'static str,
    pub(crate) problem: String,
}

impl ChatRequest {
    /// Checks everything that does not need the model.
    pub(crate) fn validate(&self) -> Result<Sampling, InvalidField> {
        self.validate_messages()?;
        if self.max_tokens == Some(0) {
            return Err(invalid("max_tokens", "must be at least 1"));
        }
        let temperature = self.temperature.unwrap_or(1.0);
        if !(0.0..=MAX_TEMPERATURE).contains(&temperature) {
            return Err(invalid(
                "temperature",
                format!("is {temperature}, and must lie between 0 and {MAX_TEMPERATURE}"),
            ));
        }
        let top_p = self.top_p.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&top_p) {
            return Err(invalid(
                "top_p",
                format!("is {top_p}, and must lie between 0 and 1"),
            ));
        }
        if self.stop.len() > MAX_STOP_STRINGS {
            let problem = format!(
                "has {} texts, and {MAX_STOP_STRINGS} are the most",
                self.stop.len()
            );
            return Err(invalid("stop", problem));
        }
        if self.stop.iter().any(String::is_empty) {
            return Err(invalid(
                "stop",
                "has an empty text, which would end every answer at once",
            ));
        }
        let top_k = self
            .top_k
            .map_or(0, |count| usize::try_from(count).unwrap_or(usize::MAX));
        Ok(Sampling {
            temperature,
            top_p,
            top_k,
            seed: self.seed.unwrap_or_else(rand::random),
        })
    }

    fn validate_messages(&self) -> Result<(), InvalidField> {
        if let Some(prompt) = &self.prompt {
            return if prompt.is_empty() {
                Err(invalid(
                    "prompt",
                    "is empty, and must have something to go on with",
                ))
            } else if self.messages.is_empty() {
                Ok(())
            } else {
                Err(invalid(
                    "prompt",
                    "is there beside messages, and only one of them can be answered",
                ))
            };
        }
        if self.messages.is_empty() {
            return Err(invalid(
                "messages",
                "is empty, and must have at least one message",
            ));
        }
        let is_unknown = |message: &&Message| {
            message.role != DEVELOPER && !ROLES.contains(&message.role.as_str())
        };
        match self.messages.iter().find(is_unknown) {
            None => Ok(()),
            Some(message) => {
                let problem = format!(
                    "has the unknown role {:?}: use {DEVELOPER}, {}",
                    message.role,
                    ROLES.join(", ")
                );
                Err(invalid("messages", problem))
            }
        }
    }
}

impl Message {
    /// The role as models know it.
    pub(crate) fn model_role(&self) -> &str {
        if self.role == DEVELOPER {
            ROLES[0]
        } else {
            &self.role
        }
    }
}

fn invalid(field: &'static str, problem: impl Into<String>) -> InvalidField {
    InvalidField {
        field,
        problem: problem.into(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn request() -> ChatRequest {
        let message = Message {
            role: "user".to_owned(),
            content: "Hi".to_owned(),
        };
        ChatRequest {
            messages: vec![message],
            ..ChatRequest::default()
        }
    }

    #[test]
    fn a_plain_request_has_the_defaults_of_the_openai_api() {
        let sampling = request().validate().expect("valid");
        assert_eq!(
            (sampling.temperature, sampling.top_p, sampling.top_k),
            (1.0, 1.0, 0)
        );
    }

    #[test]
    fn the_seed_of_the_request_is_used() {
        assert_eq!(
            ChatRequest {
                seed: Some(5),
                ..request()
            }
            .validate()
            .expect("valid")
            .seed,
            5
        );
    }

    #[rstest]
    #[case::no_messages("messages", ChatRequest { messages: vec![], ..request() })]
    #[case::empty_prompt("prompt", ChatRequest { messages: vec![], prompt: Some(String::new()), ..request() })]
    #[case::prompt_and_messages("prompt", ChatRequest { prompt: Some("Once".to_owned()), ..request() })]
    #[case::no_tokens("max_tokens", ChatRequest { max_tokens: Some(0), ..request() })]
    #[case::cold("temperature", ChatRequest { temperature: Some(-0.1), ..request() })]
    #[case::hot("temperature", ChatRequest { temperature: Some(2.1), ..request() })]
    #[case::no_number("temperature", ChatRequest { temperature: Some(f32::NAN), ..request() })]
    #[case::more_than_all("top_p", ChatRequest { top_p: Some(1.1), ..request() })]
    #[case::empty_stop("stop", ChatRequest { stop: vec![String::new()], ..request() })]
    #[case::many_stops("stop", ChatRequest { stop: vec!["x".to_owned(); 17], ..request() })]
    fn impossible_values_name_their_field(#[case] field: &str, #[case] request: ChatRequest) {
        assert_eq!(request.validate().expect_err("impossible").field, field);
    }

    #[test]
    fn an_unknown_role_is_named_with_those_that_are_known() {
        let mut request = request();
        request.messages[0].role = "wizard".to_owned();
        let problem = request.validate().expect_err("unknown role").problem;
        assert_eq!(
            problem,
            "has the unknown role \"wizard\": use developer, system, user, assistant, tool"
        );
    }

    #[test]
    fn developers_are_the_system_to_models() {
        let message = Message {
            role: "developer".to_owned(),
            content: String::new(),
        };
        assert_eq!(message.model_role(), "system");
    }
}
