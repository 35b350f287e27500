//! The span of the work at hand.
//!
//! A future that is instrumented enters and leaves its span with each step, which costs a proxied request a hundredth of its
//! time or two, and in most steps nobody looks at it. Where only our own layer of the log wants to know, the span lies
//! where that finds it.

use std::sync::atomic::{AtomicBool, Ordering};

use tracing::span::Id;
use tracing::{Instrument as _, Span};

tokio::task_local! {
    static SPAN: Span;
}

/// Whether the log looks for spans by itself.
static IS_FOUND: AtomicBool = AtomicBool::new(false);

/// From now on spans that lie here are found.
pub(crate) fn find() {
    IS_FOUND.store(true, Ordering::Relaxed);
}

/// The span that lies here.
pub(crate) fn found() -> Option<Id> {
    SPAN.try_with(Span::id).ok().flatten()
}

/// Do work within a span: lines that are logged meanwhile belong to it, and so do spans where traces are sent.
pub async fn within<F: Future>(span: Span, work: F) -> F::Output {
    if IS_FOUND.load(Ordering::Relaxed) && !crate::is_on() {
        SPAN.scope(span, work).await
    } else {
        work.instrument(span).await
    }
}
