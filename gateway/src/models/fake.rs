//! An engine for tests: says "echo: " and the last message, word by word.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use claw_crds::gateway_config::{
    DeviceConfig, LocalModelConfig, OutboundConfig, QuantizationConfig, SourceConfig,
};

use super::{
    Engine, EngineError, EngineEvent, EngineInfo, EngineMessage, EngineRequest, FinishReason,
    LoadProgress, Loader, ModelStats, Sink, SlotKey, SubmitError, Workshop,
};
use crate::outbound::Outbound;

/// Counts what it is asked to do.
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

    fn load(&self, directory: &Path, _key: &SlotKey) -> Result<Arc<dyn Engine>, EngineError> {
        std::fs::read_dir(directory).map_err(EngineError::new)?;
        self.loads.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(FakeEngine))
    }
}

/// Refuses as full when the last message is `full`, fails in the middle when it is `fail`, and panics at `panic`; `mute`
/// gets no answer, and `stall` the beginning of one.
pub(crate) struct FakeEngine;

impl Engine for FakeEngine {
    fn info(&self) -> EngineInfo {
        EngineInfo {
            device: "Fake".to_owned(),
            reason: None,
            context_length: 16,
        }
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
    };
    SlotKey {
        model,
        device: DeviceConfig::Cpu,
    }
}

pub(crate) fn workshop(loader: &Arc<FakeLoader>, folder: &Path) -> Workshop {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outbound = Outbound::new(OutboundConfig::unrestricted()).expect("clients");
    Workshop::new(
        Arc::clone(loader) as Arc<dyn Loader>,
        outbound,
        folder.join("state"),
    )
}
