//! A server of files for tests: with ranges and `ETag`s, and with the faults that servers have.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_RANGE, RANGE};
use http::{HeaderMap, StatusCode};
use tokio::task::JoinSet;

/// What is served, and what was asked.
#[derive(Default)]
pub(crate) struct Files {
    contents: HashMap<String, Vec<u8>>,
    /// How many bytes of the next answers come before the connection breaks.
    cuts: Vec<usize>,
    /// `Range` of each request for a file, or nothing.
    pub(crate) asked: Vec<Option<String>>,
    ignores_ranges: bool,
}

/// A server on a port of its own, until it is dropped.
pub(crate) struct FileServer {
    pub(crate) url: String,
    pub(crate) state: Arc<Mutex<Files>>,
    _tasks: JoinSet<()>,
}

impl FileServer {
    pub(crate) async fn start(files: &[(&str, &[u8])]) -> Self {
        let files = files
            .iter()
            .map(|(path, content)| ((*path).to_owned(), content.to_vec()));
        let state = Arc::new(Mutex::new(Files {
            contents: files.collect(),
            ..Files::default()
        }));
        let router = Router::new().fallback(serve).with_state(Arc::clone(&state));
        let (url, tasks) = spawn(router).await;
        Self {
            url,
            state,
            _tasks: tasks,
        }
    }

    /// Break the next connections after so many bytes.
    pub(crate) fn cut(&self, after: &[usize]) {
        self.state.lock().expect("whole").cuts = after.to_vec();
    }

    pub(crate) fn ignore_ranges(&self) {
        self.state.lock().expect("whole").ignores_ranges = true;
    }

    pub(crate) fn asked(&self) -> Vec<Option<String>> {
        self.state.lock().expect("whole").asked.clone()
    }
}

/// Serve a router on a port of its own.
pub(crate) async fn spawn(router: Router) -> (String, JoinSet<()>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).await.expect("serves") });
    (url, tasks)
}

async fn serve(State(state): State<Arc<Mutex<Files>>>, request: Request) -> Response {
    let mut state = state.lock().expect("whole");
    let Some(content) = state.contents.get(request.uri().path()).cloned() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let range = header(request.headers(), RANGE.as_str());
    state.asked.push(range.clone());
    let tag = format!("\"{}\"", hex::encode(&content[..content.len().min(8)]));
    let is_same = header(request.headers(), IF_RANGE.as_str()).is_none_or(|wanted| wanted == tag);
    let begin = range
        .filter(|_| is_same && !state.ignores_ranges)
        .and_then(|range| {
            range
                .strip_prefix("bytes=")?
                .strip_suffix('-')?
                .parse()
                .ok()
        });
    let cut = (!state.cuts.is_empty()).then(|| state.cuts.remove(0));
    drop(state);
    answer(&content, begin, cut, &tag)
}

/// A file, or the rest of it.
pub(crate) fn answer(
    content: &[u8],
    begin: Option<usize>,
    cut: Option<usize>,
    tag: &str,
) -> Response {
    let from = begin.unwrap_or(0);
    if from > content.len() {
        return StatusCode::RANGE_NOT_SATISFIABLE.into_response();
    }
    let rest = &content[from..];
    let sent = &rest[..cut.unwrap_or(rest.len()).min(rest.len())];
    let sent = Ok(Bytes::copy_from_slice(sent));
    let end = futures::stream::once(async {
        // What came before goes out first.
        tokio::task::yield_now().await;
        Err(std::io::Error::other("cut"))
    });
    let parts = futures::stream::once(std::future::ready(sent));
    let body = match cut {
        Some(_) => Body::from_stream(parts.chain(end)),
        None => Body::from_stream(parts),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, rest.len().into());
    headers.insert(ETAG, tag.parse().expect("a tag"));
    if begin.is_some() {
        let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
        headers.insert(CONTENT_RANGE, range.parse().expect("a range"));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

pub(crate) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}
