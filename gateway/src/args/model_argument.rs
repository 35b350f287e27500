//! `--model NAME=PATH_OR_URL`.

use std::path::PathBuf;
use std::str::FromStr;

/// A model named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelArgument {
    /// The name that clients use.
    pub name: String,
    /// What answers.
    pub target: ModelTarget,
}

/// What answers for a model named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelTarget {
    /// A GGUF file or an imported directory; made absolute.
    Path(PathBuf),
    /// Base URL of an OpenAI-compatible API that knows the model by the same name.
    Url(String),
}

/// A `--model` that means nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidModelArgument {
    /// No `=`.
    #[error("{0:?} is not of the form NAME=PATH_OR_URL, for example smollm2=models/smollm2")]
    Form(String),
    /// A URL that is none.
    #[error("model {name}: {url:?} is not an http(s) URL such as https://api.example.com/v1")]
    Url {
        /// The model.
        name: String,
        /// The value.
        url: String,
    },
    /// The working directory is gone.
    #[error("model {name}: the path {path:?} cannot be made absolute: give an absolute one")]
    Path {
        /// The model.
        name: String,
        /// The value.
        path: String,
    },
}

impl FromStr for ModelArgument {
    type Err = InvalidModelArgument;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((name, target)) = text
            .split_once('=')
            .filter(|(name, target)| !name.is_empty() && !target.is_empty())
        else {
            return Err(InvalidModelArgument::Form(text.to_owned()));
        };
        let name = name.to_owned();
        if !target.contains("://") {
            return match std::path::absolute(target) {
                Ok(path) => Ok(Self {
                    name,
                    target: ModelTarget::Path(path),
                }),
                Err(_) => Err(InvalidModelArgument::Path {
                    name,
                    path: target.to_owned(),
                }),
            };
        }
        match url::Url::parse(target) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Self {
                name,
                target: ModelTarget::Url(target.trim_end_matches('/').to_owned()),
            }),
            _ => Err(InvalidModelArgument::Url {
                name,
                url: target.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_urls_are_told_apart() {
        let parse = |text: &str| text.parse::<ModelArgument>().expect("valid").target;
        assert_eq!(
            parse("a=https://api.example.com/v1/"),
            ModelTarget::Url("https://api.example.com/v1".into())
        );
        assert_eq!(
            parse("a=/models/tiny"),
            ModelTarget::Path("/models/tiny".into())
        );
        let ModelTarget::Path(path) = parse("a=tiny") else {
            panic!("a path")
        };
        assert!(path.is_absolute() && path.ends_with("tiny"));
    }

    #[test]
    fn what_means_nothing_is_refused_with_an_example() {
        let refused = |text: &str| {
            text.parse::<ModelArgument>()
                .expect_err("invalid")
                .to_string()
        };
        assert!(refused("tiny").contains("NAME=PATH_OR_URL"));
        assert!(refused("=x").contains("NAME=PATH_OR_URL"));
        assert!(refused("a=ftp://host/v1").contains("\"ftp://host/v1\" is not an http(s) URL"));
    }
}
