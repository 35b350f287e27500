//! What callers are told of their limits, in the headers of OpenAI's API.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::book::Standing;

/// What is left of requests and of tokens: of each the limit of which least is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateHeaders {
    /// Requests.
    pub requests: Option<Standing>,
    /// Tokens.
    pub tokens: Option<Standing>,
    /// The time of the standings, in milliseconds.
    pub now: i64,
}

impl RateHeaders {
    /// Write them.
    pub fn write(&self, headers: &mut HeaderMap) {
        let names = [
            (
                self.requests,
                "x-ratelimit-limit-requests",
                "x-ratelimit-remaining-requests",
                "x-ratelimit-reset-requests",
            ),
            (
                self.tokens,
                "x-ratelimit-limit-tokens",
                "x-ratelimit-remaining-tokens",
                "x-ratelimit-reset-tokens",
            ),
        ];
        for (standing, limit, remaining, reset) in names {
            let Some(standing) = standing else { continue };
            headers.insert(HeaderName::from_static(limit), standing.limit.into());
            headers.insert(
                HeaderName::from_static(remaining),
                standing.remaining.into(),
            );
            if let Ok(value) = HeaderValue::from_str(&duration(standing.ends_at - self.now)) {
                headers.insert(HeaderName::from_static(reset), value);
            }
        }
    }
}

/// As OpenAI writes it: `6m0s`, `1s`, `120ms`.
fn duration(milliseconds: i64) -> String {
    let milliseconds = milliseconds.max(0);
    if milliseconds < 1000 {
        return format!("{milliseconds}ms");
    }
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let minutes = match (hours, minutes) {
        (0, 0) => String::new(),
        (0, minutes) => format!("{minutes}m"),
        (hours, minutes) => format!("{hours}h{minutes}m"),
    };
    let fraction = format!("{rest:03}");
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{minutes}{}{point}{fraction}s", seconds % 60)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(-5, "0ms")]
    #[case(120, "120ms")]
    #[case(1000, "1s")]
    #[case(8640, "8.64s")]
    #[case(72_172, "1m12.172s")]
    #[case(360_000, "6m0s")]
    #[case(2 * 3_600_000, "2h0m0s")]
    fn a_duration_reads_as_openai_writes_it(#[case] milliseconds: i64, #[case] expected: &str) {
        assert_eq!(duration(milliseconds), expected);
    }

    #[test]
    fn only_what_is_limited_is_told() {
        let mut headers = HeaderMap::new();
        let tokens = Standing {
            limit: 100,
            remaining: 40,
            ends_at: 61_000,
        };
        RateHeaders {
            tokens: Some(tokens),
            requests: None,
            now: 1000,
        }
        .write(&mut headers);
        assert_eq!(headers.len(), 3);
        assert_eq!(headers["x-ratelimit-limit-tokens"], "100");
        assert_eq!(headers["x-ratelimit-remaining-tokens"], "40");
        assert_eq!(headers["x-ratelimit-reset-tokens"], "1m0s");
    }
}
