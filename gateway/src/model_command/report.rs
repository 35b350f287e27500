//! What a quantization costs: measured against the same model in 32-bit floats, printed, and kept with the model.

use std::path::Path;

use claw_inference::model_dir::ModelDir;
use claw_inference::quality::{self, Quality};
use claw_inference::{Quantization, runtime};

use super::{import_into, progress_bar, say};
use crate::args::Weights;
use crate::config::chain;
use crate::exit::Failure;

/// Measures the directory at `target`, which was imported from `source`.
pub(super) fn report(source: &Path, target: &Path) -> Result<(), Failure> {
    runtime::init(None).map_err(|error| Failure::Data(chain(&error)))?;
    let mut model = ModelDir::open(target).map_err(|error| Failure::Data(chain(&error)))?;
    // Beside the target, where there is room for models; removed when this ends.
    let parent = target.parent().filter(|parent| *parent != Path::new(""));
    let folder = tempfile::Builder::new()
        .prefix(".clawdbot-report-")
        .tempdir_in(parent.unwrap_or_else(|| Path::new(".")))
        .map_err(|error| {
            Failure::Io(format!(
                "no room for 32-bit weights beside {}: {error}",
                target.display()
            ))
        })?;
    let reference = folder.path().join("reference");
    import_into(source, &reference, Weights::None)?;
    let reference = ModelDir::open(&reference).map_err(|error| Failure::Data(chain(&error)))?;
    let bar = progress_bar();
    bar.set_message("measuring");
    let mut progress = |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    };
    let measured = quality::measure(&reference, &model, None, &mut progress);
    bar.finish_and_clear();
    let quality = measured.map_err(|error| Failure::Data(chain(&error)))?;
    say(&describe(model.manifest().quantization, &quality))?;
    model
        .record_quality(quality)
        .map_err(|error| Failure::Io(chain(&error)))
}

fn describe(quantization: Quantization, quality: &Quality) -> String {
    let Quality {
        tokens,
        perplexity,
        reference_perplexity,
        divergence,
        agreement,
    } = quality;
    format!(
        "{quantization} against 32-bit weights, over {tokens} tokens of English text:\n\
         perplexity        {perplexity:.3}, with 32-bit weights {reference_perplexity:.3} ({:+.2} %)\n\
         divergence        {divergence:.4} nats a token\n\
         same first choice {:.1} %",
        (perplexity / reference_perplexity - 1.0) * 100.0,
        agreement * 100.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_the_numbers_are() {
        let quality = Quality {
            tokens: 470,
            perplexity: 12.5,
            reference_perplexity: 12.0,
            divergence: 0.01234,
            agreement: 0.931,
        };
        let text = describe(Quantization::Int4, &quality);
        assert_eq!(
            text,
            "Int4 against 32-bit weights, over 470 tokens of English text:\n\
             perplexity        12.500, with 32-bit weights 12.000 (+4.17 %)\n\
             divergence        0.0123 nats a token\n\
             same first choice 93.1 %"
        );
    }
}
