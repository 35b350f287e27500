//! A name for every request, the client's own where it sends one.

use axum::extract::Request;
use axum::response::Response;
use http::{HeaderName, HeaderValue};

use crate::types::random_digits;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Longest name that is taken from a client.
const LONGEST: usize = 128;

/// The name of a request.
pub struct RequestId {
    name: String,
    /// For its answer.
    echo: Option<HeaderValue>,
}

impl RequestId {
    /// Name a request.
    pub fn of(request: &Request) -> Self {
        let sent = request.headers().get(&HEADER);
        let name = sent.and_then(sane).unwrap_or_else(random_digits);
        let echo = HeaderValue::from_str(&name).ok();
        Self { name, echo }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name for a header of an answer.
    pub fn echo(&self) -> Option<HeaderValue> {
        self.echo.clone()
    }

    /// Tell the client.
    pub fn tell(self, mut response: Response) -> Response {
        if let Some(echo) = self.echo {
            response.headers_mut().insert(HEADER, echo);
        }
        response
    }
}

/// Names go into logs, so only plain ones are taken over.
fn sane(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let is_plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'/' | b'=')
    };
    (!text.is_empty() && text.len() <= LONGEST && text.bytes().all(is_plain))
        .then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_taken_over() {
        let taken = |text: &str| sane(&HeaderValue::from_str(text).expect("a header")).is_some();
        assert!(taken("trace-1.a:b/c=d_e"));
        assert!(
            !taken("") && !taken("a b") && !taken("{\"forged\":1}") && !taken(&"x".repeat(129))
        );
    }
}
