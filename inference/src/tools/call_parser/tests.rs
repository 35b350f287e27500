use proptest::prelude::*;
use rstest::rstest;

use super::*;

/// What is said, and each call as its name and arguments.
type Read = (String, Vec<(String, String)>);

fn read(format: ToolFormat, is_single: bool, pieces: &[&str]) -> Read {
    let names = ["weather", "time"].map(str::to_owned).to_vec();
    let mut parser = CallParser::new(format, names, is_single);
    let mut said: Vec<Said> = pieces.iter().flat_map(|piece| parser.push(piece)).collect();
    said.extend(parser.finish());
    let (mut text, mut calls) = (String::new(), Vec::new());
    for piece in said {
        match piece {
            Said::Text(more) => text += &more,
            Said::Call(ToolCallPiece {
                index,
                begin,
                arguments,
            }) => {
                if let Some(ToolCallBegin { id, name }) = begin {
                    assert!(id.len() == 29 && id.starts_with("call_"), "{id}");
                    assert_eq!(index, calls.len());
                    calls.push((name, String::new()));
                }
                calls[index].1 += &arguments;
            }
        }
    }
    (text, calls)
}

fn calls(calls: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, arguments): &(&str, &str)| ((*name).to_owned(), (*arguments).to_owned());
    calls.iter().map(owned).collect()
}

const WEATHER: &str = r#"{"city": "Zürich 🙂"}"#;

/// Answers in each format, with what they say.
#[expect(clippy::too_many_lines, reason = "a table, a row an answer")]
fn answers() -> Vec<(ToolFormat, String, Read)> {
    use ToolFormat::{Hermes, Llama, Mistral, Plain};
    let call = format!(r#"{{"name": "weather", "arguments": {WEATHER}}}"#);
    let other = r#"{"name": "time", "arguments": {}}"#;
    let llama = format!(r#"{{"name": "weather", "parameters": {WEATHER}}}"#);
    let one = || calls(&[("weather", WEATHER)]);
    let two = || calls(&[("weather", WEATHER), ("time", "{}")]);
    let none = Vec::new;
    let text = |text: &str| text.to_owned();
    vec![
        (
            Hermes,
            text("Hello <b>you</b>, a <tool"),
            (text("Hello <b>you</b>, a <tool"), none()),
        ),
        (
            Hermes,
            format!("Let me see.\n\n<tool_call>\n{call}\n</tool_call>"),
            (text("Let me see."), one()),
        ),
        (
            Hermes,
            format!("<tool_call>\n{call}\n</tool_call>\n<tool_call>\n{other}\n</tool_call>\n"),
            (String::new(), two()),
        ),
        (
            Hermes,
            format!("<tool_call>{call}</tool_call> and so"),
            (text("and so"), one()),
        ),
        (Hermes, format!("<tool_call>{call}"), (String::new(), one())),
        (
            Hermes,
            text(r#"x <tool_call>{"name": "nobody"}</tool_call>"#),
            (
                text(r#"x <tool_call>{"name": "nobody"}</tool_call>"#),
                none(),
            ),
        ),
        (
            Hermes,
            text("<tool_call>what?"),
            (text("<tool_call>what?"), none()),
        ),
        (Hermes, call.clone(), (call.clone(), none())),
        (Llama, llama.clone(), (String::new(), one())),
        (
            Llama,
            format!("<|python_tag|>{llama}; {other}"),
            (String::new(), two()),
        ),
        (Llama, text("Just words."), (text("Just words."), none())),
        (
            Llama,
            text(r#"{"answer": 42} is it"#),
            (text(r#"{"answer": 42} is it"#), none()),
        ),
        (
            Mistral,
            format!("[TOOL_CALLS][{call}, {other}]"),
            (String::new(), two()),
        ),
        (
            Mistral,
            format!("[TOOL_CALLS] [{call}]"),
            (String::new(), one()),
        ),
        (
            Mistral,
            text("[1, 2] are numbers"),
            (text("[1, 2] are numbers"), none()),
        ),
        (Mistral, text("[T]ext"), (text("[T]ext"), none())),
        (
            Plain,
            format!(r#"{{"tool_calls": [{call}, {other}]}}"#),
            (String::new(), two()),
        ),
        (
            Plain,
            format!(" ```json\n{{ \"tool_calls\" :\n[{call}]}}\n```"),
            (String::new(), one()),
        ),
        (
            Plain,
            format!("{call}\nThat was it."),
            (text("That was it."), one()),
        ),
        (
            Plain,
            text(r#"{"tool_calls": []}"#),
            (text(r#"{"tool_calls": []}"#), none()),
        ),
        (Plain, text("  "), (text("  "), none())),
    ]
}

#[test]
fn calls_of_every_format_are_found_and_everything_else_is_text() {
    for (format, answer, expected) in answers() {
        assert_eq!(read(format, false, &[&answer]), expected, "{answer}");
    }
}

#[test]
fn every_split_of_an_answer_reads_the_same() {
    for (format, answer, expected) in answers() {
        for (place, _) in answer.char_indices() {
            let (first, second) = answer.split_at(place);
            assert_eq!(
                read(format, false, &[first, second]),
                expected,
                "{first}|{second}"
            );
        }
        let letters: Vec<String> = answer.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        assert_eq!(read(format, false, &letters), expected, "{answer}");
    }
}

#[test]
fn a_single_call_is_the_first() {
    for (format, answer, (_, found)) in answers() {
        let (_, kept) = read(format, true, &[&answer]);
        assert_eq!(
            kept,
            found.into_iter().take(1).collect::<Vec<_>>(),
            "{answer}"
        );
    }
}

#[rstest]
#[case(
    ToolFormat::Hermes,
    "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"ci"
)]
#[case(
    ToolFormat::Plain,
    "{\"tool_calls\": [{\"name\": \"weather\", \"arguments\": {\"ci"
)]
fn arguments_are_told_as_they_come(#[case] format: ToolFormat, #[case] answer: &str) {
    let (text, called) = read(format, false, &[answer]);
    assert_eq!(
        (text.as_str(), called),
        ("", calls(&[("weather", "{\"ci")]))
    );
}

/// Wherever the limit of tokens cuts an answer of calls, nothing of their markup is text behind the first name.
#[test]
fn a_call_that_is_cut_off_is_no_text() {
    for (format, answer, (text, called)) in answers() {
        if !text.is_empty() || called.is_empty() {
            continue;
        }
        for (place, _) in answer.char_indices() {
            let (text, called) = read(format, false, &[&answer[..place]]);
            assert!(
                called.is_empty() || text.is_empty(),
                "{}: {text}",
                &answer[..place]
            );
        }
    }
}

proptest! {
    /// Whatever is said, nothing is lost where nothing is called.
    #[test]
    fn text_without_calls_stays_what_it_is(
        pieces in proptest::collection::vec(r#"(<tool_call>|</tool_call>|[\[\]{}",:; a]|name|```json){0,4}"#, 0..8),
        is_tagged in any::<bool>(),
    ) {
        let format = if is_tagged { ToolFormat::Hermes } else { ToolFormat::Plain };
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let (text, called) = read(format, false, &pieces);
        prop_assert_eq!(called, Vec::new());
        prop_assert_eq!(text, pieces.concat());
    }
}
