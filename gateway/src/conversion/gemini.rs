//! Google's Gemini API (<https://ai.google.dev/api/generate-content>): chats out, answers in.

mod answer;
mod candidate;
mod contents;
mod events;
mod failure;
mod finish;
mod log_probabilities;
mod request;
mod tools;
mod usage;

#[cfg(test)]
mod tests;

pub use answer::completion;
pub use events::Events;
pub use failure::failure;
pub use request::request;
