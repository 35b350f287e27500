//! What names are made of that nobody else has.

/// A version 4 UUID as 32 hexadecimal digits. From a generator of this thread, which asks the system only now and then:
/// every request has such a name.
pub fn random_digits() -> String {
    let uuid = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    uuid.simple().to_string()
}
