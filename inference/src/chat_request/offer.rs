//! The tools of a request.

use super::{ChatRequest, InvalidField, invalid};
use crate::tools::{MAX_TOOLS, Tool, ToolChoice};

const MAX_NAME_BYTES: usize = 64;

impl ChatRequest {
    pub(super) fn validate_tools(&self) -> Result<(), InvalidField> {
        if self.tools.len() > MAX_TOOLS {
            let problem = format!(
                "has {} tools, and {MAX_TOOLS} are the most",
                self.tools.len()
            );
            return Err(invalid("tools", problem));
        }
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
        for (tool, place) in self.tools.iter().zip(0..) {
            let name = &tool.name;
            if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.chars().all(is_letter) {
                let problem = format!(
                    "has the name {name:?}, but a name has 1 to {MAX_NAME_BYTES} letters, digits, _, - and ."
                );
                return Err(invalid("tools", problem));
            }
            if self.tools[..place]
                .iter()
                .any(|before| before.name == *name)
            {
                return Err(invalid(
                    "tools",
                    format!("has two tools with the name {name:?}"),
                ));
            }
        }
        match &self.tool_choice {
            ToolChoice::Required if self.tools.is_empty() => Err(invalid(
                "tool_choice",
                "is required, but there are no tools",
            )),
            ToolChoice::Auto | ToolChoice::None | ToolChoice::Required => Ok(()),
            ToolChoice::Named(name) => {
                if self.tools.iter().any(|tool| tool.name == *name) {
                    return Ok(());
                }
                Err(invalid(
                    "tool_choice",
                    format!("names {name:?}, which is none of the tools"),
                ))
            }
        }
    }

    /// The tools that the model is told of.
    pub fn offered_tools(&self) -> &[Tool] {
        match self.tool_choice {
            ToolChoice::None => &[],
            ToolChoice::Auto | ToolChoice::Required | ToolChoice::Named(_) => &self.tools,
        }
    }
}
