//! The trace that a caller is in, for the APIs that are called in its name, where this process sends no traces.

use http::HeaderMap;

tokio::task_local! {
    static TRACE: HeaderMap;
}

/// Work on a request whose caller named this trace.
pub async fn within<F: Future>(trace: Option<HeaderMap>, work: F) -> F::Output {
    match trace {
        Some(trace) => TRACE.scope(trace, work).await,
        None => work.await,
    }
}

/// Name it to an API.
pub fn pass_on(headers: &mut HeaderMap) {
    // Outside of requests there is none, and most callers name none.
    let _ = TRACE.try_with(|trace| headers.extend(trace.clone()));
}
