//! Short answers of origins: asked for, and read whole.

use http::StatusCode;

use super::OriginError;

/// Lists of files are some hundred kilobytes at most; more is not read.
const MOST_BYTES: usize = 8 << 20;

/// The answer to a request, whatever its status.
pub(super) async fn send(
    at: &str,
    request: reqwest::RequestBuilder,
) -> Result<reqwest::Response, OriginError> {
    let sent = request.send().await;
    sent.map_err(|error| OriginError::of_request(at, error))
}

/// The whole body of a good answer.
pub(super) async fn read(
    at: &str,
    mut response: reqwest::Response,
) -> Result<Vec<u8>, OriginError> {
    let status = response.status();
    if !status.is_success() {
        return Err(refused(at, status));
    }
    let mut body = Vec::new();
    while let Some(part) = response
        .chunk()
        .await
        .map_err(|error| OriginError::of_request(at, error))?
    {
        if body.len() + part.len() > MOST_BYTES {
            return Err(OriginError::malformed(
                at,
                format!("the answer is larger than {MOST_BYTES} bytes"),
            ));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

pub(super) fn refused(at: &str, status: StatusCode) -> OriginError {
    OriginError::Refused {
        at: at.to_owned(),
        status,
        remedy: remedy(status),
    }
}

/// What to do about a status.
fn remedy(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "give a valid credential in the source of the model",
        StatusCode::FORBIDDEN => {
            "give a credential that may read it; a gated repository also wants its terms accepted on its page"
        }
        StatusCode::NOT_FOUND => {
            "check the names in the source of the model; what is private looks like this without a credential"
        }
        StatusCode::TOO_MANY_REQUESTS => "it limits the rate of requests, and is asked again later",
        status if status.is_redirection() => {
            "it redirects to where no credential may be sent; give its own address"
        }
        _ => "see what its own log says",
    }
}
