//! The families of models whose graphs we write.

/// A family: models of one class in the transformers library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Llama, SmolLM, TinyLlama and their kin.
    Llama,
    /// Mistral: a llama, in some versions with a sliding window.
    Mistral,
    /// Qwen 2 and 2.5: a llama with biases.
    Qwen2,
    /// Qwen 3: a llama with norms of queries and keys.
    Qwen3,
    /// Gemma: scaled embeddings, and a gate of another kind.
    Gemma,
    /// Gemma 2: norms behind layers, too, bounded scores, and windows.
    Gemma2,
    /// Gemma 3, without images.
    Gemma3,
}

impl Family {
    const ALL: [Self; 7] = [
        Self::Llama,
        Self::Mistral,
        Self::Qwen2,
        Self::Qwen3,
        Self::Gemma,
        Self::Gemma2,
        Self::Gemma3,
    ];

    /// The family of a `general.architecture`. GGUF knows no mistral: its files are llamas.
    pub(crate) fn of_gguf(architecture: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|family| *family != Self::Mistral && family.name() == architecture)
    }

    /// The family of a `model_type`.
    pub(crate) fn of_config(model_type: &str) -> Option<Self> {
        match model_type {
            "gemma3_text" => Some(Self::Gemma3),
            // With images, whose part of the model we do not run.
            "gemma3" => None,
            other => Self::ALL.into_iter().find(|family| family.name() == other),
        }
    }

    /// Its name in files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma => "gemma",
            Self::Gemma2 => "gemma2",
            Self::Gemma3 => "gemma3",
        }
    }

    pub(super) fn supported_names() -> String {
        Self::ALL.map(Self::name).join(", ") + " (text only)"
    }

    pub(crate) fn is_gemma(self) -> bool {
        matches!(self, Self::Gemma | Self::Gemma2 | Self::Gemma3)
    }

    /// Whether every head of queries and keys is normalized.
    pub(super) fn has_head_norms(self) -> bool {
        matches!(self, Self::Qwen3 | Self::Gemma3)
    }

    /// Whether the output of attention and of the feed-forward network is normalized before it is added.
    pub(super) fn has_output_norms(self) -> bool {
        matches!(self, Self::Gemma2 | Self::Gemma3)
    }

    pub(super) fn scales_embeddings(self) -> bool {
        self.is_gemma()
    }
}
