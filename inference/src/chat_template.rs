//! Turns a conversation into a prompt, by the model's own Jinja template.

mod json;

use minijinja::{
    Environment, Error, ErrorKind, Value, context, syntax::SyntaxConfig, value::Serde,
};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::Serialize;
use serde_json::{Map, Value as Json};
use thiserror::Error as ThisError;

use crate::{
    chat_request::Message,
    tools::{ToolCall, ToolFormat},
};

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
    knows_tools: bool,
    format: ToolFormat,
}

/// A message as templates know it. They ask whether it has calls by asking whether it has the member.
#[derive(Serialize)]
struct Turn<'a> {
    role: &'a str,
    content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<Vec<TurnCall<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

#[derive(Serialize)]
struct TurnCall<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: TurnFunction<'a>,
}

#[derive(Serialize)]
struct TurnFunction<'a> {
    name: &'a str,
    arguments: &'a Map<String, Json>,
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
        environment.add_filter("tojson", json::to_json);
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(ChatTemplateError::Parse)?;
        let template = environment.get_template(NAME);
        let template = template.map_err(ChatTemplateError::Parse)?;
        let knows_tools = template.undeclared_variables(false).contains("tools");
        Ok(Self {
            environment,
            bos,
            eos,
            knows_tools,
            format: ToolFormat::of_template(source, knows_tools),
        })
    }

    /// Whether it tells a model of tools by itself.
    pub(crate) fn knows_tools(&self) -> bool {
        self.knows_tools
    }

    /// How its model writes calls.
    pub(crate) fn tool_format(&self) -> ToolFormat {
        self.format
    }

    /// The prompt of a conversation, up to where the model's answer begins.
    ///
    /// `tools` are those of OpenAI's API, and only for a template that knows tools.
    pub fn render(
        &self,
        messages: &[Message],
        tools: &[Json],
    ) -> Result<String, ChatTemplateError> {
        let turns: Vec<Turn<'_>> = messages.iter().map(turn).collect();
        let tools = (!tools.is_empty()).then_some(tools);
        let context = context! {
            messages => Value::from(Serde(turns)),
            tools => Value::from(Serde(tools)),
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

fn turn(message: &Message) -> Turn<'_> {
    let calls = &message.tool_calls;
    Turn {
        role: &message.role,
        content: &message.content,
        tool_calls: (!calls.is_empty()).then(|| calls.iter().map(turn_call).collect()),
        tool_call_id: message.tool_call_id.as_deref(),
        name: message.name.as_deref(),
    }
}

fn turn_call(call: &ToolCall) -> TurnCall<'_> {
    TurnCall {
        id: &call.id,
        kind: "function",
        function: TurnFunction {
            name: &call.name,
            arguments: &call.arguments,
        },
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
    use crate::tools::Tool;

    const CHATML: &str = "{% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

    fn render(template: &str, content: &str) -> Result<String, ChatTemplateError> {
        let template = ChatTemplate::new(template, "<s>".to_owned(), "</s>".to_owned())?;
        template.render(&[Message::new("user", content)], &[])
    }

    fn template(source: &str) -> ChatTemplate {
        ChatTemplate::new(source, String::new(), String::new()).expect("valid")
    }

    #[test]
    fn tools_calls_and_results_reach_the_template() {
        let source = "{% for tool in tools %}{{ tool | tojson }}{% endfor %}
{%- for message in messages %}[{{ message.role }}:{{ message.content }}
{%- if 'tool_calls' in message %}{% for call in message.tool_calls %}{{ call.function.name }}({{ call.function.arguments | tojson }}){% endfor %}{% endif %}
{%- if message.tool_call_id %}={{ message.tool_call_id }}{% endif %}]{% endfor %}";
        let template = template(source);
        assert!(template.knows_tools());
        let tool = Tool {
            name: "weather".to_owned(),
            description: None,
            parameters: Some(
                serde_json::json!({"type": "object", "properties": {"b": {}, "a": {}}}),
            ),
            is_strict: false,
        };
        let arguments = serde_json::json!({"city": "<Zürich> 'x'"});
        let call = ToolCall {
            id: "c1".to_owned(),
            name: "weather".to_owned(),
            arguments: arguments.as_object().expect("an object").clone(),
        };
        let messages = [
            Message {
                tool_calls: vec![call],
                ..Message::new("assistant", "")
            },
            Message {
                tool_call_id: Some("c1".to_owned()),
                ..Message::new("tool", "sunny")
            },
        ];
        assert_eq!(
            template
                .render(&messages, &[tool.to_json()])
                .expect("valid"),
            r#"{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"b": {}, "a": {}}}}}[assistant:weather({"city": "<Zürich> 'x'"})][tool:sunny=c1]"#
        );
    }

    #[test]
    fn a_template_that_names_no_tools_knows_none() {
        assert!(!template(CHATML).knows_tools());
        assert_eq!(template(CHATML).tool_format(), ToolFormat::Plain);
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
