//! Comparing resource quantities: the API server stores `1000m` as `1`, which is no difference.

/// The value of a quantity in billionths, if the text is one that the API server takes.
pub fn nano(text: &str) -> Option<i128> {
    let digits = text.trim_start_matches(['+', '-']);
    if text.len() - digits.len() > 1 {
        return None;
    }
    let end = digits
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(digits.len());
    let (number, suffix) = digits.split_at(end);
    let value = scale(number, suffix)?;
    Some(if text.starts_with('-') { -value } else { value })
}

/// Whether two texts are one quantity.
pub fn same(left: &str, right: &str) -> bool {
    left == right || matches!((nano(left), nano(right)), (Some(left), Some(right)) if left == right)
}

fn scale(number: &str, suffix: &str) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let mantissa: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let (factor, exponent) = unit(suffix)?;
    let exponent = exponent + 9 - i32::try_from(fraction.len()).ok()?;
    let product = mantissa.checked_mul(factor)?;
    let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
    if exponent >= 0 {
        product.checked_mul(power)
    } else {
        // What is finer than a billionth is rounded up, as the API server does.
        Some(product / power + i128::from(product % power != 0))
    }
}

/// A unit as a factor and a power of ten.
fn unit(suffix: &str) -> Option<(i128, i32)> {
    let binary = |power: u32| Some((1024_i128.pow(power), 0));
    match suffix {
        "" => Some((1, 0)),
        "n" => Some((1, -9)),
        "u" => Some((1, -6)),
        "m" => Some((1, -3)),
        "k" => Some((1, 3)),
        "M" => Some((1, 6)),
        "G" => Some((1, 9)),
        "T" => Some((1, 12)),
        "P" => Some((1, 15)),
        "E" => Some((1, 18)),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        other => {
            let exponent: i32 = other.strip_prefix(['e', 'E'])?.parse().ok()?;
            (-18..=18).contains(&exponent).then_some((1, exponent))
        }
    }
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
