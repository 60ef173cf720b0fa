//! What would be sent for a batch, without sending it: for benches and tools.

use bytes::Bytes;
use weir_model::Metrics;

use super::Config;
use super::labels::Rules;
use super::pack::Packer;
use super::translate::Translator;

/// Translates batches one after the other, as an exporter with this configuration does.
#[derive(Debug)]
pub struct Preview {
    translator: Translator,
    packer: Packer,
}

impl Preview {
    /// For a validated configuration.
    pub fn new(config: &Config) -> Self {
        let rules = Rules::new(config, config.is_v2(), false);
        Self {
            translator: Translator::new(rules, false),
            packer: Packer::new(config.batch_bytes()),
        }
    }

    /// The bodies of the requests, compressed with snappy.
    pub fn requests(&mut self, metrics: &Metrics) -> Vec<Bytes> {
        self.translator.begin();
        for points in metrics.slices() {
            self.translator.add(points);
            self.translator.end_request();
        }
        self.translator.finish();
        self.packer.begin();
        std::iter::from_fn(|| self.packer.next(&mut self.translator))
            .map(|packed| packed.body)
            .collect()
    }
}
