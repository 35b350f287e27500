//! Finds calls in what a model says, as it says it.
//!
//! What may become a call is held back until it is one, and is text after all where it does not. The pieces into which
//! an answer falls make no difference.

mod beginnings;

use rand::distr::{Alphanumeric, SampleString as _};

use super::{
    ToolCallBegin, ToolCallPiece, ToolFormat,
    call_scanner::{CallScanner, Step},
};
use beginnings::{BEGIN, END, is_beginning, undecided};

/// What may stand before the JSON of calls that replace text.
const BEFORE_JSON: [&str; 4] = ["<|python_tag|>", "[TOOL_CALLS]", "```json", "```"];
const LIST: &str = "{\"tool_calls\":[";
/// Letters of an id after `call_`, as OpenAI's have.
const ID_LENGTH: usize = 24;

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Text(String),
    Call(ToolCallPiece),
}

/// Takes text and gives text and calls.
#[derive(Debug)]
pub(crate) struct CallParser {
    format: ToolFormat,
    names: Vec<String>,
    /// Further calls are dropped.
    is_single: bool,
    state: State,
    /// Text that is not decided.
    held: String,
    calls: usize,
    /// Whether white space is that around calls.
    is_after_call: bool,
    said: Vec<Said>,
}

#[derive(Debug)]
enum State {
    /// Among tags: text in which a tag may begin. Otherwise: text to its end.
    Text,
    /// Nothing but white space came since a tag.
    Tagged,
    /// Nothing came that tells whether the answer is text or JSON.
    Start,
    /// Between calls of JSON.
    Between,
    Call(CallScanner),
}

impl CallParser {
    pub(crate) fn new(format: ToolFormat, names: Vec<String>, is_single: bool) -> Self {
        Self {
            format,
            names,
            is_single,
            state: if format == ToolFormat::Hermes {
                State::Text
            } else {
                State::Start
            },
            held: String::new(),
            calls: 0,
            is_after_call: false,
            said: Vec::new(),
        }
    }

    /// Whether a call has begun.
    pub(crate) fn has_called(&self) -> bool {
        self.calls > 0
    }

    /// More of the answer.
    pub(crate) fn push(&mut self, text: &str) -> Vec<Said> {
        for letter in text.chars() {
            self.letter(letter);
        }
        std::mem::take(&mut self.said)
    }

    /// The answer's end.
    pub(crate) fn finish(&mut self) -> Vec<Said> {
        let held = std::mem::take(&mut self.held);
        if self.calls == 0 || !self.is_of_calls(&held) {
            self.text(&held);
        }
        self.state = State::Text;
        std::mem::take(&mut self.said)
    }

    /// Whether what is held at the end of an answer stands around calls, or began another one that was cut off.
    fn is_of_calls(&self, held: &str) -> bool {
        match self.state {
            State::Text => [BEGIN, END]
                .iter()
                .any(|tag| is_beginning(held.trim(), tag)),
            State::Tagged | State::Start | State::Between | State::Call(_) => true,
        }
    }

    fn has_tags(&self) -> bool {
        self.format == ToolFormat::Hermes
    }

    fn letter(&mut self, letter: char) {
        match &mut self.state {
            State::Text => {
                self.held.push(letter);
                if self.has_tags() {
                    self.among_tags();
                } else {
                    self.release();
                }
            }
            State::Tagged => {
                self.held.push(letter);
                match letter {
                    '{' => self.state = State::Call(CallScanner::default()),
                    _ if letter.is_whitespace() => {}
                    _ => self.give_up(),
                }
            }
            State::Start => {
                self.held.push(letter);
                self.start();
            }
            State::Between => {
                self.held.push(letter);
                match letter {
                    '{' => self.state = State::Call(CallScanner::default()),
                    ',' | ';' | '[' | ']' | '}' | '`' => {}
                    _ if letter.is_whitespace() => {}
                    _ if self.calls > 0 => {
                        // Only what is not JSON any more.
                        self.held = letter.to_string();
                        self.give_up();
                    }
                    _ => self.give_up(),
                }
            }
            State::Call(_) => {
                self.held.push(letter);
                self.call(letter);
            }
        }
    }

