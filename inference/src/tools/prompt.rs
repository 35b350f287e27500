//! Tools in plain words, for models whose chat template knows none.
//!
//! The words are documented (docs/api.md), since they are part of what a client pays for.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Tool;
use crate::chat_request::Message;

/// The conversation with tools, calls and results as text.
pub(crate) fn in_plain_words(messages: &[Message], tools: &[Tool]) -> Vec<Message> {
    let mut turns = Vec::new();
    if !tools.is_empty() {
        let explained = explanation(tools);
        match messages.first() {
            Some(first) if first.model_role() == "system" => {}
            _ => turns.push(Message::new("system", &explained)),
        }
        turns.extend(messages.iter().map(|message| turn(message, messages)));
        if let Some(first) = messages.first()
            && first.model_role() == "system"
            && let Some(system) = turns.first_mut()
        {
            system.content = format!("{}\n\n{explained}", system.content);
        }
        return turns;
    }
    turns.extend(messages.iter().map(|message| turn(message, messages)));
    turns
}

fn turn(message: &Message, all: &[Message]) -> Message {
    if message.role == "tool" {
        let id = message.tool_call_id.as_deref().unwrap_or_default();
        let mut calls = all.iter().flat_map(|message| &message.tool_calls);
        let name = message
            .name
            .as_deref()
            .or_else(|| Some(calls.find(|call| call.id == id)?.name.as_str()));
        let of = name.map_or_else(String::new, |name| format!(" of {name}"));
        return Message::new("user", &format!("Result{of}: {}", message.content));
    }
    if message.tool_calls.is_empty() {
        return message.clone();
    }
    let calls = message
        .tool_calls
        .iter()
        .map(|call| json!({"name": call.name, "arguments": call.arguments}));
    let calls = json!({"tool_calls": calls.collect::<Vec<Value>>()}).to_string();
    let said = if message.content.is_empty() {
        calls
    } else {
        format!("{}\n{calls}", message.content)
    };
    Message::new(&message.role, &said)
}

fn explanation(tools: &[Tool]) -> String {
    let mut text = String::from("You can call these functions:\n");
    for tool in tools {
        let description = json!({
            "name": tool.name, "description": tool.description, "parameters": tool.to_json()["function"]["parameters"],
        });
        let _ = writeln!(text, "{description}");
    }
    text.push_str(
        "To call functions, answer with nothing but JSON of this form: \
         {\"tool_calls\": [{\"name\": \"function\", \"arguments\": {}}]}\n\
         The results come as the next messages. Where no function helps, answer in words.",
    );
    text
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::tools::ToolCall;

    fn weather() -> Tool {
        Tool {
            name: "weather".to_owned(),
            description: Some("Tells the weather".to_owned()),
            parameters: None,
            is_strict: false,
        }
    }

    #[test]
    fn tools_join_the_system_or_become_it() {
        let user = Message::new("user", "Hi");
        let alone = in_plain_words(std::slice::from_ref(&user), &[weather()]);
        assert_eq!(alone.len(), 2);
        assert_eq!(alone[0].role, "system");
        assert!(
            alone[0]
                .content
                .contains(r#"{"name":"weather","description":"Tells the weather""#)
        );
        let joined = in_plain_words(
            &[Message::new("system", "Be kind."), user.clone()],
            &[weather()],
        );
        assert_eq!(joined.len(), 2);
        assert!(joined[0].content.starts_with("Be kind.\n\nYou can call"));
        assert_eq!(in_plain_words(std::slice::from_ref(&user), &[]), [user]);
    }

    #[test]
    fn calls_and_results_are_said_as_text() {
        let call = ToolCall {
            id: "c1".to_owned(),
            name: "weather".to_owned(),
            arguments: Map::new(),
        };
        let called = Message {
            tool_calls: vec![call],
            ..Message::new("assistant", "")
        };
        let result = Message {
            tool_call_id: Some("c1".to_owned()),
            ..Message::new("tool", "sunny")
        };
        let said = in_plain_words(&[Message::new("user", "?"), called, result], &[]);
        assert_eq!(
            said[1],
            Message::new(
                "assistant",
                r#"{"tool_calls":[{"name":"weather","arguments":{}}]}"#
            )
        );
        assert_eq!(said[2], Message::new("user", "Result of weather: sunny"));
    }
}
