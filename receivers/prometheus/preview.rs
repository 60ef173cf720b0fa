//! Pages without a network.

use std::sync::Arc;

use weir_model::{Interner, Point};
use weir_prom::exposition::TextFormat;
use weir_prom::exposition::protobuf::HistogramForms;

use super::SCOPE;
use super::series::{DiscoveredAttributes, Page, PageRules, SeriesRules, TargetSeries};

/// Turns the pages of one target, with default rules, into points as the receiver does; for benches
/// and tools.
#[derive(Debug)]
pub struct PageReader {
    series: TargetSeries,
}

impl PageReader {
    /// A reader for a target with this `instance`.
    #[must_use]
    pub fn new(interner: Arc<Interner>, instance: &str) -> Self {
        let scope = (SCOPE.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        let rules = PageRules {
            series: SeriesRules {
                scope,
                ..SeriesRules::default()
            },
            honor_timestamps: true,
            track_timestamps_staleness: false,
            forms: HistogramForms::default(),
            native_buckets: 0,
            max_schema: 8,
        };
        let labels = [("job", "bench"), ("instance", instance)]
            .into_iter()
            .collect();
        let discovered = DiscoveredAttributes::default();
        let series = TargetSeries::new(Arc::new(rules), interner, labels, discovered, 1);
        Self { series }
    }

    /// Points of a page in the Prometheus text format, scraped at `time_ms` (Unix milliseconds).
    ///
    /// # Errors
    /// Why the page is refused.
    pub fn text(&mut self, body: &[u8], time_ms: i64) -> Result<Vec<Point>, String> {
        let mut points = self.series.points();
        let page = Page::Text(TextFormat::Prometheus, body);
        let outcome = self.series.page(page, time_ms, time_ms, &mut points);
        outcome
            .error
            .map_or(Ok(points), |error| Err(error.to_string()))
    }

    /// Bytes of the series cache, without the series themselves.
    #[must_use]
    pub fn cache_bytes(&self) -> usize {
        self.series.cache_bytes()
    }
}
