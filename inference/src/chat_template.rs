//! Turns a conversation into a prompt, by the model's own Jinja template.

use minijinja::{Environment, Error, ErrorKind, Value, context, syntax::SyntaxConfig};
use minijinja_contrib::pycompat::unknown_method_callback;
use thiserror::Error as ThisError;

use crate::chat_request::Message;

const NAME: &str = "chat";

/// Why a template is unusable, or refuses a conversation.
#[derive(Debug, ThisError)]
pub enum ChatTemplateError {
    /// It is no valid Jinja.
    #[error("failed to parse the model's chat template")]
    Parse(#[source] Error),
    /// It refuses the conversation in its own words.
    #[error("the model's chat template refuses the conversation: {reason}")]
    Refused {
        /// What it says.
        reason: String,
    },
    /// It fails.
    #[error("failed to apply the model's chat template")]
    Render(#[source] Error),
}

/// A parsed template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// Parses a template; `bos` and `eos` are the texts of the tokens that it may name.
    pub fn new(source: &str, bos: String, eos: String) -> Result<Self, ChatTemplateError> {
        let mut environment = Environment::new();
        // As the library that templates are written for does.
        environment.set_syntax(
            SyntaxConfig::builder()
                .trim_blocks(true)
                .lstrip_blocks(true)
                .build()
                .map_err(ChatTemplateError::Parse)?,
        );
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(ChatTemplateError::Parse)?;
        Ok(Self {
            environment,
            bos,
            eos,
        })
    }

    /// The prompt of a conversation, up to where the model's answer begins.
    pub fn render(&self, messages: &[Message]) -> Result<String, ChatTemplateError> {
        let turn =
            |message: &Message| context! { role => &message.role, content => &message.content };
        let turns: Vec<Value> = messages.iter().map(turn).collect();
        let context = context! {
            messages => turns,
            add_generation_prompt => true,
            bos_token => &self.bos,
            eos_token => &self.eos,
        };
        let template = self
            .environment
            .get_template(NAME)
            .map_err(ChatTemplateError::Render)?;
        template
            .render(context)
            .map_err(|error| match refusal(&error) {
                Some(reason) => ChatTemplateError::Refused { reason },
                None => ChatTemplateError::Render(error),
            })
    }
}

/// What a template said through `raise_exception`.
#[derive(Debug, ThisError)]
#[error("{0}")]
struct Refusal(String);

fn raise_exception(reason: String) -> Result<(), Error> {
    Err(
        Error::new(ErrorKind::InvalidOperation, "raised by the template")
            .with_source(Refusal(reason)),
    )
}

fn refusal(error: &Error) -> Option<String> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(Refusal(reason)) = current.downcast_ref() {
            return Some(reason.clone());
        }
        cause = current.source();
    }
    None
}

fn strftime_now(format: &str) -> Result<String, Error> {
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    jiff::fmt::strtime::format(format, &now).map_err(|error| {
        Error::new(ErrorKind::InvalidOperation, "unknown date format").with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHATML: &str = "{% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

    fn render(template: &str, content: &str) -> Result<String, ChatTemplateError> {
        let template = ChatTemplate::new(template, "<s>".to_owned(), "</s>".to_owned())?;
        template.render(&[Message {
            role: "user".to_owned(),
            content: content.to_owned(),
        }])
    }

    #[test]
    fn a_conversation_ends_where_the_answer_begins() {
        let prompt = render(CHATML, "Hi").expect("valid");
        assert_eq!(
            prompt,
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        );
    }

    #[test]
    fn methods_of_python_work() {
        let template = "{{ bos_token }}{{ messages[0].content.strip().upper() }}{{ eos_token }}";
        assert_eq!(render(template, " hi ").expect("valid"), "<s>HI</s>");
    }

    #[test]
    fn content_is_not_escaped_and_not_a_template() {
        assert_eq!(
            render("{{ messages[0].content }}", "<b> {{ 1 + 1 }}").expect("valid"),
            "<b> {{ 1 + 1 }}"
        );
    }

    #[test]
    fn a_templates_own_refusal_is_passed_on() {
        let message = render("{{ raise_exception('roles must alternate') }}", "")
            .expect_err("refused")
            .to_string();
        assert_eq!(
            message,
            "the model's chat template refuses the conversation: roles must alternate"
        );
    }

    #[test]
    fn templates_know_the_date() {
        let year = render("{{ strftime_now('%Y') }}", "").expect("valid");
        assert!(year.parse::<u32>().is_ok_and(|year| year > 2000), "{year}");
    }

    #[test]
    fn a_broken_template_fails_when_it_is_loaded() {
        assert!(matches!(
            render("{% for %}", ""),
            Err(ChatTemplateError::Parse(_))
        ));
    }
}