    /// Text in which tags may stand.
    fn among_tags(&mut self) {
        if let Some(before) = self.held.strip_suffix(BEGIN) {
            let before = before.trim_end().to_owned();
            // What a call takes the place of, should it be none.
            self.held.drain(..before.len());
            self.text(&before);
            self.state = State::Tagged;
            return;
        }
        if self.calls > 0
            && let Some(before) = self.held.strip_suffix(END)
        {
            self.held.truncate(before.trim_end().len());
            self.is_after_call = true;
        }
        let undecided = undecided(&self.held);
        let decided = self.held.len() - undecided;
        let text: String = self.held.drain(..decided).collect();
        self.text(&text);
    }

    /// The beginning of an answer that is JSON or text.
    fn start(&mut self) {
        let mut rest = self.held.trim_start();
        loop {
            if rest.is_empty() || BEFORE_JSON.iter().any(|before| is_beginning(rest, before)) {
                return;
            }
            match BEFORE_JSON
                .iter()
                .find_map(|before| rest.strip_prefix(before))
            {
                Some(after) => rest = after.trim_start(),
                None => break,
            }
        }
        let dense: String = rest
            .chars()
            .filter(|letter| !letter.is_whitespace())
            .collect();
        if is_beginning(&dense, LIST) {
            return;
        }
        if dense == LIST || rest.starts_with('[') {
            self.state = State::Between;
            let after: String = rest.strip_prefix('[').unwrap_or_default().to_owned();
            if dense != LIST && !after.is_empty() {
                // The letters behind the bracket were held to see whether it is a marker.
                self.held.truncate(self.held.len() - after.len());
                after.chars().for_each(|letter| self.letter(letter));
            }
        } else if let Some(members) = rest.strip_prefix('{') {
            self.state = State::Call(CallScanner::default());
            let members = members.to_owned();
            self.held.truncate(self.held.len() - members.len());
            members.chars().for_each(|letter| self.letter(letter));
        } else {
            self.give_up();
        }
    }

    fn call(&mut self, letter: char) {
        let State::Call(scanner) = &mut self.state else {
            return;
        };
        let names = &self.names;
        let step = scanner.push(letter, |name| names.iter().any(|known| known == name));
        let name = scanner.take_name();
        let arguments = scanner.take_arguments();
        if let Some(name) = name {
            self.held.clear();
            self.calls += 1;
            let id = Alphanumeric.sample_string(&mut rand::rng(), ID_LENGTH);
            let begin = ToolCallBegin {
                id: format!("call_{id}"),
                name,
            };
            self.piece(Some(begin), arguments);
        } else if !arguments.is_empty() {
            self.held.clear();
            self.piece(None, arguments);
        }
        match step {
            Step::More => {}
            Step::Done => {
                self.held.clear();
                self.is_after_call = true;
                self.state = if self.has_tags() {
                    State::Text
                } else {
                    State::Between
                };
            }
            Step::Invalid => self.give_up(),
        }
    }

    /// What was held back is text after all.
    fn give_up(&mut self) {
        self.state = State::Text;
        if self.has_tags() {
            self.among_tags();
        } else {
            self.release();
        }
    }

    fn release(&mut self) {
        let held = std::mem::take(&mut self.held);
        self.text(&held);
    }

    fn text(&mut self, text: &str) {
        let text = if self.is_after_call {
            text.trim_start()
        } else {
            text
        };
        if text.is_empty() {
            return;
        }
        self.is_after_call = false;
        if let Some(Said::Text(said)) = self.said.last_mut() {
            said.push_str(text);
        } else {
            self.said.push(Said::Text(text.to_owned()));
        }
    }

    fn piece(&mut self, begin: Option<ToolCallBegin>, arguments: String) {
        let index = self.calls - 1;
        if self.is_single && index > 0 {
            return;
        }
        if begin.is_none()
            && let Some(Said::Call(last)) = self.said.last_mut()
        {
            last.arguments.push_str(&arguments);
            return;
        }
        self.said.push(Said::Call(ToolCallPiece {
            index,
            begin,
            arguments,
        }));
    }
}

#[cfg(test)]
mod tests;
