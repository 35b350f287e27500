//! One model's life: its files come, it is loaded when it is to be, unloaded when others need its memory, and loaded anew
//! when it failed. Nothing here touches another model but to unload it while nobody uses it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use claw_crds::gateway_config::LoadConfig;

use super::House;
use crate::config::chain;
use crate::models::memory::{MemoryError, MemoryNeed, Reservation};
use crate::models::origin::shown;
use crate::models::preparation::PreparationError;
use crate::models::slot::{Inner, Shared};
use crate::models::state::SlotState;

/// Pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// Tend a model for as long as somebody wants it.
pub(super) async fn tend(house: &Arc<House>, inner: &Arc<Inner>) {
    let mut attempts = 0;
    let mut wants_files = inner.key.model.load == LoadConfig::Standby;
    if inner.key.model.load == LoadConfig::Lazy {
        inner.state.send_replace(SlotState::Standby);
        inner.wanted().await;
    }
    loop {
        let outcome = if wants_files {
            house
                .workshop
                .files(&inner.key, &inner.state)
                .await
                .map(Some)
        } else {
            bring(house, inner).await.map(|()| None)
        };
        match outcome {
            Ok(Some(_held)) => {
                wants_files = false;
                attempts = 0;
                inner.state.send_replace(SlotState::Standby);
                inner.wanted().await;
                // Only now may the files be let go: from here on, loading holds them.
            }
            Ok(None) => {
                attempts = 0;
                gone(inner).await;
                let was_unloaded = matches!(*inner.state.borrow(), SlotState::Standby);
                if was_unloaded && inner.key.model.load == LoadConfig::Standby {
                    wants_files = true;
                } else if was_unloaded {
                    inner.wanted().await;
                } else {
                    pause(inner, FIRST_PAUSE).await;
                }
            }
            Err(error) => {
                attempts += 1;
                let pause_now = pause_after(attempts);
                fail(inner, &error, attempts, pause_now);
                pause(inner, pause_now).await;
                if inner.key.model.load != LoadConfig::Eager && !wants_files {
                    inner.wanted().await;
                }
            }
        }
    }
}

/// Get it into memory.
async fn bring(house: &Arc<House>, inner: &Arc<Inner>) -> Result<(), PreparationError> {
    let files = house.workshop.files(&inner.key, &inner.state).await?;
    let need = house.workshop.memory_needed(&files, &inner.key).await?;
    let memory = room(house, inner, need).await?;
    inner.state.send_replace(SlotState::Loading);
    let engine = house.workshop.load(&files, &inner.key).await?;
    let info = engine.info();
    tracing::info!(
        source = shown(&inner.key.model.source),
        device = info.device,
        reason = info.reason,
        context_length = info.context_length,
        memory_bytes = need.bytes(),
        "a model is ready"
    );
    inner.ready(engine, info, (memory, files));
    Ok(())
}

/// Memory for a model: of what is left, or of models that nobody uses.
async fn room(
    house: &Arc<House>,
    inner: &Arc<Inner>,
    need: MemoryNeed,
) -> Result<Reservation, MemoryError> {
    loop {
        let freed = house.freed();
        let mut freed = std::pin::pin!(freed.notified());
        // Before the look, so that nothing between it and the wait is missed.
        freed.as_mut().enable();
        // The system first: what is set aside and given back at once would wake whoever waits, and that is us.
        let system = (house.system)().map_or(Ok(()), |system| system.check(need));
        let outcome = system.and_then(|()| house.memory.reserve(need));
        let error = match outcome {
            Ok(reservation) => return Ok(reservation),
            Err(error @ MemoryError::TooLarge { .. }) => return Err(error),
            Err(error) => error,
        };
        let others = house.evictable(inner);
        let unloaded = others.iter().find_map(|other| {
            let engine = other.inner.unload()?;
            tracing::info!(
                source = shown(&other.inner.key.model.source),
                "unloaded a model that nobody used for longest, for another one"
            );
            Some(engine)
        });
        match unloaded {
            // Its threads end before its memory is free.
            Some(engine) => drop(tokio::task::spawn_blocking(move || drop(engine)).await),
            None if others.is_empty() => return Err(error),
            None => {
                inner.state.send_replace(SlotState::Pending);
                drop(others);
                freed.await;
            }
        }
    }
}

impl House {
    /// The other models that may be unloaded, those first that nobody has used for longest.
    fn evictable(&self, inner: &Arc<Inner>) -> Vec<Arc<Shared>> {
        let mut others: Vec<_> = self
            .lock()
            .values()
            .filter_map(std::sync::Weak::upgrade)
            .filter(|other| !Arc::ptr_eq(&other.inner, inner))
            .filter(|other| other.inner.may_be_unloaded() && other.inner.state.borrow().is_ready())
            .collect();
        others.sort_by_key(|other| other.inner.last_used());
        others
    }
}

/// Until it is loaded no more.
async fn gone(inner: &Inner) {
    let mut states = inner.state.subscribe();
    // The sender lives as long as we do.
    let _ = states.wait_for(|state| !state.is_ready()).await;
    inner.give_back();
}

fn fail(inner: &Inner, error: &PreparationError, attempts: u32, retry_in: Duration) {
    let (kind, error) = (error.kind(), chain(error));
    tracing::error!(
        source = shown(&inner.key.model.source),
        error,
        attempts,
        retry_in_s = retry_in.as_secs(),
        "a model failed to load"
    );
    inner.is_resting.store(true, Ordering::Relaxed);
    inner.state.send_replace(SlotState::Failed {
        kind,
        error,
        attempts,
        retry_in,
    });
}

async fn pause(inner: &Inner, pause: Duration) {
    inner.is_resting.store(true, Ordering::Relaxed);
    tokio::time::sleep(pause).await;
    inner.is_resting.store(false, Ordering::Relaxed);
}

pub(super) fn pause_after(attempts: u32) -> Duration {
    FIRST_PAUSE
        .saturating_mul(1 << attempts.saturating_sub(1).min(16))
        .min(LONGEST_PAUSE)
}
