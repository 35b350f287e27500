//! What is told about encrypted values.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// Counters of a mailbox.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Values by the key that has encrypted them.
    pub encrypted: Family<KeyLabels, Gauge>,
    /// Values that were to be read and did not open.
    pub unreadable: Counter<u64, AtomicU64>,
}

/// Which key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KeyLabels {
    /// `newest`, `older` or `unknown`.
    pub key: &'static str,
}

impl Counters {
    pub(super) fn count(&self, newest: i64, older: i64, unknown: i64) {
        for (key, count) in [("newest", newest), ("older", older), ("unknown", unknown)] {
            self.encrypted.get_or_create(&KeyLabels { key }).set(count);
        }
    }
}
