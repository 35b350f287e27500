//! The credential in a request's headers.

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// Where Anthropic's clients put it.
const API_KEY: &str = "x-api-key";
/// Longer ones are none of ours; a token of the largest identity providers has a few kilobytes.
const LONGEST: usize = 16 << 10;

/// Why there is no credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoCredential {
    Missing,
    Malformed,
}

/// `Authorization: Bearer …`, or `x-api-key` where there is no such header.
pub(super) fn credential(headers: &HeaderMap) -> Result<&str, NoCredential> {
    let text = match (headers.get(AUTHORIZATION), headers.get(API_KEY)) {
        (Some(value), _) => value
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token),
        (None, Some(value)) => value.to_str().ok(),
        (None, None) => return Err(NoCredential::Missing),
    };
    text.map(str::trim)
        .filter(|text| (1..=LONGEST).contains(&text.len()))
        .ok_or(NoCredential::Malformed)
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::none(&[], Err(NoCredential::Missing))]
    #[case::bearer(&[("authorization", "bearer  alpha ")], Ok("alpha"))]
    #[case::api_key(&[("x-api-key", "alpha")], Ok("alpha"))]
    #[case::both(&[("x-api-key", "beta"), ("authorization", "Bearer alpha")], Ok("alpha"))]
    #[case::basic(&[("x-api-key", "beta"), ("authorization", "Basic alpha")], Err(NoCredential::Malformed))]
    #[case::bare(&[("authorization", "alpha")], Err(NoCredential::Malformed))]
    #[case::empty(&[("authorization", "Bearer ")], Err(NoCredential::Malformed))]
    #[case::empty_api_key(&[("x-api-key", "")], Err(NoCredential::Malformed))]
    fn where_it_is_found(
        #[case] headers: &[(&'static str, &str)],
        #[case] expected: Result<&str, NoCredential>,
    ) {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    value.parse().expect("a value"),
                )
            })
            .collect();
        assert_eq!(credential(&headers), expected);
    }

    #[test]
    fn a_huge_one_is_none() {
        let value = format!("Bearer {}", "a".repeat(LONGEST + 1));
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().expect("a value"))]);
        assert_eq!(credential(&headers), Err(NoCredential::Malformed));
    }
}
