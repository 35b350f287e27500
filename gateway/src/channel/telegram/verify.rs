//! Whether a webhook call comes from Telegram: the secret given to `setWebhook` comes back in a header.
//!
//! Pure, and looked at before a single byte of the body is parsed.

use claw_crds::gateway_config::Redacted;
use http::HeaderMap;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The header that carries the secret.
pub(crate) const SECRET_HEADER: &str = "x-telegram-bot-api-secret-token";

/// Whether the call carries the secret, exactly once.
///
/// Digests are compared, so neither the content nor the length of the secret shows in the time it takes. An empty
/// secret matches nothing.
pub(crate) fn is_genuine(headers: &HeaderMap, secret: &Redacted) -> bool {
    let mut presented = headers.get_all(SECRET_HEADER).iter();
    let (Some(value), None) = (presented.next(), presented.next()) else {
        return false;
    };
    let equal = Sha256::digest(value.as_bytes()).ct_eq(&Sha256::digest(secret.expose()));
    bool::from(equal) && !secret.expose().is_empty()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::right("s3cret", &["s3cret"], true)]
    #[case::missing("s3cret", &[], false)]
    #[case::wrong("s3cret", &["s3creT"], false)]
    #[case::prefix("s3cret", &["s3cre"], false)]
    #[case::longer("s3cret", &["s3cret "], false)]
    #[case::twice("s3cret", &["s3cret", "s3cret"], false)]
    #[case::right_and_wrong("s3cret", &["s3cret", "x"], false)]
    #[case::empty_secret_matches_nothing("", &[""], false)]
    fn only_the_one_right_secret_is_genuine(
        #[case] secret: &str,
        #[case] sent: &[&'static str],
        #[case] genuine: bool,
    ) {
        let mut headers = HeaderMap::new();
        for value in sent {
            headers.append(SECRET_HEADER, HeaderValue::from_static(value));
        }
        assert_eq!(is_genuine(&headers, &Redacted::new(secret)), genuine);
    }
}
