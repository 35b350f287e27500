//! Log lines for machines: one JSON object a line, with the field names of the Elastic Common Schema (ECS,
//! `https://www.elastic.co/docs/reference/ecs`), which the usual collectors index as they are.

mod ecs;
mod members;
mod writer;

pub use ecs::EcsLayer;
pub use writer::LogWriter;
