//! One file from elsewhere, whole and checked, or not at all. What came before an interruption is kept, and the rest is
//! asked for.

mod error;
mod partial;

use std::path::Path;
use std::time::Duration;

use futures::StreamExt as _;
use http::StatusCode;
use http::header::{CONTENT_RANGE, ETAG, IF_RANGE, RANGE};

use super::origin::{Origin, OriginError, RemoteFile};
pub use error::FetchError;
use partial::Partial;
pub(super) use partial::free_space;

/// So much stays free, in bytes: a download must not take the room that others keep their state in.
pub(super) const RESERVE: u64 = 16 << 20;
/// How often it is tried again while nothing comes. Each byte begins the count anew.
const MOST_TRIES: u32 = 4;
/// Pause before the second try; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// A file that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Lower-case hexadecimal SHA-256.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

/// Fetch a file to `target`, whose folder exists. What is there already is taken for its beginning. `progress` hears the
/// bytes that are there and, where they are known, the bytes in all.
///
/// After an error that may pass, or when the future is dropped, the beginning stays for another time.
pub async fn fetch(
    origin: &dyn Origin,
    file: &RemoteFile,
    target: &Path,
    progress: &mut (dyn FnMut(u64, Option<u64>) + Send),
) -> Result<Fetched, FetchError> {
    let mut partial = Partial::open(target).await?;
    let (mut tries, mut was_started_over) = (0, false);
    loop {
        let before = partial.received();
        let resumed = before > 0;
        let outcome = once(origin, file, &mut partial, progress).await;
        match outcome {
            Ok(()) => {
                let fetched = partial.close().await?;
                match checked(file, fetched) {
                    Ok(fetched) => return Ok(fetched),
                    // The beginning may be of another file: once more, from nothing.
                    Err(_) if resumed && !was_started_over => {
                        was_started_over = true;
                        partial = Partial::open(target).await?;
                        partial.start_over().await?;
                    }
                    Err(error) => {
                        partial::remove(target).await;
                        return Err(error);
                    }
                }
            }
            Err(error) => {
                partial.flush().await?;
                tries = if partial.received() > before {
                    1
                } else {
                    tries + 1
                };
                if error.is_lasting() || tries >= MOST_TRIES {
                    return Err(error);
                }
                tracing::warn!(
                    file = file.name,
                    bytes = partial.received(),
                    error = crate::config::chain(&error),
                    "a download was interrupted and goes on"
                );
                tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(tries - 1)).await;
            }
        }
    }
}

/// What has come, if it is what was meant.
fn checked(file: &RemoteFile, fetched: Fetched) -> Result<Fetched, FetchError> {
    match &file.sha256 {
        Some(expected) if *expected != fetched.sha256 => Err(FetchError::Checksum {
            file: file.name.clone(),
            expected: expected.clone(),
            actual: fetched.sha256,
        }),
        Some(_) | None => Ok(fetched),
    }
}

/// One request, and as much of its answer as comes.
async fn once(
    origin: &dyn Origin,
    file: &RemoteFile,
    partial: &mut Partial,
    progress: &mut (dyn FnMut(u64, Option<u64>) + Send),
) -> Result<(), FetchError> {
    if file.size.is_some_and(|size| partial.received() > size) {
        partial.start_over().await?;
    }
    if partial.received() > 0 && file.size == Some(partial.received()) {
        progress(partial.received(), file.size);
        return Ok(());
    }
    let response = ask(origin, file, partial).await?;
    let left = response.content_length();
    let total = file
        .size
        .or_else(|| left.map(|left| partial.received() + left));
    if let Some(total) = total {
        partial.check_room(&file.name, total)?;
    }
    progress(partial.received(), total);
    let mut body = response.bytes_stream();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|source| interrupted(file, partial.received(), Some(source)))?;
        partial.write(&chunk).await?;
        progress(partial.received(), total);
        if total.is_some_and(|total| partial.received() > total) {
            // Of another file, or of another version.
            partial.start_over().await?;
            return Err(interrupted(file, 0, None));
        }
    }
    match total {
        Some(total) if partial.received() < total => {
            Err(interrupted(file, partial.received(), None))
        }
        Some(_) | None => Ok(()),
    }
}

fn interrupted(file: &RemoteFile, received: u64, source: Option<reqwest::Error>) -> FetchError {
    FetchError::Interrupted {
        file: file.name.clone(),
        received,
        source: source.map(reqwest::Error::without_url),
    }
}

/// The answer with what is missing: from the beginning where the origin does not continue.
async fn ask(
    origin: &dyn Origin,
    file: &RemoteFile,
    partial: &mut Partial,
) -> Result<reqwest::Response, FetchError> {
    // Without anything that tells versions apart, a beginning may be of another one.
    let tag = partial.tag().map(str::to_owned);
    if partial.received() > 0 && tag.is_none() && file.sha256.is_none() && file.version.is_empty() {
        partial.start_over().await?;
    }
    let mut request = origin.request(file).await?;
    if partial.received() > 0 {
        request = request.header(RANGE, format!("bytes={}-", partial.received()));
        if let Some(tag) = &tag {
            request = request.header(IF_RANGE, tag);
        }
    }
    let at = origin.identity();
    let response = request
        .send()
        .await
        .map_err(|error| OriginError::of_request(&at, error))?;
    let status = response.status();
    let continues = status == StatusCode::PARTIAL_CONTENT
        && begins_at(&response).is_some_and(|begin| begin == partial.received());
    if status == StatusCode::RANGE_NOT_SATISFIABLE
        || (status == StatusCode::PARTIAL_CONTENT && !continues)
    {
        partial.start_over().await?;
        return Err(interrupted(file, 0, None));
    }
    if !status.is_success() {
        return Err(FetchError::Status {
            file: file.name.clone(),
            at,
            status,
        });
    }
    if !continues {
        partial.start_over().await?;
        let tag = response.headers().get(ETAG);
        // A weak one says that bytes may differ.
        let tag = tag
            .and_then(|tag| tag.to_str().ok())
            .filter(|tag| tag.starts_with('"'));
        partial.set_tag(tag).await?;
    }
    Ok(response)
}

/// Where a part begins: `bytes 5-9/10`.
fn begins_at(response: &reqwest::Response) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    let (begin, _) = range.strip_prefix("bytes ")?.split_once('-')?;
    begin.trim().parse().ok()
}
