//! OpenAI's Responses API in front of every model: requests become chats, and answers come back in its shape.
//!
//! Nothing is stored: what would need a stored response is refused by name.

mod events;
mod input;
mod request;
mod response;
#[cfg(test)]
mod tests;
mod tools;

pub use events::ResponseEvents;
pub use request::{ResponsesRequest, chat_request};
pub use response::response;
