//! Anthropic's Messages API in front of every model: requests become chats, and answers come back in its shape.

mod content;
mod events;
mod request;
mod response;
#[cfg(test)]
mod tests;
mod tools;

pub use events::MessageEvents;
pub use request::{Demand, MessagesRequest, chat_request};
pub use response::message;
