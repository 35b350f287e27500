//! Where a model is, in one word.

use std::str::FromStr;

/// Where a model is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceArgument {
    /// A file behind a URL.
    Http(String),
    /// A repository of the hub.
    HuggingFace {
        /// `<owner>/<name>`.
        repo: String,
        /// Commit, tag or branch.
        revision: String,
    },
    /// What is in a bucket.
    S3 {
        /// The bucket.
        bucket: String,
        /// An object, or a folder with a slash at the end.
        key: String,
    },
    /// An artifact.
    Oci {
        /// Host and port.
        host: String,
        /// The repository within it.
        repository: String,
        /// A tag, or a digest.
        reference: String,
    },
}

/// A source that means nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is none of hf://OWNER/NAME[@REVISION], s3://BUCKET/KEY, oci://REGISTRY/REPOSITORY:TAG and the URL of a file"
)]
pub struct InvalidSourceArgument(String);

impl FromStr for SourceArgument {
    type Err = InvalidSourceArgument;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| {
            // A URL may hold a password.
            let shown = text.split(['?', '@']).next().unwrap_or_default();
            InvalidSourceArgument(shown.to_owned())
        })
    }
}

fn parse(text: &str) -> Option<SourceArgument> {
    let (scheme, rest) = text.split_once("://")?;
    let (head, tail) = rest
        .split_once('/')
        .filter(|(head, tail)| !head.is_empty() && !tail.is_empty())?;
    match scheme {
        "http" | "https" => Some(SourceArgument::Http(text.to_owned())),
        "hf" => {
            let (repo, revision) = rest.split_once('@').unwrap_or((rest, "main"));
            (!revision.is_empty()).then(|| SourceArgument::HuggingFace {
                repo: repo.to_owned(),
                revision: revision.to_owned(),
            })
        }
        "s3" => Some(SourceArgument::S3 {
            bucket: head.to_owned(),
            key: tail.to_owned(),
        }),
        "oci" => {
            let (name, digest) = match tail.split_once('@') {
                Some((name, digest)) => (name, Some(digest)),
                None => (tail, None),
            };
            let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
            Some(SourceArgument::Oci {
                host: head.to_owned(),
                repository: repository.to_owned(),
                reference: digest.unwrap_or(tag).to_owned(),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_apart() {
        let parse = |text: &str| text.parse::<SourceArgument>().expect("valid");
        assert_eq!(
            parse("hf://team/model@v1"),
            SourceArgument::HuggingFace {
                repo: "team/model".into(),
                revision: "v1".into()
            }
        );
        assert_eq!(
            parse("s3://models/a/b/"),
            SourceArgument::S3 {
                bucket: "models".into(),
                key: "a/b/".into()
            }
        );
        assert_eq!(
            parse("oci://r.example:5000/a/b:q8"),
            SourceArgument::Oci {
                host: "r.example:5000".into(),
                repository: "a/b".into(),
                reference: "q8".into()
            }
        );
        assert_eq!(
            parse("https://h/m.gguf"),
            SourceArgument::Http("https://h/m.gguf".into())
        );
    }

    #[test]
    fn what_means_nothing_is_refused_without_what_may_be_secret() {
        let refused = |text: &str| {
            text.parse::<SourceArgument>()
                .expect_err("invalid")
                .to_string()
        };
        assert!(refused("model").contains("hf://OWNER/NAME"));
        assert!(refused("s3://bucket").contains("s3://bucket"));
        assert!(!refused("ftp://me:s3cret@host").contains("@host"));
    }
}
