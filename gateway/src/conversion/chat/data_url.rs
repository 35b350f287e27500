//! Content within a URL: `data:image/png;base64,…` (<https://www.rfc-editor.org/rfc/rfc2397>).

/// The media type and the Base64 text; nothing where the URL is of another kind.
pub(in crate::conversion) fn data_url(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let head = head.strip_suffix(";base64")?;
    let media_type = head.split(';').next().unwrap_or_default();
    (media_type.contains('/') && !data.is_empty()).then_some((media_type, data))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::image("data:image/png;base64,QUJD", Some(("image/png", "QUJD")))]
    #[case::parameter("data:text/plain;charset=utf-8;base64,QUJD", Some(("text/plain", "QUJD")))]
    #[case::not_base64("data:text/plain,hello", None)]
    #[case::no_type("data:;base64,QUJD", None)]
    #[case::empty("data:image/png;base64,", None)]
    #[case::elsewhere("https://host/x.png", None)]
    fn only_base64_of_a_known_type_is_taken(
        #[case] url: &str,
        #[case] expected: Option<(&str, &str)>,
    ) {
        assert_eq!(data_url(url), expected);
    }
}
