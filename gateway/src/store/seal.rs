//! What is sensitive is sealed before it reaches the database: AES-256-GCM, with a nonce of its own for each value, and
//! the place where it belongs as associated data, so that a value that is moved to another row does not open.
//!
//! The first key seals, all of them open. A key's name is made from the key, so it cannot be mixed up.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claw_crds::gateway_config::Redacted;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 32;
/// Bytes of the digest that names a key: enough to tell a handful apart, and nothing to find the key by.
const NAME_BYTES: usize = 8;

/// Why there is nothing to seal with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not one key.
    #[error("there is no key to encrypt with")]
    None,
    /// It is not a key.
    #[error("key {place} is not 32 bytes in base64: make one by `openssl rand -base64 32`")]
    Malformed {
        /// Which one, from 0.
        place: usize,
    },
}

/// Why a value stays closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Its key is not among ours.
    #[error("none of the keys has encrypted it")]
    UnknownKey,
    /// It was changed, cut off, or moved.
    #[error("it is not what was encrypted at this place")]
    Broken,
}

/// Why a value cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// There is no nonce.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// It is far larger than anything that belongs into a database.
    #[error("the value is too large to be encrypted")]
    TooLarge,
}

/// A value as the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The name of the key that opens it.
    pub key: String,
    /// Nonce, encrypted value and tag, in base64.
    pub content: String,
}

/// Where a value belongs: table, column, and the columns that identify the row.
#[derive(Clone, Copy, Debug)]
pub struct Cell<'a> {
    /// The table and the column.
    pub column: &'static str,
    /// The values of the primary key.
    pub row: &'a [&'a str],
}

/// Keys that seal and open.
pub struct Vault {
    keys: Vec<Key>,
}

struct Key {
    name: String,
    key: LessSafeKey,
}

impl Vault {
    /// With these keys, newest first.
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a Redacted>) -> Result<Self, KeyError> {
        let keys = keys
            .into_iter()
            .enumerate()
            .map(|(place, text)| Key::parse(text).ok_or(KeyError::Malformed { place }))
            .collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(KeyError::None);
        }
        Ok(Self { keys })
    }

    /// The name of the key that seals.
    pub fn newest(&self) -> &str {
        &self.keys[0].name
    }

    /// The names of all keys, newest first.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.keys.iter().map(|key| key.name.as_str())
    }

    /// Seal a value for its place.
    pub fn seal(&self, cell: Cell<'_>, value: &[u8]) -> Result<Sealed, SealError> {
        let Key { name, key } = &self.keys[0];
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new()
            .fill(&mut nonce)
            .map_err(|_| SealError::NoRandomness)?;
        let mut content = Vec::with_capacity(NONCE_LEN + value.len() + AES_256_GCM.tag_len());
        content.extend_from_slice(&nonce);
        content.extend_from_slice(value);
        let tag = key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                cell.bytes(name),
                &mut content[NONCE_LEN..],
            )
            .map_err(|_| SealError::TooLarge)?;
        content.extend_from_slice(tag.as_ref());
        Ok(Sealed {
            key: name.clone(),
            content: STANDARD.encode(content),
        })
    }

    /// Open a value of its place.
    pub fn open(&self, cell: Cell<'_>, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let known = self.keys.iter().find(|known| known.name == sealed.key);
        let Key { name, key } = known.ok_or(OpenError::UnknownKey)?;
        let mut content = STANDARD
            .decode(&sealed.content)
            .map(Zeroizing::new)
            .map_err(|_| OpenError::Broken)?;
        let (nonce, rest) = content
            .split_first_chunk_mut::<NONCE_LEN>()
            .ok_or(OpenError::Broken)?;
        let opened = key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), cell.bytes(name), rest)
            .map_err(|_| OpenError::Broken)?;
        Ok(Zeroizing::new(opened.to_vec()))
    }
}

/// Without the keys.
impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.keys.iter().map(|key| &key.name).collect();
        f.debug_struct("Vault").field("keys", &names).finish()
    }
}

