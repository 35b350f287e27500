//! What local models share: memory, disk, and the way out.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::Quantity;

/// What the local models of one replica share.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.memory) || quantity(string(self.memory)).compareTo(quantity('0')) > 0")
        .message("memory must be positive: give a quantity such as 12Gi"),
    validation = Rule::new("!has(self.disk) || quantity(string(self.disk)).compareTo(quantity('0')) > 0")
        .message("disk must be positive: give a quantity such as 80Gi")
)]
pub struct ModelPool {
    /// Memory for the models that are loaded at one time, e.g. 12Gi: weights and room for conversations. A model that
    /// does not fit beside the others waits until those of load Lazy or Standby that nobody uses are unloaded, and
    /// fails to load where that is not enough. Absent means no limit but that of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,

    /// Disk space for fetched and imported models, e.g. 80Gi. Beyond it, the files that nobody has used for longest
    /// are deleted; files of models that are loaded stay. Absent means four fifths of the storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Quantity>,

    /// Fetch nothing: only files that are there already are used, and a model without them fails to load.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub offline: bool,
}
