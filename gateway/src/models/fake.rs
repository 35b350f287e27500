//! An engine for tests: says "echo: " and the last message, word by word.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use claw_crds::gateway_config::{
    DeviceConfig, LoadConfig, LocalModelConfig, OutboundConfig, QuantizationConfig, SourceConfig,
    TaskConfig,
};

use claw_inference::{EmbedInput, EmbedRequest, Embeddings, RerankRequest, Scores};

use super::{
    Done, Embedder, Engine, EngineError, EngineEvent, EngineInfo, EngineMessage, EngineRequest,
    FinishReason, LoadProgress, Loaded, Loader, MemoryNeed, ModelStats, Reranker, Sink, SlotKey,
    SubmitError, Workshop,
};
use crate::outbound::Outbound;

/// Counts what it is asked to do. A directory with a file `gate` is loaded once that is gone, one with a file `broken` not
/// at all, and one with a file `bytes` takes as many as stand there.
#[derive(Default)]
pub(crate) struct FakeLoader {
    imports: AtomicUsize,
    loads: AtomicUsize,
}

impl FakeLoader {
    pub(crate) fn imports(&self) -> usize {
        self.imports.load(Ordering::Relaxed)
    }

    pub(crate) fn loads(&self) -> usize {
        self.loads.load(Ordering::Relaxed)
    }
}

impl Loader for FakeLoader {
    fn importer_version(&self) -> String {
        "fake".to_owned()
    }

    fn import(
        &self,
        _source: &Path,
        target: &Path,
        _task: TaskConfig,
        _quantization: QuantizationConfig,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<(), EngineError> {
        self.imports.fetch_add(1, Ordering::Relaxed);
        progress(LoadProgress {
            step: "converting",
            done: 1,
            total: 1,
        });
        std::fs::create_dir(target).map_err(EngineError::new)
    }

    fn memory_needed(&self, directory: &Path, _key: &SlotKey) -> Result<MemoryNeed, EngineError> {
        let said = std::fs::read_to_string(directory.join("bytes"));
        let weights = said.ok().and_then(|said| said.parse().ok()).unwrap_or(1);
        Ok(MemoryNeed { weights, cache: 0 })
    }

    fn load(&self, directory: &Path, key: &SlotKey) -> Result<Loaded, EngineError> {
        let entries = std::fs::read_dir(directory).map_err(EngineError::new)?;
        drop(entries);
        while directory.join("gate").exists() {
            std::thread::yield_now();
        }
        if directory.join("broken").exists() {
            return Err(EngineError::new(std::io::Error::other(
                "the weights are broken",
            )));
        }
        self.loads.fetch_add(1, Ordering::Relaxed);
        let says = directory.file_name().unwrap_or_default();
        Ok(match key.task {
            TaskConfig::Chat | TaskConfig::Summarize => Loaded::Text(Arc::new(FakeEngine {
                name: says.to_string_lossy().into_owned(),
            })),
            TaskConfig::Embed => Loaded::Vectors(Arc::new(FakeEncoder)),
            TaskConfig::Rerank => Loaded::Ranking(Arc::new(FakeEncoder)),
        })
    }
}

fn info() -> EngineInfo {
    EngineInfo {
        device: "Fake".to_owned(),
        reason: None,
        context_length: 16,
    }
}

/// A vector of a text's length and 1, and a score by length; a token a word. Refuses as full what is `full`, as too long
/// what is `long`, and fails at `fail`.
pub(crate) struct FakeEncoder;

impl FakeEncoder {
    fn check(texts: &[&str]) -> Result<Option<String>, SubmitError> {
        if texts.contains(&"full") {
            return Err(SubmitError::QueueFull {
                retry_after: Duration::from_secs(7),
            });
        }
        if let Some(index) = texts.iter().position(|text| *text == "long") {
            return Err(SubmitError::InputTooLong {
                field: format!("input[{index}]"),
                tokens: 17,
                limit: 16,
            });
        }
        Ok(texts.contains(&"fail").then(|| "out of numbers".to_owned()))
    }

    fn tokens(texts: &[&str]) -> usize {
        texts
            .iter()
            .map(|text| text.split_whitespace().count())
            .sum()
    }

    fn about(text: &str) -> f32 {
        f32::from(u16::try_from(text.len()).expect("a short text"))
    }
}

impl Embedder for FakeEncoder {
    fn info(&self) -> EngineInfo {
        info()
    }

