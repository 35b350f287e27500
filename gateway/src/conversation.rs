//! What was said before: bounded in length. It is kept in memory here; `mailbox` keeps it in a database.
//!
//! A [`History`] is one conversation; [`Conversations`] finds it by its key. The system prompt is no part of it, so
//! that a changed one counts from the next message on.

mod store;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::respond::{ChatMessage, Role};
pub use store::{Conversations, StoreLimits};

/// How much of a conversation is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Messages of both sides.
    pub messages: usize,
    /// Bytes of all of them; what keeps the memory of many long conversations in bounds.
    pub bytes: usize,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self {
            messages: 50,
            bytes: 32 * 1024,
        }
    }
}

/// The exchanges of one conversation, oldest first.
#[derive(Clone, Debug)]
pub struct History {
    exchanges: VecDeque<Exchange>,
    limits: HistoryLimits,
}

/// A question and its answer; they are forgotten together, so a history never begins with an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Exchange {
    question: String,
    answer: String,
}

impl History {
    /// A conversation that has not begun.
    pub fn new(limits: HistoryLimits) -> Self {
        Self {
            exchanges: VecDeque::new(),
            limits,
        }
    }

    /// What [`to_json`](Self::to_json) gave, within these limits.
    pub fn from_json(json: &[u8], limits: HistoryLimits) -> Result<Self, serde_json::Error> {
        let exchanges = serde_json::from_slice(json)?;
        let mut history = Self { exchanges, limits };
        history.keep_within();
        Ok(history)
    }

    /// What was said, to be kept elsewhere.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(&self.exchanges).expect("texts are JSON")
    }

    /// How many exchanges are remembered.
    pub fn len(&self) -> usize {
        self.exchanges.len()
    }

    /// Forget so many of the oldest exchanges.
    pub fn forget_oldest(&mut self, count: usize) {
        self.exchanges.drain(..count.min(self.exchanges.len()));
    }

    /// The messages for a model: system prompt, what was said before, and the new question.
    pub fn prompt(&self, system: Option<&str>, question: &str) -> Vec<ChatMessage> {
        let message = |role, content: &str| ChatMessage {
            role,
            content: content.to_owned(),
        };
        let mut messages = Vec::with_capacity(2 * self.exchanges.len() + 2);
        messages.extend(system.map(|content| message(Role::System, content)));
        for Exchange { question, answer } in &self.exchanges {
            messages.push(message(Role::User, question));
            messages.push(message(Role::Assistant, answer));
        }
        messages.push(message(Role::User, question));
        messages
    }

    /// Remember an exchange, at the cost of the oldest ones.
    pub fn record(&mut self, question: String, answer: String) {
        self.exchanges.push_back(Exchange { question, answer });
        self.keep_within();
    }

    fn keep_within(&mut self) {
        while 2 * self.exchanges.len() > self.limits.messages || self.bytes() > self.limits.bytes {
            self.exchanges.pop_front();
        }
    }

    /// Forget the older half; what is left of one exchange is nothing.
    pub fn forget_older_half(&mut self) {
        self.exchanges.drain(..self.exchanges.len().div_ceil(2));
    }

    /// Forget everything.
    pub fn clear(&mut self) {
        self.exchanges.clear();
    }

    /// Whether nothing was said before.
    pub fn is_empty(&self) -> bool {
        self.exchanges.is_empty()
    }

    fn bytes(&self) -> usize {
        self.exchanges
            .iter()
            .map(|exchange| exchange.question.len() + exchange.answer.len())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(messages: usize, bytes: usize, exchanges: usize) -> History {
        let mut history = History::new(HistoryLimits { messages, bytes });
        for number in 0..exchanges {
            history.record(format!("q{number}"), format!("a{number}"));
        }
        history
    }

    fn texts(history: &History) -> String {
        let messages = history.prompt(Some("sys"), "now");
        messages
            .iter()
            .map(|message| message.content.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn the_system_prompt_is_first_and_the_question_last() {
        let messages = history(50, 1000, 1).prompt(Some("sys"), "now");
        let roles: Vec<Role> = messages.iter().map(|message| message.role).collect();
        assert_eq!(
            roles,
            [Role::System, Role::User, Role::Assistant, Role::User]
        );
        assert_eq!(history(50, 1000, 0).prompt(None, "now").len(), 1);
    }

    #[test]
    fn the_oldest_exchanges_are_forgotten_by_count() {
        assert_eq!(texts(&history(4, 1000, 5)), "sys q3 a3 q4 a4 now");
    }

    #[test]
    fn an_odd_limit_keeps_whole_exchanges() {
        assert_eq!(texts(&history(3, 1000, 5)), "sys q4 a4 now");
    }

    #[test]
    fn the_oldest_exchanges_are_forgotten_by_size() {
        assert_eq!(texts(&history(50, 9, 5)), "sys q3 a3 q4 a4 now");
    }

    #[test]
    fn an_exchange_that_is_too_large_alone_is_not_remembered() {
        assert!(history(50, 3, 1).is_empty());
    }

    #[test]
    fn halving_ends_with_nothing() {
        let mut history = history(50, 1000, 5);
        let mut lengths = Vec::new();
        while !history.is_empty() {
            history.forget_older_half();
            lengths.push(history.exchanges.len());
        }
        assert_eq!(lengths, [2, 1, 0]);
    }
}
