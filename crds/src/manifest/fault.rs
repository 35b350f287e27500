//! What is wrong with a document of a file.

use std::fmt;

use crate::compile::ObjectRef;

/// What is wrong with a document. `Display` gives one line with file, object, field and fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, as the caller named it.
    pub file: String,
    /// Which document of the file, from 0.
    pub document: usize,
    /// The object, where it could be told.
    pub object: Option<ObjectRef>,
    /// The field, e.g. `spec.models[0].name`; empty where the document as a whole is meant.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            document,
            object,
            field,
            message,
        } = self;
        write!(f, "{file} (document {}): ", document + 1)?;
        if let Some(object) = object {
            write!(f, "{object} ")?;
        }
        if !field.is_empty() {
            write!(f, "{field}: ")?;
        }
        f.write_str(message)
    }
}
