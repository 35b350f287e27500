//! Reads one call, a JSON object, letter by letter.

use serde_json::Value;

/// Members that calls have beside the name and the arguments; another first member means that this is no call.
const OTHER_MEMBERS: [&str; 2] = ["id", "type"];

/// What a letter led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    More,
    /// The object ended.
    Done,
    /// It is no call, or no JSON.
    Invalid,
}

/// Reads from behind the `{` of a call to its `}`.
#[derive(Debug, Default)]
pub(super) struct CallScanner {
    stage: Stage,
    member: Member,
    /// The value of the member under way, as far as it is not given out already.
    value: Nested,
    text: String,
    name: Option<String>,
    has_arguments: bool,
    is_name_told: bool,
    /// Arguments that were not taken yet.
    arguments: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Member,
    Key,
    Colon,
    Begin,
    Value,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Member {
    Name,
    Arguments,
    #[default]
    Other,
}

impl CallScanner {
    /// The name, once, as soon as it is known.
    pub(super) fn take_name(&mut self) -> Option<String> {
        if self.is_name_told {
            return None;
        }
        self.is_name_told = self.name.is_some();
        self.name.clone()
    }

    /// Arguments as far as they came; none before the name is known.
    pub(super) fn take_arguments(&mut self) -> String {
        if self.name.is_none() {
            return String::new();
        }
        std::mem::take(&mut self.arguments)
    }

    pub(super) fn push(&mut self, letter: char, is_tool: impl Fn(&str) -> bool) -> Step {
        match self.stage {
            Stage::Member => match letter {
                '"' => {
                    self.text.clear();
                    self.value = Nested::string();
                    self.stage = Stage::Key;
                    Step::More
                }
                '}' => self.end(),
                ',' => Step::More,
                _ => blank(letter),
            },
            Stage::Key => {
                if !self.value.push(letter) {
                    self.text.push(letter);
                    return Step::More;
                }
                self.stage = Stage::Colon;
                self.member = match self.text.as_str() {
                    "name" => Member::Name,
                    "arguments" | "parameters" => Member::Arguments,
                    other if OTHER_MEMBERS.contains(&other) || self.name.is_some() => Member::Other,
                    _ => return Step::Invalid,
                };
                Step::More
            }
            Stage::Colon => {
                if letter == ':' {
                    self.stage = Stage::Begin;
                    return Step::More;
                }
                blank(letter)
            }
            Stage::Begin => {
                if letter.is_whitespace() {
                    return Step::More;
                }
                self.text.clear();
                self.text.push(letter);
                self.value = Nested::new(letter);
                self.stage = Stage::Value;
                self.give_arguments();
                Step::More
            }
            Stage::Value => self.value_letter(letter, is_tool),
        }
    }

    fn value_letter(&mut self, letter: char, is_tool: impl Fn(&str) -> bool) -> Step {
        if self.value.is_scalar() {
            if !matches!(letter, ',' | '}') && !letter.is_whitespace() {
                self.text.push(letter);
                return Step::More;
            }
            return match self.end_value(&is_tool) {
                Step::More => self.push(letter, is_tool),
                step => step,
            };
        }
        self.text.push(letter);
        let is_over = self.value.push(letter);
        self.give_arguments();
        if is_over {
            self.end_value(&is_tool)
        } else {
            Step::More
        }
    }

    /// Passes on arguments that are an object as they come.
    fn give_arguments(&mut self) {
        if self.member == Member::Arguments && self.value.is_object() {
            self.arguments.push_str(&self.text);
            self.text.clear();
        }
    }

    fn end_value(&mut self, is_tool: &impl Fn(&str) -> bool) -> Step {
        self.stage = Stage::Member;
        match self.member {
            Member::Name => {
                let Ok(name) = serde_json::from_str::<String>(&self.text) else {
                    return Step::Invalid;
                };
                if !is_tool(&name) {
                    return Step::Invalid;
                }
                self.name = Some(name);
            }
            Member::Arguments => {
                self.has_arguments = true;
                if !self.value.is_object() {
                    // Some models write the object as a string, and no arguments as null.
                    match serde_json::from_str(&self.text) {
                        Ok(Value::String(text)) => self.arguments.push_str(&text),
                        Ok(Value::Null) => self.arguments.push_str("{}"),
                        _ => return Step::Invalid,
                    }
                }
            }
            Member::Other => {}
        }
        Step::More
    }