    fn submit(&self, request: EmbedRequest, done: Done<Embeddings>) -> Result<(), SubmitError> {
        let texts: Vec<&str> = request
            .inputs
            .iter()
            .map(|input| match input {
                EmbedInput::Text(text) => text.as_str(),
                EmbedInput::Tokens(_) => "tokens",
            })
            .collect();
        match Self::check(&texts)? {
            Some(failure) => done(Err(failure)),
            None => done(Ok(Embeddings {
                vectors: texts
                    .iter()
                    .map(|text| vec![Self::about(text), 1.0])
                    .collect(),
                tokens: Self::tokens(&texts),
            })),
        }
        Ok(())
    }
}

impl Reranker for FakeEncoder {
    fn info(&self) -> EngineInfo {
        info()
    }

    fn submit(&self, request: RerankRequest, done: Done<Scores>) -> Result<(), SubmitError> {
        let texts: Vec<&str> = request.documents.iter().map(String::as_str).collect();
        match Self::check(&texts)? {
            Some(failure) => done(Err(failure)),
            None => done(Ok(Scores {
                scores: texts.iter().map(|text| Self::about(text) / 100.0).collect(),
                tokens: Self::tokens(&texts),
            })),
        }
        Ok(())
    }
}

/// Refuses as full when the last message is `full`, fails in the middle when it is `fail`, and panics at `panic`; `mute`
/// gets no answer, and `stall` the beginning of one. `who` is answered with the name of the directory, and `die` ends it.
pub(crate) struct FakeEngine {
    name: String,
}

impl Engine for FakeEngine {
    fn info(&self) -> EngineInfo {
        info()
    }

    fn stats(&self) -> ModelStats {
        ModelStats {
            active: 1,
            guessed_tokens: 8,
            accepted_tokens: 5,
            ..ModelStats::default()
        }
    }

    /// A token a word.
    fn count_tokens(&self, request: &EngineRequest) -> Result<u64, SubmitError> {
        let words = |message: &EngineMessage| message.content.split_whitespace().count() as u64;
        Ok(request.messages.iter().map(words).sum())
    }

    fn submit(&self, request: EngineRequest, mut sink: Sink) -> Result<(), SubmitError> {
        let said = match &request.prompt {
            None => request
                .messages
                .last()
                .map(|message| message.content.clone())
                .unwrap_or_default(),
            Some(text) => text.clone(),
        };
        assert_ne!(said, "panic", "asked to");
        if said == "full" {
            return Err(SubmitError::QueueFull {
                retry_after: Duration::from_secs(7),
            });
        }
        if said == "die" {
            return Err(SubmitError::Closed);
        }
        let said = if said == "who" {
            self.name.clone()
        } else {
            said
        };
        let words = said.split_inclusive(' ').map(str::to_owned);
        let pieces: Vec<_> = std::iter::once("echo: ".to_owned()).chain(words).collect();
        let completion_tokens = pieces.len() as u64;
        let mut events = vec![EngineEvent::Started {
            prompt_tokens: 7,
            waited: Duration::from_millis(3),
        }];
        events.extend(pieces.into_iter().map(EngineEvent::Text));
        events.push(if said == "fail" {
            EngineEvent::Failed("out of numbers".to_owned())
        } else {
            EngineEvent::Finished {
                reason: FinishReason::Stop,
                prompt_tokens: 7,
                cached_tokens: 2,
                completion_tokens,
            }
        });
        let silent_after = match said.as_str() {
            "mute" => Some(1),
            "stall" => Some(2),
            _ => None,
        };
        events.truncate(silent_after.unwrap_or(events.len()));
        for event in events {
            if sink(event) == ControlFlow::Break(()) {
                break;
            }
        }
        if silent_after.is_some() {
            // Who drops it is done.
            Box::leak(sink);
        }
        Ok(())
    }
}

pub(crate) fn key(source: &Path) -> SlotKey {
    let model = LocalModelConfig {
        source: SourceConfig::Path(source.to_string_lossy().into_owned()),
        quantization: QuantizationConfig::Int8,
        context_length: None,
        load: LoadConfig::Eager,
    };
    SlotKey {
        model,
        device: DeviceConfig::Cpu,
        task: TaskConfig::Chat,
    }
}

/// The same model, loaded in another way.
pub(crate) fn key_with(source: &Path, load: LoadConfig) -> SlotKey {
    let mut key = key(source);
    key.model.load = load;
    key
}

pub(crate) fn workshop(loader: &Arc<FakeLoader>, folder: &Path) -> Workshop {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outbound = Outbound::new(OutboundConfig::unrestricted()).expect("clients");
    Workshop::new(
        Arc::clone(loader) as Arc<dyn Loader>,
        outbound,
        &folder.join("state"),
    )
}
