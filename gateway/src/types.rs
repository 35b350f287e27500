//! What goes over the wire: OpenAI's chat completions, and what is made of them for other clients.

mod chat_request;
mod chat_response;
mod extent;
pub(crate) mod fields;
mod json_object;
mod message_answer;
mod open_object;
mod place;
mod random_digits;
mod request_body;
mod said;
mod sent_answer;
mod task;
mod text_completion;
mod whole_answer;

pub use chat_request::{ChatRequest, Content, Message};
pub use chat_response::{
    ChatChunk, ChatCompletion, Choice, ChunkChoice, Delta, Usage, completion_id, unix_seconds,
};
pub use json_object::parse_object;
pub use message_answer::{ContentBlock, MessageAnswer, MessageUsage, TokenCount, message_id};
pub use random_digits::random_digits;
pub use request_body::{RequestBody, SentBody};
pub use said::{Said, Text};
pub use sent_answer::SentAnswer;
pub use task::{MOST_TOKENS_OF_A_TEXT, Task};
pub use text_completion::{text_chunk, text_completion};
pub use whole_answer::WholeAnswer;