    fn end(&mut self) -> Step {
        if self.name.is_none() {
            return Step::Invalid;
        }
        if !self.has_arguments {
            self.arguments.push_str("{}");
        }
        Step::Done
    }
}

/// Between the parts of an object nothing else is allowed.
fn blank(letter: char) -> Step {
    if letter.is_whitespace() {
        Step::More
    } else {
        Step::Invalid
    }
}

/// How deep in a value the next letter is.
#[derive(Debug, Default)]
struct Nested {
    first: char,
    depth: usize,
    is_text: bool,
    is_escaped: bool,
}

impl Nested {
    fn new(first: char) -> Self {
        Self {
            first,
            depth: usize::from(matches!(first, '{' | '[')),
            is_text: first == '"',
            is_escaped: false,
        }
    }

    fn string() -> Self {
        Self::new('"')
    }

    fn is_object(&self) -> bool {
        self.first == '{'
    }

    fn is_scalar(&self) -> bool {
        !matches!(self.first, '{' | '[' | '"')
    }

    /// Whether this letter is the value's last.
    fn push(&mut self, letter: char) -> bool {
        if self.is_text {
            if self.is_escaped {
                self.is_escaped = false;
            } else if letter == '\\' {
                self.is_escaped = true;
            } else if letter == '"' {
                self.is_text = false;
                return self.depth == 0;
            }
            return false;
        }
        match letter {
            '"' => self.is_text = true,
            '{' | '[' => self.depth += 1,
            '}' | ']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.depth == 0
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// The last step, the name and the arguments.
    fn scan(text: &str) -> (Step, Option<String>, String) {
        let mut scanner = CallScanner::default();
        let (mut name, mut arguments) = (None, String::new());
        let mut last = Step::More;
        for letter in text.chars() {
            last = scanner.push(letter, |name| name == "f");
            name = name.or_else(|| scanner.take_name());
            arguments += &scanner.take_arguments();
            if last != Step::More {
                break;
            }
        }
        (last, name, arguments)
    }

    #[rstest]
    #[case(
        r#""name": "f", "arguments": {"a": "}\"", "b": [1, {}]}}"#,
        r#"{"a": "}\"", "b": [1, {}]}"#
    )]
    #[case(r#""parameters": {"a": 1}, "name": "f"}"#, r#"{"a": 1}"#)]
    #[case(r#""type": "function", "id": 7, "name":"f"}"#, "{}")]
    #[case(r#""name": "f", "arguments": null}"#, "{}")]
    #[case(r#""name": "f", "arguments": "{\"a\": 1}"}"#, r#"{"a": 1}"#)]
    #[case(r#" "name" : "f" , "note": true , "arguments" : {} }"#, "{}")]
    fn calls_are_read(#[case] text: &str, #[case] expected: &str) {
        let (step, name, arguments) = scan(text);
        assert_eq!(
            (step, name.as_deref(), arguments.as_str()),
            (Step::Done, Some("f"), expected)
        );
    }

    #[rstest]
    #[case(r#""answer": 42}"#)]
    #[case(r#""name": "unknown"}"#)]
    #[case(r#""name": 7}"#)]
    #[case("}")]
    #[case("name}")]
    fn what_is_no_call_is_told(#[case] text: &str) {
        assert_eq!(scan(text).0, Step::Invalid);
    }

    #[test]
    fn arguments_come_as_they_are_written() {
        let mut scanner = CallScanner::default();
        for letter in r#""name":"f","arguments":{"ci"#.chars() {
            assert_eq!(scanner.push(letter, |_| true), Step::More);
        }
        assert_eq!(scanner.take_name().as_deref(), Some("f"));
        assert_eq!(scanner.take_arguments(), r#"{"ci"#);
        assert_eq!(scanner.take_name(), None);
    }
}
