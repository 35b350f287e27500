//! Who is answered on a channel.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who is answered. Nobody is, unless it is said here.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.direct != 'AllowList' || has(self.allowFrom)")
    .message("direct: AllowList needs allowFrom; say who may write, or set direct: Open"))]
pub struct Access {
    /// Direct messages: Open answers everyone, AllowList those in allowFrom, Disabled nobody.
    #[serde(default)]
    pub direct: Direct,

    /// Who an allow list admits. Telegram: numeric user ids, @usernames, and numeric ids of groups. WebSocket:
    /// names of API keys, as `<secret>/<entry>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000), inner(length(min = 1, max = 512)))]
    pub allow_from: Option<Vec<String>>,

    /// Group messages: Disabled ignores them, MentionOnly answers those that mention, command or reply to the
    /// bot, All answers each. The sender or the group must be in allowFrom, unless direct is Open.
    #[serde(default)]
    pub groups: Groups,
}

/// Rule for direct messages.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direct {
    /// Everyone is answered.
    Open,
    /// Those in allowFrom are answered.
    #[default]
    AllowList,
    /// Nobody is answered.
    Disabled,
}

/// Rule for group messages.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Groups {
    /// Groups are ignored.
    #[default]
    Disabled,
    /// Answered when the bot is mentioned, commanded or replied to.
    MentionOnly,
    /// Every message is answered.
    All,
}
