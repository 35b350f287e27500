//! A record as a line, and what holds lines together. Pure.
//!
//! A line ends in its own SHA-256, which covers every byte before it, the hash of the record before included. Bytes are
//! hashed, not meanings, so nobody has to agree on a canonical form of JSON.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Between what is hashed and the hash.
const SEAL: &[u8] = br#","claw.audit.hash":""#;
/// After the hash.
const END: &[u8] = br#""}"#;
const HEX_LENGTH: usize = 64;

/// A SHA-256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Appends lower-case hexadecimal digits.
    pub fn write(self, buffer: &mut Vec<u8>) {
        let mut digits = [0; HEX_LENGTH];
        hex::encode_to_slice(self.0, &mut digits).expect("two digits for each byte");
        buffer.extend_from_slice(&digits);
    }

    /// Lower case only, so that there is one way to write a hash.
    fn parse(hexadecimal: &[u8]) -> Option<Self> {
        let mut bytes = [0; 32];
        if hexadecimal.iter().any(u8::is_ascii_uppercase) {
            return None;
        }
        hex::decode_to_slice(hexadecimal, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(text.as_bytes())
            .ok_or_else(|| serde::de::Error::custom("not 64 hexadecimal digits"))
    }
}

/// A place in a chain: what the next record has to follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The number of the record; 0 is before the first.
    pub sequence: u64,
    /// Its hash; zeros before the first.
    pub hash: Digest,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// No record at all.
    #[error("this is no audit record")]
    NotARecord,
    /// The hash says otherwise.
    #[error("the record was altered: its content has another hash than it says")]
    Altered,
    /// Numbers are left out.
    #[error("records {first} to {last} are missing before this one")]
    Missing {
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// A number comes twice or too late.
    #[error("record {expected} should stand here, not {found}")]
    OutOfOrder {
        /// The number that should be here.
        expected: u64,
        /// The one that is.
        found: u64,
    },
    /// Right number, wrong chain.
    #[error("the record does not follow the one before it: that one was replaced")]
    Foreign,
}

/// A line that is whole in itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) link: Link,
    pub(super) previous: Digest,
}

/// Hash the record that begins at `start`, and end its line. What is there lacks only the closing brace.
pub(super) fn seal(buffer: &mut Vec<u8>, start: usize) -> Digest {
    let hash = Digest::of(&buffer[start..]);
    buffer.extend(SEAL);
    hash.write(buffer);
    buffer.extend(END);
    buffer.push(b'\n');
    hash
}

impl Sealed {
    /// Read a line without its newline.
    pub(super) fn read(line: &[u8]) -> Result<Self, LinkError> {
        #[derive(Deserialize)]
        struct Fields {
            #[serde(rename = "event.sequence")]
            sequence: u64,
            #[serde(rename = "claw.audit.previous")]
            previous: Digest,
        }
        let (content, claimed) = split(line).ok_or(LinkError::NotARecord)?;
        if Digest::of(content) != claimed {
            return Err(LinkError::Altered);
        }
        let Fields { sequence, previous } =
            serde_json::from_slice(line).map_err(|_| LinkError::NotARecord)?;
        Ok(Self {
            link: Link {
                sequence,
                hash: claimed,
            },
            previous,
        })
    }

    /// Whether the record is the one after `before`.
    pub(super) fn follows(&self, before: Link) -> Result<(), LinkError> {
        let expected = before.sequence + 1;
        match self.link.sequence {
            found if found < expected => Err(LinkError::OutOfOrder { expected, found }),
            found if found > expected => Err(LinkError::Missing {
                first: expected,
                last: found - 1,
            }),
            _ if self.previous != before.hash => Err(LinkError::Foreign),
            _ => Ok(()),
        }
    }
}

/// What a line says its hash is, whether it is or not: the record after it was written to follow that one.
pub(super) fn claimed_hash(line: &[u8]) -> Option<Digest> {
    split(line.strip_suffix(b"\n")?).map(|(_, claimed)| claimed)
}

fn split(line: &[u8]) -> Option<(&[u8], Digest)> {
    let rest = line.strip_suffix(END)?;
    let (rest, hash) = rest.split_at_checked(rest.len().checked_sub(HEX_LENGTH)?)?;
    Some((rest.strip_suffix(SEAL)?, Digest::parse(hash)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sequence: u64, previous: Digest) -> Vec<u8> {
        let mut buffer =
            format!(r#"{{"event.sequence":{sequence},"claw.audit.previous":"{previous}""#)
                .into_bytes();
        seal(&mut buffer, 0);
        buffer.pop();
        buffer
    }

    #[test]
    fn a_sealed_line_reads_back() {
        let line = line(7, Digest::of(b"six"));
        let sealed = Sealed::read(&line).expect("whole");
        let before = Link {
            sequence: 6,
            hash: Digest::of(b"six"),
        };
        assert_eq!(sealed.follows(before), Ok(()));
        assert!(serde_json::from_slice::<serde_json::Value>(&line).is_ok());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let line = line(7, Digest::default());
        for index in 0..line.len() {
            for bit in 0..8 {
                let mut altered = line.clone();
                altered[index] ^= 1 << bit;
                assert!(Sealed::read(&altered).is_err(), "byte {index} bit {bit}");
            }
        }
    }

    #[test]
    fn what_does_not_follow_is_told_apart() {
        let sealed = Sealed::read(&line(7, Digest::of(b"six"))).expect("whole");
        let after = |sequence, hash| sealed.follows(Link { sequence, hash });
        assert_eq!(
            after(3, Digest::default()),
            Err(LinkError::Missing { first: 4, last: 6 })
        );
        assert_eq!(
            after(7, Digest::default()),
            Err(LinkError::OutOfOrder {
                expected: 8,
                found: 7
            })
        );
        assert_eq!(after(6, Digest::of(b"other")), Err(LinkError::Foreign));
    }
}
