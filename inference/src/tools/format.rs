//! How a model writes the calls that it makes: what it was trained on, as its chat template tells.

/// A way to write calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToolFormat {
    /// `<tool_call>{"name": …, "arguments": {…}}</tool_call>` among text, once for each call: Hermes, Qwen, SmolLM.
    Hermes,
    /// `{"name": …, "parameters": {…}}` in place of text, calls separated by `; `, perhaps after `<|python_tag|>`:
    /// Llama 3.
    Llama,
    /// `[TOOL_CALLS][{"name": …, "arguments": {…}}]` in place of text: Mistral.
    Mistral,
    /// `{"tool_calls": [{"name": …, "arguments": {…}}]}` in place of text: what models without a way of their own are
    /// asked for in words.
    Plain,
}

impl ToolFormat {
    /// What a chat template was written for, unless it knows no tools.
    pub(crate) fn of_template(source: &str, knows_tools: bool) -> Self {
        if !knows_tools {
            return Self::Plain;
        }
        let has = |text: &str| source.contains(text);
        if has("<tool_call>") {
            Self::Hermes
        } else if has("[TOOL_CALLS]") {
            Self::Mistral
        } else if has("<|python_tag|>") || has("\"parameters\":") {
            Self::Llama
        } else {
            Self::Plain
        }
    }

    /// What the arguments are called.
    pub(super) fn arguments(self) -> &'static str {
        match self {
            Self::Llama => "parameters",
            Self::Hermes | Self::Mistral | Self::Plain => "arguments",
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("{% if tools %}<tool_call>{% endif %}", true, ToolFormat::Hermes)]
    #[case("{% if tools %}[TOOL_CALLS]{% endif %}", true, ToolFormat::Mistral)]
    #[case("{% if tools %}<|python_tag|>{% endif %}", true, ToolFormat::Llama)]
    #[case(
        r#"{% if tools %}{"name": x, "parameters": y}{% endif %}"#,
        true,
        ToolFormat::Llama
    )]
    #[case("{% if tools %}{% endif %}", true, ToolFormat::Plain)]
    #[case("<tool_call>", false, ToolFormat::Plain)]
    fn a_template_tells_its_models_way(
        #[case] source: &str,
        #[case] knows_tools: bool,
        #[case] expected: ToolFormat,
    ) {
        assert_eq!(ToolFormat::of_template(source, knows_tools), expected);
    }
}
