//! A field that stands at most once.

use serde::de::{Deserialize, Error as _, MapAccess};

/// A field; a second one of the same name is an error, for only the way by all fields says which one counts.
pub(super) struct Once<T> {
    pub(super) is_there: bool,
    /// Nothing for `null`, too.
    pub(super) value: Option<T>,
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self {
            is_there: false,
            value: None,
        }
    }
}

impl<T> Once<T> {
    /// Read its value, which comes next.
    pub(super) fn read<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error>
    where
        T: Deserialize<'de>,
    {
        if std::mem::replace(&mut self.is_there, true) {
            return Err(A::Error::custom("a field comes twice"));
        }
        self.value = map.next_value()?;
        Ok(())
    }
}
