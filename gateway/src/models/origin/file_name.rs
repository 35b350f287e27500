//! Names of files, as strangers give them.

/// Longer paths are refused by file systems.
const LONGEST: usize = 1024;
/// So are longer parts of them.
const LONGEST_PART: usize = 200;

/// Whether a name stays within a folder on every file system: relative, without `..`, and without characters that mean
/// something else.
pub fn is_safe(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST
        && name.split('/').all(|part| {
            !matches!(part, "" | "." | "..")
                && part.len() <= LONGEST_PART
                && !part
                    .chars()
                    .any(|c| c.is_control() || matches!(c, '\\' | ':'))
        })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("model.gguf")]
    #[case("onnx/model.onnx.data")]
    #[case(".hidden/a b")]
    fn names_within_a_folder_are_safe(#[case] name: &str) {
        assert!(is_safe(name));
    }

    #[rstest]
    #[case("")]
    #[case("/etc/passwd")]
    #[case("a/../../b")]
    #[case("..")]
    #[case("a//b")]
    #[case("a/./b")]
    #[case("a\\..\\b")]
    #[case("c:/b")]
    #[case("a\nb")]
    fn names_that_lead_elsewhere_are_not(#[case] name: &str) {
        assert!(!is_safe(name));
    }
}
