//! Address ranges that users give.

use ipnet::IpNet;

/// A range such as 10.0.0.0/8; the error says what is wrong.
pub(super) fn parse(text: &str) -> Result<IpNet, String> {
    let range: IpNet = text
        .parse()
        .map_err(|_| "it is not an address with the length of its prefix".to_owned())?;
    if range.addr() == range.network() {
        Ok(range)
    } else {
        // Which one is meant, the host or the network, is not ours to guess.
        Err(format!(
            "the address has bits beyond the prefix; the range is {}",
            range.trunc()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_range_is_told() {
        assert!(
            parse("10.0.0.0/8").is_ok()
                && parse("fd00::/8").is_ok()
                && parse("10.0.0.1/32").is_ok()
        );
        for wrong in ["10.0.0.0", "10.0.0.0/33", "fd00::/129", "ten/8", ""] {
            assert!(parse(wrong).expect_err(wrong).contains("not an address"));
        }
        assert!(
            parse("10.0.0.1/8")
                .expect_err("a host")
                .contains("10.0.0.0/8")
        );
    }
}