impl Key {
    fn parse(text: &Redacted) -> Option<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(text.expose()).ok()?);
        if bytes.len() != KEY_BYTES {
            return None;
        }
        let mut digest = Sha256::new();
        digest.update(b"claw state key\0");
        digest.update(&*bytes);
        Some(Self {
            name: hex::encode(&digest.finalize()[..NAME_BYTES]),
            key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &bytes).ok()?),
        })
    }
}

impl Cell<'_> {
    /// Each part with its length before it, so that no two places give the same bytes.
    fn bytes(&self, key: &str) -> Aad<Vec<u8>> {
        let mut bytes = Vec::new();
        for part in [self.column, key].iter().chain(self.row) {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        Aad::from(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert_eq, proptest};
    use rstest::rstest;

    use super::*;

    fn key(byte: u8) -> Redacted {
        Redacted::new(STANDARD.encode([byte; KEY_BYTES]))
    }

    fn vault(keys: &[u8]) -> Vault {
        Vault::new(&keys.iter().map(|byte| key(*byte)).collect::<Vec<_>>()).expect("keys")
    }

    const HERE: Cell<'_> = Cell {
        column: "conversation.content",
        row: &["shop/helpdesk", "desk/1", "42"],
    };

    #[test]
    fn the_first_key_seals_and_all_open() {
        let old = vault(&[1]).seal(HERE, b"hello").expect("sealed");
        let both = vault(&[2, 1]);
        assert_eq!(**both.open(HERE, &old).expect("opens"), *b"hello");
        let new = both.seal(HERE, b"hello").expect("sealed");
        assert_eq!(new.key, both.newest());
        assert_ne!(new.key, old.key);
        assert_eq!(vault(&[1]).open(HERE, &new), Err(OpenError::UnknownKey));
    }

    #[test]
    fn no_two_values_look_alike() {
        let vault = vault(&[1]);
        let seal = || vault.seal(HERE, b"hello").expect("sealed").content;
        assert_ne!(seal(), seal());
        let bytes = STANDARD.decode(seal()).expect("base64");
        assert!(!bytes.windows(5).any(|window| window == b"hello"));
    }

    #[rstest]
    #[case::another_row(Cell { row: &["shop/helpdesk", "desk/1", "43"], ..HERE })]
    #[case::another_column(Cell { column: "channel_message.content", ..HERE })]
    #[case::parts_that_are_cut_elsewhere(Cell { row: &["shop/helpdesk", "desk/", "142"], ..HERE })]
    fn a_value_that_is_moved_does_not_open(#[case] elsewhere: Cell<'_>) {
        let vault = vault(&[1]);
        let sealed = vault.seal(HERE, b"hello").expect("sealed");
        assert_eq!(vault.open(elsewhere, &sealed), Err(OpenError::Broken));
    }

    #[test]
    fn a_value_that_is_changed_anywhere_does_not_open() {
        let vault = vault(&[1]);
        let sealed = vault.seal(HERE, b"hello").expect("sealed");
        let bytes = STANDARD.decode(&sealed.content).expect("base64");
        for place in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[place] ^= 1;
            let changed = Sealed {
                content: STANDARD.encode(bytes),
                ..sealed.clone()
            };
            assert_eq!(vault.open(HERE, &changed), Err(OpenError::Broken));
        }
        for content in ["", "AAAA", "not base64"] {
            let changed = Sealed {
                content: content.into(),
                ..sealed.clone()
            };
            assert_eq!(vault.open(HERE, &changed), Err(OpenError::Broken));
        }
    }

    #[test]
    fn what_is_no_key_is_refused_without_its_value() {
        let short = Redacted::new(STANDARD.encode([7; 31]));
        let error = Vault::new([&key(1), &short]).expect_err("too short");
        assert_eq!(error, KeyError::Malformed { place: 1 });
        assert_eq!(Vault::new([]).expect_err("none"), KeyError::None);
        assert!(!error.to_string().contains(short.expose()));
        assert!(!format!("{:?}", vault(&[1])).contains(key(1).expose()));
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens(value in prop::collection::vec(any::<u8>(), 0..2000), row in ".{0,40}") {
            let vault = vault(&[1]);
            let place = Cell { column: "x", row: &[&row] };
            let sealed = vault.seal(place, &value).expect("sealed");
            prop_assert_eq!(&**vault.open(place, &sealed).expect("opens"), &value);
        }
    }
}
