//! What nobody may find where it does not belong: each is planted in one place.

/// The beginning of all of them, so that a part of one is found as well.
pub(super) const MARK: &str = "planted-";

pub(super) const CALLER: &str = "planted-key-of-a-caller-0123456789";
pub(super) const NARROW: &str = "planted-key-for-little-0123456789";
pub(super) const LIMITED: &str = "planted-key-for-once-0123456789";
pub(super) const STRANGER: &str = "planted-key-of-nobody-0123456789";
pub(super) const PASSWORD: &str = "planted-password";
pub(super) const OPAQUE: &str = "planted-token-of-nobody";
pub(super) const COOKIE: &str = "planted-cookie";
pub(super) const IN_QUERY: &str = "planted-in-a-query";
pub(super) const IN_CLAIM: &str = "planted-in-a-claim";
pub(super) const PROVIDER: &str = "planted-key-of-the-provider";
pub(super) const OTHER_PROVIDER: &str = "planted-second-key-of-the-provider";
pub(super) const OAUTH: &str = "planted-secret-of-the-gateway";
pub(super) const SINK: &str = "planted-token-of-the-sink";
pub(super) const COLLECTOR: &str = "planted-token-of-the-collector";
pub(super) const BOT: &str = "110201543:planted-token-of-the-bot";
pub(super) const WEBHOOK: &str = "planted-secret-of-the-webhook";
pub(super) const SIGNATURE: &str = "planted-signature-of-a-download";
/// What was asked, which only `audit.content: Full` may show.
pub(super) const PROMPT: &str = "planted-prompt of the pilgrim";
/// What was answered; the same holds.
pub(super) const ANSWER: &str = "planted-answer of the oracle";
