//! A chat completion request taken apart, for dialects that say the same in other words. Pure.

pub(super) mod content;
pub(super) mod data_url;
pub(super) mod demands;
pub(super) mod dialogue;
pub(super) mod fields;
pub(super) mod tools;
pub(super) mod turns;

#[cfg(test)]
pub(super) mod arbitrary;
