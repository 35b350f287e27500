//! `--model-task NAME=TASK`.

use std::str::FromStr;

use claw_crds::gateway_config::TaskConfig;

/// What a model named on the command line does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskArgument {
    /// The model.
    pub name: String,
    /// What it does.
    pub task: TaskConfig,
}

/// A `--model-task` that means nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not of the form NAME=TASK, with one of the tasks Chat, Summarize, Embed and Rerank"
)]
pub struct InvalidTaskArgument(String);

impl FromStr for TaskArgument {
    type Err = InvalidTaskArgument;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = [
            TaskConfig::Chat,
            TaskConfig::Summarize,
            TaskConfig::Embed,
            TaskConfig::Rerank,
        ];
        let read = || {
            let (name, task) = text.split_once('=')?;
            let task = known.into_iter().find(|known| known.as_str() == task)?;
            (!name.is_empty()).then(|| Self {
                name: name.to_owned(),
                task,
            })
        };
        read().ok_or_else(|| InvalidTaskArgument(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_task_are_read_and_nothing_else() {
        let expected = TaskArgument {
            name: "a:b".into(),
            task: TaskConfig::Embed,
        };
        assert_eq!("a:b=Embed".parse(), Ok(expected));
        for wrong in ["a", "=Embed", "a=embed", "a=", "a=Dream"] {
            assert!(wrong.parse::<TaskArgument>().is_err(), "{wrong}");
        }
    }
}
