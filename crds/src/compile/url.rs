//! URLs that users give.

use url::Url;

use super::problem::{ObjectRef, Problem};

const REMEDY: &str = "give an absolute URL such as https://api.example.com/v1";

/// An absolute HTTP(S) URL without credentials or fragment. `without_credentials` says where else those can go.
pub(super) fn check_url(
    object: &ObjectRef,
    field: &str,
    value: &str,
    without_credentials: &str,
) -> Result<Url, Problem> {
    let invalid = |message: String| Problem::invalid(object, field, message, REMEDY);
    let url = Url::parse(value).map_err(|error| {
        let problem = invalid(error.to_string());
        // What cannot be taken apart may hold a secret.
        if value.contains('@') {
            problem
        } else {
            problem.with_value(shown(value))
        }
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        // The value itself holds the secret, so it must not be repeated.
        let message = "the URL carries credentials, which end up in logs";
        return Err(Problem::invalid(
            object,
            field,
            message,
            without_credentials,
        ));
    }
    if !matches!(url.scheme(), "http" | "https") {
        let message = format!("the scheme {:?} is not supported", url.scheme());
        return Err(invalid(message).with_value(shown(value)));
    }
    if url.fragment().is_some() {
        let message = "the URL has a fragment, which is never sent".to_owned();
        return Err(invalid(message).with_value(shown(value)));
    }
    Ok(url)
}

/// Without its query, which may hold a key or a signature.
pub(super) fn shown(url: &str) -> &str {
    url.split_once('?').map_or(url, |(url, _)| url)
}

/// The same without a query: paths are appended to it.
pub(super) fn check_base_url(
    object: &ObjectRef,
    field: &str,
    value: &str,
    without_credentials: &str,
) -> Result<Url, Problem> {
    let url = check_url(object, field, value, without_credentials)?;
    if url.query().is_none() {
        return Ok(url);
    }
    // A query may hold a key.
    let message = "a base URL has no query, since paths are appended to it";
    Err(Problem::invalid(
        object,
        field,
        message,
        "leave out what follows the ?",
    ))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn told(value: &str) -> String {
        let object = ObjectRef {
            kind: "ClawGateway".to_owned(),
            name: "desk".to_owned(),
        };
        check_base_url(&object, "spec.url", value, "use a Secret")
            .expect_err("refused")
            .to_string()
    }

    #[rstest]
    #[case::relative("api/v1", "\"api/v1\": relative URL without a base")]
    #[case::scheme("ftp://host/v1", "\"ftp://host/v1\": the scheme \"ftp\"")]
    #[case::fragment("https://host/v1#x", "has a fragment")]
    #[case::query("https://host/v1?api-version=1", "has no query")]
    #[case::credentials(
        "https://me:s3cret@host/v1",
        "carries credentials, which end up in logs; use a Secret"
    )]
    fn what_cannot_work_is_told(#[case] value: &str, #[case] expected: &str) {
        let told = told(value);
        assert!(told.contains(expected), "{told}");
    }

    #[rstest]
    #[case::parsed("https://me:s3cret@host/v1")]
    #[case::not_parsed("https://me:s3cret@host:port/v1")]
    #[case::in_the_query("https://host/v1?key=s3cret")]
    #[case::with_a_scheme_of_its_own("ftp://host/v1?key=s3cret")]
    #[case::with_a_fragment("https://host/v1?key=s3cret#top")]
    #[case::not_parsed_and_in_the_query("https://[host?key=s3cret")]
    fn a_secret_in_a_url_is_not_repeated(#[case] value: &str) {
        assert!(!told(value).contains("s3cret"), "{}", told(value));
    }
}
