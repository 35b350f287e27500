//! Comparing resource quantities: the API server stores `1000m` as `1`, which is no difference.

pub use claw_crds::quantity::nano;

/// Whether two texts are one quantity.
pub fn same(left: &str, right: &str) -> bool {
    left == right || matches!((nano(left), nano(right)), (Some(left), Some(right)) if left == right)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1000m", "1")]
    #[case("0.5", "500m")]
    #[case(".5", "500m")]
    #[case("1024Mi", "1Gi")]
    #[case("1.5Gi", "1536Mi")]
    #[case("1e3", "1k")]
    #[case("2E3", "2000")]
    #[case("1E", "1e18")]
    #[case("+2", "2")]
    fn two_spellings_of_one_quantity_are_the_same(#[case] left: &str, #[case] right: &str) {
        assert!(same(left, right));
    }

    #[rstest]
    #[case("1", "1k")]
    #[case("1G", "1Gi")]
    #[case("-1", "1")]
    #[case("", "0")]
    #[case("1..5", "1.5")]
    #[case("1Zi", "1")]
    #[case("--1", "-1")]
    fn other_quantities_and_what_is_none_differ(#[case] left: &str, #[case] right: &str) {
        assert!(!same(left, right));
    }
}
