//! What is wrong, said so that its reader can mend it.

use std::fmt;

use kube::Resource;

use crate::condition::{ACCEPTED, RESOLVED_REFS, reason};

/// An object by kind and name; the namespace is the gateway's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectRef {
    /// E.g. `ModelRoute`.
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
}

impl ObjectRef {
    /// The reference to an object.
    pub fn of<K: Resource<DynamicType = ()>>(object: &K) -> Self {
        Self {
            kind: K::kind(&()).into_owned(),
            name: object.meta().name.clone().unwrap_or_default(),
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// Why something cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemReason {
    /// A field has a value that cannot work.
    Invalid,
    /// Two things claim one name.
    Conflict,
    /// A Secret, or an entry of one, is missing.
    SecretNotFound,
    /// A Secret's content does not fit.
    InvalidSecret,
    /// A ConfigMap, or an entry of one, is missing.
    ConfigMapNotFound,
    /// A ConfigMap's content does not fit.
    InvalidConfigMap,
    /// No model of that name.
    ModelNotFound,
    /// A model that does something else than is asked for.
    TaskMismatch,
}

impl ProblemReason {
    /// The condition that turns False.
    pub const fn condition(self) -> &'static str {
        match self {
            Self::Invalid | Self::Conflict => ACCEPTED,
            Self::SecretNotFound
            | Self::InvalidSecret
            | Self::ConfigMapNotFound
            | Self::InvalidConfigMap
            | Self::ModelNotFound
            | Self::TaskMismatch => RESOLVED_REFS,
        }
    }

    /// The condition's reason.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => reason::INVALID,
            Self::Conflict => reason::CONFLICT,
            Self::SecretNotFound => reason::SECRET_NOT_FOUND,
            Self::InvalidSecret => reason::INVALID_SECRET,
            Self::ConfigMapNotFound => reason::CONFIG_MAP_NOT_FOUND,
            Self::InvalidConfigMap => reason::INVALID_CONFIG_MAP,
            Self::ModelNotFound => reason::MODEL_NOT_FOUND,
            Self::TaskMismatch => reason::TASK_MISMATCH,
        }
    }
}

/// One thing that is wrong. `Display` gives one line with object, field, value, fault and remedy; no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whose fault it is.
    pub object: ObjectRef,
    /// JSON path of the field, e.g. `spec.routes[0].pattern`.
    pub field: String,
    /// The value as given, where it may be shown.
    pub value: Option<String>,
    /// The kind of fault.
    pub reason: ProblemReason,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// Whether the gateway can be configured without the broken part.
    pub(super) fatal: bool,
}

impl Problem {
    /// A field that cannot work; the rest is served without it.
    pub(super) fn invalid(
        object: &ObjectRef,
        field: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            object: object.clone(),
            field: field.into(),
            value: None,
            reason: ProblemReason::Invalid,
            message: message.into(),
            remedy: remedy.into(),
            fatal: false,
        }
    }

    /// The same, showing the value as given.
    #[must_use]
    pub(super) fn with_value(self, value: impl Into<String>) -> Self {
        Self {
            value: Some(value.into()),
            ..self
        }
    }

    /// The same for another reason.
    #[must_use]
    pub(super) fn with_reason(self, reason: ProblemReason) -> Self {
        Self { reason, ..self }
    }

    /// The same, and nothing can be served without it.
    #[must_use]
    pub(super) fn fatal(self) -> Self {
        Self {
            fatal: true,
            ..self
        }
    }

    /// Whether nothing at all can be served because of it.
    pub fn is_fatal(&self) -> bool {
        self.fatal
    }

    /// The line without the object, for the object's own status.
    pub fn detail(&self) -> String {
        let Self {
            field,
            value,
            message,
            remedy,
            ..
        } = self;
        match value {
            Some(value) => format!("{field} {value:?}: {message}; {remedy}"),
            None => format!("{field}: {message}; {remedy}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.object, self.detail())
    }
}
