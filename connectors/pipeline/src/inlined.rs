//! The config of a step with all that it names inside: tables of files, the detector of a document, the bound of an
//! alert rule. A stage sees nothing but its config.

use crate::detectors::{self, Detectors};
use crate::tables;
use crate::thresholds::{self, Rules};
use perfstream_core::Issue;

/// What a pipeline has that its steps may name.
#[derive(Debug, Clone, Copy)]
pub struct Named<'p> {
    /// The file that paths begin beside
    pub file: &'p str,
    /// Detectors of the files
    pub detectors: &'p Detectors,
    /// Alert rules of the pipeline
    pub rules: &'p Rules,
}

impl Named<'_> {
    /// The whole config of a step of `stage`; an issue says what is named and not there.
    pub fn inline(&self, stage: &str, config: String) -> Result<String, Issue> {
        let config = tables::inline(&config, self.file)?.unwrap_or(config);
        let config = detectors::inline(stage, &config, self.detectors)?.unwrap_or(config);
        Ok(thresholds::inline(stage, &config, self.rules)?.unwrap_or(config))
    }
}
