//! What was said, for APIs that want all of one speaker together.

use serde_json::{Value, json};

use crate::error::GatewayError;

/// Turns, never two of one speaker in a row.
#[derive(Default)]
pub(in crate::conversion) struct Dialogue(Vec<(&'static str, Vec<Value>)>);

impl Dialogue {
    /// Add what a speaker says; nothing is no turn.
    pub(in crate::conversion) fn say(&mut self, role: &'static str, parts: Vec<Value>) {
        if parts.is_empty() {
            return;
        }
        match self.0.last_mut() {
            // All results of one turn have to come together.
            Some((last, so_far)) if *last == role => so_far.extend(parts),
            _ => self.0.push((role, parts)),
        }
    }

    /// A message a turn, whose parts stand under `field`; an API refuses none at all.
    pub(in crate::conversion) fn into_messages(
        self,
        field: &str,
    ) -> Result<Vec<Value>, GatewayError> {
        if self.0.is_empty() {
            let message = "`messages` hold nothing but instructions: add a message of the user";
            return Err(GatewayError::invalid("messages", message));
        }
        let message = |(role, parts): (&str, Vec<Value>)| json!({"role": role, field: parts});
        Ok(self.0.into_iter().map(message).collect())
    }
}
