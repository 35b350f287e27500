//! What a client asks for, and whether it can be done.

mod offer;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    grammar::AnswerFormat,
    sampler::{Penalties, Sampling},
    tools::{Tool, ToolCall, ToolChoice},
};

const ROLES: [&str; 4] = ["system", "user", "assistant", "tool"];
/// The newer name of the system role, which models do not know.
const DEVELOPER: &str = "developer";
const MAX_TEMPERATURE: f32 = 2.0;
const MAX_STOP_STRINGS: usize = 16;
/// Of either sign.
const MAX_PENALTY: f32 = 2.0;
const MAX_BIAS: f32 = 100.0;
const MAX_BIASES: usize = 1024;
const MAX_LOG_PROBABILITIES: u32 = 20;

/// One turn of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// `system`, `developer` (which is the same), `user`, `assistant` or `tool`.
    pub role: String,
    /// The text. It is never taken as markup.
    pub content: String,
    /// What an `assistant` called.
    pub tool_calls: Vec<ToolCall>,
    /// The call that this is the result of (role `tool`).
    pub tool_call_id: Option<String>,
    /// The tool that this is the result of (role `tool`).
    pub name: Option<String>,
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
    /// Functions that the model may call.
    pub tools: Vec<Tool>,
    /// Whether it calls them.
    pub tool_choice: ToolChoice,
    /// At most one call in an answer.
    pub single_tool_call: bool,
    /// The form of an answer that is no call.
    pub format: Option<AnswerFormat>,
    /// The most tokens of the answer; without it, as many as the context has room for.
    pub max_tokens: Option<u32>,
    /// 0 always takes the most likely token, 1 (the default) is the model's own distribution, 2 is the most.
    pub temperature: Option<f32>,
    /// Chooses among the most likely tokens that together have this probability; the default is 1, all of them.
    pub top_p: Option<f32>,
    /// Chooses among this many of the most likely tokens; without it, or at 0, among all.
    pub top_k: Option<u32>,
    /// Chooses among tokens at least this likely, as a share of the most likely one; the default is 0, all of them.
    pub min_p: Option<f32>,
    /// Makes tokens that the answer has already less likely, from -2 to 2.
    pub presence_penalty: Option<f32>,
    /// Makes them less likely each time that they came, from -2 to 2.
    pub frequency_penalty: Option<f32>,
    /// Makes tokens of the prompt and of the answer less likely; 1 changes nothing, 2 is the most.
    pub repetition_penalty: Option<f32>,
    /// Makes tokens more or less likely: what is added to their logits, from -100 to 100.
    pub logit_bias: Vec<(u32, f32)>,
    /// Tells how likely each token was, and so many of the most likely ones; 20 are the most.
    pub log_probabilities: Option<u32>,
    /// The same seed gives the same answer to the same request; without it, chance decides.
    pub seed: Option<u64>,
    /// Computes one token after the other also where the text repeats itself. The answer is the same.
    pub without_guesses: bool,
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
        self.validate_stop()?;
        self.validate_tools()?;
        let within = |field, value: Option<f32>, default, least, most| {
            let value = value.unwrap_or(default);
            if (least..=most).contains(&value) {
                return Ok(value);
            }
            let problem = format!("is {value}, and must lie between {least} and {most}");
            Err(invalid(field, problem))
        };
        let penalty =
            |field, value: Option<f32>| within(field, value, 0.0, -MAX_PENALTY, MAX_PENALTY);
        let repetition = self.repetition_penalty;
        let repetition = within("repetition_penalty", repetition, 1.0, 0.0, MAX_PENALTY)?;
        if repetition == 0.0 {
            return Err(invalid("repetition_penalty", "is 0, and must be more"));
        }
        let most = self.log_probabilities;
        if most.is_some_and(|most| most > MAX_LOG_PROBABILITIES) {
            let problem = format!("must lie between 0 and {MAX_LOG_PROBABILITIES}");
            return Err(invalid("top_logprobs", problem));
        }
        let size = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        Ok(Sampling {
            temperature: within("temperature", self.temperature, 1.0, 0.0, MAX_TEMPERATURE)?,
            top_p: within("top_p", self.top_p, 1.0, 0.0, 1.0)?,
            top_k: self.top_k.map_or(0, size),
            min_p: within("min_p", self.min_p, 0.0, 0.0, 1.0)?,
            penalties: Penalties {
                presence: penalty("presence_penalty", self.presence_penalty)?,
                frequency: penalty("frequency_penalty", self.frequency_penalty)?,
                repetition,
            },
            biases: self.biases()?,
            log_probabilities: most.map(size),
            seed: self.seed.unwrap_or_else(rand::random),
        })
    }

    fn biases(&self) -> Result<Vec<(u32, f32)>, InvalidField> {
        if self.logit_bias.len() > MAX_BIASES {
            let problem = format!(
                "has {} tokens, and {MAX_BIASES} are the most",
                self.logit_bias.len()
            );
            return Err(invalid("logit_bias", problem));
        }
        let is_wrong = |bias: &f32| !(-MAX_BIAS..=MAX_BIAS).contains(bias);
        match self.logit_bias.iter().find(|(_, bias)| is_wrong(bias)) {
            None => Ok(self.logit_bias.clone()),
            Some((token, bias)) => {
                let problem = format!(
                    "of token {token} is {bias}, and must lie between -{MAX_BIAS} and {MAX_BIAS}"
                );
                Err(invalid("logit_bias", problem))
            }
        }
    }

    fn validate_stop(&self) -> Result<(), InvalidField> {
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
        Ok(())
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
    /// A text that somebody said.
    pub fn new(role: &str, content: &str) -> Self {
        Self {
            role: role.to_owned(),
            content: content.to_owned(),
            ..Self::default()
        }
    }

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
        ChatRequest {
            messages: vec![Message::new("user", "Hi")],
            ..ChatRequest::default()
        }
    }

    fn tool(name: &str) -> Tool {
        Tool {
            name: name.to_owned(),
            description: None,
            parameters: None,
            is_strict: false,
        }
    }

    #[test]
    fn a_plain_request_has_the_defaults_of_the_openai_api() {
        let sampling = request().validate().expect("valid");
        let expected = Sampling {
            seed: sampling.seed,
            ..Sampling::default()
        };
        assert_eq!(sampling, expected);
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
    #[case::less_than_nothing("min_p", ChatRequest { min_p: Some(-0.1), ..request() })]
    #[case::strong_penalty("presence_penalty", ChatRequest { presence_penalty: Some(2.5), ..request() })]
    #[case::strong_reward("frequency_penalty", ChatRequest { frequency_penalty: Some(-2.5), ..request() })]
    #[case::no_division("repetition_penalty", ChatRequest { repetition_penalty: Some(0.0), ..request() })]
    #[case::strong_bias("logit_bias", ChatRequest { logit_bias: vec![(5, 101.0)], ..request() })]
    #[case::many_biases("logit_bias", ChatRequest { logit_bias: vec![(5, 1.0); 1025], ..request() })]
    #[case::many_told("top_logprobs", ChatRequest { log_probabilities: Some(21), ..request() })]
    #[case::unnamed_tool("tools", ChatRequest { tools: vec![tool("")], ..request() })]
    #[case::odd_tool("tools", ChatRequest { tools: vec![tool("a b")], ..request() })]
    #[case::twins("tools", ChatRequest { tools: vec![tool("a"), tool("a")], ..request() })]
    #[case::nothing_to_call("tool_choice", ChatRequest { tool_choice: ToolChoice::Required, ..request() })]
    #[case::nobody("tool_choice", ChatRequest { tools: vec![tool("a")], tool_choice: ToolChoice::Named("b".into()), ..request() })]
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
        assert_eq!(Message::new("developer", "").model_role(), "system");
    }
}
