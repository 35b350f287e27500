//! Why a token admits nobody.

use std::borrow::Cow;

/// Why a token admits nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// It is no signed token, or wants something that is not understood.
    Malformed,
    /// Nobody whom we know has issued it.
    Issuer,
    /// Its algorithm, key or signature is not accepted.
    Signature,
    /// Its issuer has not published the key it names, or not yet.
    UnknownKey,
    /// Its issuer does not know it, or not any more.
    Inactive,
    /// It was valid once.
    Expired,
    /// It will be valid.
    NotYet,
    /// It is for somebody else.
    Audience,
    /// This claim is absent, or says something else than is required.
    Claim(Box<str>),
}

impl TokenFault {
    /// A word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed => "token_malformed",
            Self::Issuer => "token_issuer",
            Self::Signature => "token_signature",
            Self::UnknownKey => "token_unknown_key",
            Self::Inactive => "token_inactive",
            Self::Expired => "token_expired",
            Self::NotYet => "token_not_yet",
            Self::Audience => "token_audience",
            Self::Claim(_) => "token_claim",
        }
    }

    /// For the caller. What it tells of the configuration is told to holders of genuine tokens only.
    pub fn message(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Malformed => "the token is not a signed JSON Web Token",
            Self::Issuer => "the token's issuer is not accepted by this gateway",
            Self::Signature => "the token's signature, key or algorithm is not accepted",
            Self::UnknownKey => {
                "the token's issuer has not published the key that signed it: retry in 10 seconds if it is new"
            }
            Self::Inactive => "the token is not active: get a new one",
            Self::Expired => "the token has expired: get a new one",
            Self::NotYet => "the token is not valid yet: are the clocks right?",
            Self::Audience => "the token is for another audience",
            Self::Claim(claim) => {
                return format!(
                    "the token's claim `{claim}` is absent or not what this gateway requires"
                )
                .into();
            }
        })
    }

    /// Whether somebody may be guessing. New keys reach callers before they reach us, and nobody guesses one.
    pub(super) fn is_guess(&self) -> bool {
        match self {
            Self::Malformed | Self::Issuer | Self::Signature | Self::Inactive => true,
            Self::UnknownKey | Self::Expired | Self::NotYet | Self::Audience | Self::Claim(_) => {
                false
            }
        }
    }
}
