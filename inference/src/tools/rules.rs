//! Grammars of answers that call tools, so that every call is one that a program can make.

use std::fmt::Write as _;

use super::{Tool, ToolChoice, ToolFormat};
use crate::grammar::{AnswerFormat, GrammarError, GrammarSource, json_rule, text_literal};

/// The most tools of a request.
pub(crate) const MAX_TOOLS: usize = 128;
/// The most calls of one answer, so that a model that repeats itself comes to an end.
const MAX_CALLS: usize = 16;

/// The grammar of an answer; none where it may be anything.
///
/// `answer` is the form of an answer that calls nothing. With it, or with a strict tool, a model that is free to call
/// either answers in that form or calls.
pub(crate) fn rules(
    format: ToolFormat,
    tools: &[Tool],
    choice: &ToolChoice,
    is_single: bool,
    answer: Option<&AnswerFormat>,
) -> Result<Option<GrammarSource>, GrammarError> {
    let must_call = match choice {
        ToolChoice::Required => calls(format, tools.iter(), is_single)?,
        ToolChoice::Named(name) => {
            calls(format, tools.iter().filter(|tool| tool.name == *name), true)?
        }
        ToolChoice::Auto if tools.iter().any(|tool| tool.is_strict) || answer.is_some() => {
            return may_call(format, tools, is_single, answer).map(Some);
        }
        ToolChoice::Auto | ToolChoice::None => {
            return answer.map(GrammarSource::of_format).transpose();
        }
    };
    Ok(Some(GrammarSource::new(format!(
        "start: calls\n{must_call}"
    ))))
}

/// Either an answer or calls.
fn may_call(
    format: ToolFormat,
    tools: &[Tool],
    is_single: bool,
    answer: Option<&AnswerFormat>,
) -> Result<GrammarSource, GrammarError> {
    let calls = if tools.is_empty() {
        String::new()
    } else {
        calls(format, tools.iter(), is_single)?
    };
    let rules = match answer {
        Some(answer) if tools.is_empty() => answer.rule("start")?,
        Some(answer) => format!("start: answer | calls\n{}{calls}", answer.rule("answer")?),
        None => match format {
            // Text up to a tag, perhaps none, and calls; or text without a tag.
            ToolFormat::Hermes => format!(
                "start: spoken tail | TEXT\n\
                 spoken[suffix=\"<tool_call>\"]: /(?s:.*)/\n\
                 TEXT: /(?s:.+)/ & ~/(?s:.*<tool_call>.*)/\n{calls}"
            ),
            ToolFormat::Llama | ToolFormat::Mistral | ToolFormat::Plain => {
                format!("start: calls | TEXT\nTEXT: /(?s:[^{{\\[<\\s].*)/\n{calls}")
            }
        },
    };
    Ok(GrammarSource::new(rules))
}

/// The rule `calls`, and those it needs; `tail` is all of it but what marks its beginning.
fn calls<'a>(
    format: ToolFormat,
    tools: impl Iterator<Item = &'a Tool>,
    is_single: bool,
) -> Result<String, GrammarError> {
    let mut rules = String::new();
    let mut names = Vec::new();
    for (tool, number) in tools.zip(0..) {
        let of_tool = |error: GrammarError| GrammarError(format!("of {:?} {error}", tool.name));
        rules += &json_rule(&format!("arguments_{number}"), &tool.schema()).map_err(of_tool)?;
        let name = serde_json::Value::from(tool.name.as_str());
        let begin = format!("{{\"name\": {name}, \"{}\": ", format.arguments());
        let begin = text_literal(&begin);
        let _ = writeln!(rules, "call_{number}: {begin} arguments_{number} \"}}\"");
        names.push(format!("call_{number}"));
    }
    let (mark, begin, separator, end) = match format {
        ToolFormat::Hermes => (
            "<tool_call>",
            "\n",
            "\n</tool_call>\n<tool_call>\n",
            "\n</tool_call>",
        ),
        ToolFormat::Llama => ("", "", "; ", ""),
        ToolFormat::Mistral => ("", "[", ", ", "]"),
        ToolFormat::Plain => ("", "{\"tool_calls\": [", ", ", "]}"),
    };
    let [mark, begin, separator, end] = [mark, begin, separator, end].map(text_literal);
    let more = if is_single {
        String::new()
    } else {
        format!("({separator} call){{0,{}}}", MAX_CALLS - 1)
    };
    Ok(format!(
        "calls: {mark} tail\ntail: {begin} call {more} {end}\ncall: {}\n{rules}",
        names.join(" | ")
    ))
}
