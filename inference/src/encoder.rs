//! A text encoder as files: what it computes, how its numbers become a vector or a score, and where its graph is.
//!
//! Two kinds of directory are read: those that an import wrote, with [`MANIFEST_FILE`], and those of Optimum and
//! sentence-transformers with an ONNX graph in them, as they are.

mod description;
mod directory;
mod hub;
mod model;
mod pooling;
mod text;

pub use description::{Activation, Description, Embedding, Family, Head};
pub(crate) use directory::FORMAT_VERSION;
pub use directory::{EncoderDir, EncoderDirError, EncoderManifest, MANIFEST_FILE};
pub(crate) use hub::{Config, WEIGHTS_FILE, read_config, read_description};
pub use hub::{HubError, is_encoder};
pub use model::{EncoderInfo, EncoderLoadError, InputError};
pub(crate) use model::{EncoderModel, Submission, check_count};
pub use pooling::Pooling;
pub(crate) use pooling::normalize;
pub(crate) use text::{EncoderTokenizer, Sequence};
