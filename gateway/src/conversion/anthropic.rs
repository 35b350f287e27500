//! Anthropic's Messages API (<https://docs.anthropic.com/en/api/messages>): chats out, answers in.

mod answer;
mod events;
mod messages;
mod request;
mod stop;
mod tools;
mod usage;

#[cfg(test)]
mod tests;

pub use answer::completion;
pub use events::Events;
pub use request::request;
