//! Headers that a rule asks for.

use claw_crds::gateway_config::{HeaderMatchConfig, ValueMatchConfig};
use http::{HeaderMap, HeaderName, HeaderValue};
use regex::bytes::{Regex, RegexBuilder};

use super::table::PATTERN_SIZE_LIMIT;

/// One header that a request must have.
#[derive(Debug)]
pub(super) struct HeaderMatch {
    name: HeaderName,
    value: ValueMatch,
}

#[derive(Debug)]
enum ValueMatch {
    Exact(Vec<u8>),
    RegularExpression(Regex),
}

/// Why a header cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidHeader {
    #[error("no header is called that")]
    Name(#[source] http::header::InvalidHeaderName),
    #[error("its value is no regular expression this gateway can use")]
    Expression(#[source] regex::Error),
}

impl HeaderMatch {
    pub(super) fn compile(config: &HeaderMatchConfig) -> Result<Self, InvalidHeader> {
        let name = HeaderName::from_bytes(config.name.as_bytes()).map_err(InvalidHeader::Name)?;
        let value = match &config.value {
            ValueMatchConfig::Exact(value) => ValueMatch::Exact(value.as_bytes().to_vec()),
            ValueMatchConfig::RegularExpression(expression) => {
                let regex = RegexBuilder::new(expression)
                    .size_limit(PATTERN_SIZE_LIMIT)
                    .build();
                ValueMatch::RegularExpression(regex.map_err(InvalidHeader::Expression)?)
            }
        };
        Ok(Self { name, value })
    }

    pub(super) fn name(&self) -> &str {
        self.name.as_str()
    }

    pub(super) fn is_in(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(&self.name).iter();
        match (values.next(), values.next()) {
            (None, _) => false,
            (Some(value), None) => self.value.fits(value.as_bytes()),
            // As one value (RFC 9110, 5.3): who adds a second one cannot claim what only one may say.
            (Some(first), Some(second)) => {
                let all: Vec<&[u8]> = [first, second]
                    .into_iter()
                    .chain(values)
                    .map(HeaderValue::as_bytes)
                    .collect();
                self.value.fits(&all.join(&b','))
            }
        }
    }
}

impl ValueMatch {
    fn fits(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(expected) => expected == value,
            Self::RegularExpression(regex) => regex.is_match(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        let tier = HeaderName::from_static("x-tier");
        let values = values.iter().copied().map(HeaderValue::from_static);
        values.fold(HeaderMap::new(), |mut headers, value| {
            headers.append(tier.clone(), value);
            headers
        })
    }

    fn matches(value: ValueMatchConfig, sent: &[&'static str]) -> bool {
        let config = HeaderMatchConfig {
            name: "x-tier".into(),
            value,
        };
        let compiled = HeaderMatch::compile(&config).expect("compiles");
        compiled.is_in(&headers(sent))
    }

    #[rstest]
    #[case("gold", &["gold"], true)]
    #[case("gold", &["Gold"], false)]
    #[case("gold", &["golden"], false)]
    #[case("gold", &[], false)]
    #[case("gold", &["iron", "gold"], false)]
    #[case("iron,gold", &["iron", "gold"], true)]
    fn an_exact_value_is_the_whole_one(
        #[case] expected: &str,
        #[case] sent: &[&'static str],
        #[case] fits: bool,
    ) {
        assert_eq!(
            matches(ValueMatchConfig::Exact(expected.into()), sent),
            fits
        );
    }

    #[rstest]
    #[case("^(gold|iron)$", &["iron"], true)]
    #[case("^(gold|iron)$", &["irony"], false)]
    #[case("iron", &["irony"], true)]
    #[case("", &[], false)]
    fn an_expression_is_searched(
        #[case] expression: &str,
        #[case] sent: &[&'static str],
        #[case] fits: bool,
    ) {
        let value = ValueMatchConfig::RegularExpression(expression.into());
        assert_eq!(matches(value, sent), fits);
    }
}
