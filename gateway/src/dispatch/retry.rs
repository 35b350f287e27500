//! Whether and when a model that failed is asked again.

mod budget;

use std::time::Duration;

use claw_crds::gateway_config::RetriesConfig;
use http::StatusCode;

pub(super) use budget::Repetition;
pub use budget::RetryBudget;

use crate::error::GatewayError;

/// Whether the same model may do better a moment later.
///
/// These are the failures after which the official OpenAI and Anthropic clients try again (connections, 408, 409, 429,
/// 5xx) and Envoy does with `5xx`, `reset`, `connect-failure` and `retriable-4xx`, but for three kinds: statuses that
/// cannot heal (501, 505), answers that make no sense, and time limits. An API that was silent for all of the time that one
/// try has would take as much once more; the next model gets it instead.
pub(super) fn can_heal(error: &GatewayError) -> bool {
    match error {
        GatewayError::UpstreamUnreachable { .. }
        | GatewayError::UpstreamInterrupted { .. }
        | GatewayError::UpstreamRateLimited { .. }
        | GatewayError::Overloaded { .. } => true,
        GatewayError::UpstreamStatus { status, .. } => match *status {
            StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED => false,
            StatusCode::REQUEST_TIMEOUT => true,
            status => status.is_server_error(),
        },
        GatewayError::UpstreamRejected { status, .. } => *status == StatusCode::CONFLICT,
        _ => false,
    }
}

/// How long to wait before the repetition of this number, from 0: between half of the backoff and all of it, or for as
/// long as the model asks. `None` where it asks for more than the longest pause.
pub(super) fn pause(
    config: &RetriesConfig,
    number: u32,
    wish: Option<Duration>,
    random: f64,
) -> Option<Duration> {
    let longest = Duration::from_millis(config.max_backoff_ms);
    let backoff = Duration::from_millis(config.backoff_ms)
        .saturating_mul(1 << number.min(20))
        .min(longest);
    let jittered = backoff.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
    match wish {
        Some(wish) if wish > longest => None,
        Some(wish) => Some(wish.max(jittered)),
        None => Some(jittered),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::error::ErrorDetail;

    fn status(code: u16) -> GatewayError {
        GatewayError::UpstreamStatus {
            model: "far".into(),
            status: StatusCode::from_u16(code).expect("a status"),
        }
    }

    #[rstest]
    #[case(401, false)]
    #[case(404, false)]
    #[case(408, true)]
    #[case(500, true)]
    #[case(501, false)]
    #[case(503, true)]
    #[case(505, false)]
    #[case(529, true)]
    fn a_status_that_can_heal_is_worth_another_try(#[case] code: u16, #[case] expected: bool) {
        assert_eq!(can_heal(&status(code)), expected);
    }

    #[test]
    fn of_refusals_only_a_conflict_is() {
        let refused = |status| GatewayError::UpstreamRejected {
            status,
            detail: ErrorDetail {
                message: "no".into(),
                kind: String::new(),
                param: None,
                code: None,
            },
        };
        assert!(can_heal(&refused(StatusCode::CONFLICT)));
        assert!(!can_heal(&refused(StatusCode::UNPROCESSABLE_ENTITY)));
    }

    #[test]
    fn silence_and_nonsense_are_not() {
        let model = || "far".to_owned();
        let silence = GatewayError::UpstreamTimeout {
            model: model(),
            awaited: "token",
            limit: Duration::from_secs(1),
        };
        let nonsense = GatewayError::UpstreamMalformed {
            model: model(),
            what: "no chat completion",
        };
        assert!(!can_heal(&silence) && !can_heal(&nonsense));
        assert!(can_heal(&GatewayError::UpstreamInterrupted {
            model: model()
        }));
    }

    const CONFIG: RetriesConfig = RetriesConfig {
        attempts: 5,
        backoff_ms: 100,
        max_backoff_ms: 500,
    };

    #[rstest]
    #[case::half(0, None, 0.0, Some(50))]
    #[case::all(0, None, 1.0, Some(100))]
    #[case::twice(1, None, 1.0, Some(200))]
    #[case::longest(9, None, 1.0, Some(500))]
    #[case::far_beyond(60, None, 1.0, Some(500))]
    #[case::wish(0, Some(300), 1.0, Some(300))]
    #[case::short_wish(0, Some(1), 1.0, Some(100))]
    #[case::long_wish(0, Some(501), 1.0, None)]
    fn pauses_double_up_to_the_longest(
        #[case] number: u32,
        #[case] wish: Option<u64>,
        #[case] random: f64,
        #[case] expected: Option<u64>,
    ) {
        let told = pause(&CONFIG, number, wish.map(Duration::from_millis), random);
        assert_eq!(told, expected.map(Duration::from_millis));
    }
}
