//! Reads a page as the receiver would and says what is wrong with it and what is in it
//! (`weir scrape check`).

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use weir_core::{Clock, SystemClock};
use weir_model::{Interner, Ledger, PointValue};
use weir_prom::exposition::protobuf::{
    Family, HistogramForms, NativeSample, ProtoError, ProtoSample, ProtoSeries, ProtoVisitor,
    read_families,
};
use weir_prom::exposition::{
    Block, MediaType, MetadataEntry, MetricType, Scanner, Step, TextFormat, media_type,
};
use weir_prom::labels::{LabelSet, METRIC_NAME};

use super::SCOPE;
use super::client::Fetcher;
use super::config::{Global, JobRules, ScrapeConfig};
use super::series::{DiscoveredAttributes, Page, TargetSeries};

/// So many problems are listed; the others are counted.
const MOST_PROBLEMS: usize = 20;
/// So many metrics and label sets are listed.
const MOST_LISTED: usize = 10;
/// How much of a series is shown.
const SHOWN: usize = 100;

/// A page and how to read it.
#[derive(Debug, Clone)]
pub struct FetchedPage {
    body: Bytes,
    kind: MediaType,
}

impl FetchedPage {
    /// Scrapes a URL with the default settings of a job.
    ///
    /// # Errors
    /// Why there is no page.
    pub async fn scrape(url: &str, timeout: Duration) -> Result<Self, String> {
        let uri = crate::discovery::client::http_url(url)
            .ok_or_else(|| format!("`{url}` is not an http(s) URL with a host"))?;
        let agent = concat!("weir/", env!("CARGO_PKG_VERSION"));
        let rules = rules()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let fetcher = Fetcher::new(&rules, agent, &clock, &Ledger::new(usize::MAX))
            .map_err(|error| error.to_string())?;
        let fetched = fetcher.fetch(&uri, timeout).await;
        let fetched = fetched.map_err(|error| error.to_string())?;
        Ok(Self {
            body: fetched.body,
            kind: fetched.kind,
        })
    }

    /// A body of which the content type is known, or guessed from its end: OpenMetrics ends with
    /// `# EOF`.
    ///
    /// # Errors
    /// A content type that is none of the formats.
    pub fn of_body(body: Bytes, content_type: Option<&str>) -> Result<Self, String> {
        let kind = match content_type {
            Some(text) => media_type(Some(text))
                .ok_or_else(|| format!("`{text}` is not a content type of an exposition"))?,
            None if body.trim_ascii_end().ends_with(b"# EOF") => MediaType::OpenMetricsText,
            None => MediaType::PrometheusText,
        };
        Ok(Self { body, kind })
    }

    /// Reads the page. `now_ms` is the time of the scrape, in Unix milliseconds.
    ///
    /// # Errors
    /// Only if the default settings cannot be used.
    pub fn check(&self, now_ms: i64) -> Result<PageReport, String> {
        let mut survey = Survey::default();
        let format = match self.kind {
            MediaType::PrometheusText => {
                survey.text(TextFormat::Prometheus, &self.body);
                "Prometheus text"
            }
            MediaType::OpenMetricsText => {
                survey.text(TextFormat::OpenMetrics, &self.body);
                "OpenMetrics text"
            }
            MediaType::Protobuf => {
                let forms = HistogramForms {
                    native: true,
                    classic_too: false,
                };
                if let Err(error) = read_families(&self.body, forms, &mut survey) {
                    survey.problem(None, error.to_string());
                }
                "protobuf"
            }
        };
        self.read_as_receiver(now_ms, &mut survey)?;
        Ok(survey.report(format, self.body.len()))
    }

    /// What only the receiver itself sees: samples that it leaves out, and anything that the survey
    /// has not found.
    fn read_as_receiver(&self, now_ms: i64, survey: &mut Survey) -> Result<(), String> {
        let labels = [("job", "check"), ("instance", "check")].into_iter();
        let mut series = TargetSeries::new(
            Arc::clone(&rules()?.page),
            Arc::new(Interner::default()),
            labels.collect(),
            DiscoveredAttributes::default(),
            1,
        );
        let page = match self.kind {
            MediaType::PrometheusText => Page::Text(TextFormat::Prometheus, &self.body),
            MediaType::OpenMetricsText => Page::Text(TextFormat::OpenMetrics, &self.body),
            MediaType::Protobuf => Page::Protobuf(&self.body),
        };
        let mut points = Vec::new();
        let outcome = series.page(page, now_ms, now_ms, &mut points);
        if let Some(error) = outcome.error
            && survey.problems.is_empty()
        {
            survey.problem(None, error.to_string());
        }
        let left_out = outcome.left_out;
        for (count, what) in [
            (left_out.ahead, "with a time more than ten minutes ahead"),
            (
                left_out.other_time,
                "with another time than the rest of their histogram or summary",
            ),
            (left_out.unusable, "without a usable `le` or `quantile`"),
            (left_out.invalid, "of histograms with a bucket that holds no number"),
        ] {
            if count > 0 {
                survey.problem(None, format!("{count} samples are left out: {what}"));
            }
        }
        let falling = points.iter().filter(|point| falls(&point.value)).count();
        if falling > 0 {
            survey.problem(None, format!("the buckets of {falling} histograms fall: a wider bucket counts less than a narrower one"));
        }
        Ok(())
    }
}

/// The rules of a job without keys.
fn rules() -> Result<JobRules, String> {
    let scope = (SCOPE.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let job = ScrapeConfig {
        job_name: "check".to_owned(),
        ..ScrapeConfig::default()
    };
    JobRules::new(&Global::default(), &job, false, scope).map_err(|error| error.to_string())
}

/// What was found so far.
#[derive(Default)]
struct Survey {
    lines: u64,
    samples: u64,
    types: HashMap<String, MetricType>,
    metrics: BTreeMap<String, u64>,
    /// Line of the first sample of each series.
    seen: HashMap<Vec<u8>, u64>,
    widest: Vec<Wide>,
    problems: Vec<Problem>,
    more_problems: u64,
    labels: LabelSet,
}

impl Survey {
    fn problem(&mut self, line: Option<u64>, text: String) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(Problem { line, text });
        } else {
            self.more_problems += 1;
        }
    }

    /// Reads a text page. After a line that fails a scrape it goes on with the next one, to find
    /// the others as well.
    fn text(&mut self, format: TextFormat, body: &[u8]) {
        let (mut start, mut lines_before) = (0, 0);
        while let Some(rest) = body.get(start..) {
            let Some(bad_line) = self.piece(format, rest, lines_before) else {
                break;
            };
            let skipped = usize::try_from(bad_line - lines_before).unwrap_or(usize::MAX);
            let ends = memchr::memchr_iter(b'\n', rest);
            match ends.take(skipped).last() {
                // The last line of all: nothing follows.
                Some(end) if start + end + 1 < body.len() => {
                    start += end + 1;
                    lines_before = bad_line;
                }
                _ => break,
            }
        }
        let last = body.last().is_some_and(|byte| *byte != b'\n');
        self.lines = memchr::memchr_iter(b'\n', body).count() as u64 + u64::from(last);
    }

    /// Reads on until a line fails; its number.
    fn piece(&mut self, format: TextFormat, body: &[u8], lines_before: u64) -> Option<u64> {
        let mut scanner = Scanner::new(format);
        let mut block = Block::new(body, true);
        let (mut line, mut done) = (lines_before, 0);
        loop {
            let step = match scanner.step(&mut block, &()) {
                Ok(step) => step,
                Err(error) => {
                    let at = lines_before + error.line;
                    self.problem(Some(at), format!("{} in {:?}", error.reason, error.excerpt));
                    return Some(at);
                }
            };
            let read = body.get(done..block.consumed()).unwrap_or_default();
            line += memchr::memchr_iter(b'\n', read).count() as u64;
            done = block.consumed();
            match step {
                Step::Sample(sample) => {
                    self.samples += 1;
                    let mut labels = std::mem::take(&mut self.labels);
                    match scanner.labels_into(sample.series, &mut labels) {
                        Ok(()) => self.sample(sample.series, &labels, line),
                        Err(error) => {
                            self.problem(Some(line), format!("{error} in {}", shown(sample.series)));
                        }
                    }
                    self.labels = labels;
                }
                Step::Metadata(metadata) => {
                    if let Some(MetadataEntry::Type(name, kind)) = metadata.entry {
                        self.types.insert(name.to_owned(), kind);
                    }
                }
                Step::End | Step::NeedMore => return None,
            }
        }
    }

    fn sample(&mut self, series: &[u8], labels: &LabelSet, line: u64) {
        let first = *self.seen.entry(series.to_vec()).or_insert(line);
        if first != line {
            let text = format!(
                "the series was in line {first} already; this sample is left out: {}",
                shown(series)
            );
            self.problem(Some(line), text);
            return;
        }
        self.count(labels.get(METRIC_NAME), labels.len().saturating_sub(1), line, || {
            shown(series)
        });
    }

    /// Counts a series of so many labels.
    fn count(&mut self, name: &str, labels: usize, line: u64, text: impl Fn() -> String) {
        let family = self.family_of(name).to_owned();
        *self.metrics.entry(family).or_default() += 1;
        let narrower = |wide: &Wide| wide.labels < labels;
        let at = self.widest.iter().position(narrower);
        let at = at.unwrap_or(self.widest.len());
        if at < MOST_LISTED {
            let text = text();
            self.widest.insert(at, Wide { labels, line, text });
            self.widest.truncate(MOST_LISTED);
        }
    }

    /// The family of a sample: parts of histograms and summaries count as one.
    fn family_of<'a>(&self, name: &'a str) -> &'a str {
        for suffix in ["_bucket", "_count", "_sum", "_gcount", "_gsum", "_created"] {
            if let Some(base) = name.strip_suffix(suffix)
                && self.types.contains_key(base)
            {
                return base;
            }
        }
        name
    }

    fn kind(&self, family: &str) -> MetricType {
        let without = family.strip_suffix("_total").unwrap_or(family);
        let found = self.types.get(family).or_else(|| self.types.get(without));
        found.copied().unwrap_or_default()
    }

    fn report(self, format: &'static str, bytes: usize) -> PageReport {
        let mut metrics: Vec<(String, MetricType, u64)> = self
            .metrics
            .iter()
            .map(|(name, series)| (name.clone(), self.kind(name), *series))
            .collect();
        metrics.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.0.cmp(&b.0)));
        let series = self.metrics.values().sum();
        PageReport {
            format,
            bytes,
            lines: self.lines,
            samples: self.samples,
            series,
            metrics,
            widest: self.widest,
            problems: self.problems,
            more_problems: self.more_problems,
        }
    }
}

impl ProtoVisitor for Survey {
    type Error = ProtoError;

    fn family(&mut self, family: &Family<'_>) -> Result<(), ProtoError> {
        self.types.insert(family.name.to_owned(), family.kind);
        Ok(())
    }

    fn sample(&mut self, series: &ProtoSeries<'_>, _: ProtoSample<'_>) -> Result<(), ProtoError> {
        self.proto(series);
        Ok(())
    }

    fn native(&mut self, series: &ProtoSeries<'_>, _: &NativeSample<'_>) -> Result<(), ProtoError> {
        self.proto(series);
        Ok(())
    }
}

impl Survey {
    fn proto(&mut self, series: &ProtoSeries<'_>) {
        self.samples += 1;
        let mut labels = LabelSet::new();
        if let Err(error) = series.labels_into(&mut labels) {
            self.problem(None, format!("{error} in a series of {}", series.family));
            return;
        }
        let count = labels.len().saturating_sub(1);
        self.count(labels.get(METRIC_NAME), count, 0, || cut(&labels.to_string()));
    }
}

fn shown(series: &[u8]) -> String {
    cut(&String::from_utf8_lossy(series))
}

fn cut(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short.replace('\n', "\\n")
}

/// A series with many labels.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wide {
    labels: usize,
    /// 0 where there are no lines.
    line: u64,
    text: String,
}

/// Something that fails a scrape, or makes the receiver leave samples out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    line: Option<u64>,
    text: String,
}

/// What a page holds and what is wrong with it; prints as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageReport {
    format: &'static str,
    bytes: usize,
    lines: u64,
    samples: u64,
    series: u64,
    /// By number of series, the largest first.
    metrics: Vec<(String, MetricType, u64)>,
    widest: Vec<Wide>,
    problems: Vec<Problem>,
    more_problems: u64,
}

impl PageReport {
    /// Whether a scrape of the page would fail or lose samples.
    #[must_use]
    pub fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }
}

impl fmt::Display for PageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} bytes", self.format, self.bytes)?;
        if self.lines > 0 {
            write!(f, ", {} lines", self.lines)?;
        }
        writeln!(
            f,
            ": {} samples, {} series, {} metrics",
            self.samples,
            self.series,
            self.metrics.len()
        )?;
        if !self.metrics.is_empty() {
            writeln!(f, "\nmetrics with most series:")?;
        }
        for (name, kind, series) in self.metrics.iter().take(MOST_LISTED) {
            writeln!(f, "{series:>9}  {name} ({})", kind.as_str())?;
        }
        if !self.widest.is_empty() {
            writeln!(f, "\nwidest label sets:")?;
        }
        for wide in &self.widest {
            write!(f, "{:>9}  ", wide.labels)?;
            if wide.line > 0 {
                write!(f, "line {}: ", wide.line)?;
            }
            writeln!(f, "{}", wide.text)?;
        }
        if self.problems.is_empty() {
            return writeln!(f, "\nno problems");
        }
        writeln!(f, "\nproblems:")?;
        for problem in &self.problems {
            match problem.line {
                Some(line) => writeln!(f, "  line {line}: {}", problem.text)?,
                None => writeln!(f, "  {}", problem.text)?,
            }
        }
        if self.more_problems > 0 {
            writeln!(f, "  and {} more", self.more_problems)?;
        }
        Ok(())
    }
}

/// Whether a bucket of the histogram counts less than a narrower one: the difference has wrapped
/// round.
fn falls(value: &PointValue) -> bool {
    matches!(value, PointValue::Histogram(h) if h.bucket_counts.iter().any(|count| *count > h.count))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn report(body: &str) -> PageReport {
        let page = FetchedPage::of_body(Bytes::from(body.to_owned()), None).unwrap();
        page.check(1_700_000_000_000).unwrap()
    }

    #[test]
    fn a_good_page_is_counted() {
        let found = report(
            "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 2\n\
             # TYPE c counter\nc{a=\"1\",b=\"2\"} 1\nc{a=\"2\"} 1\n",
        );
        assert!(!found.has_problems());
        assert_eq!(
            found.to_string(),
            "Prometheus text, 123 bytes, 8 lines: 6 samples, 6 series, 2 metrics\n\
             \nmetrics with most series:\n        4  h (histogram)\n        2  c (counter)\n\
             \nwidest label sets:\n        2  line 7: c{a=\"1\",b=\"2\"}\n        1  line 2: h_bucket{le=\"1\"}\n\
             \x20       1  line 3: h_bucket{le=\"+Inf\"}\n        1  line 8: c{a=\"2\"}\n        0  line 4: h_sum\n\
             \x20       0  line 5: h_count\n\nno problems\n"
        );
    }

    #[test]
    fn all_problems_are_found_with_their_lines() {
        let found = report(
            "a 1\nb{x=y} 1\n# TYPE c nothing\nc{x=\"1\",x=\"2\"} 1\na 2\nd 1e999\n\
             # TYPE h histogram\nh_bucket{le=\"1\"} 5\nh_bucket{le=\"2\"} 3\nh_count 6\n",
        );
        let lines: Vec<Option<u64>> = found.problems.iter().map(|p| p.line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6].map(Some));
        assert_eq!(found.samples, 6);
        let text = found.to_string();
        assert!(text.contains("line 5: the series was in line 1 already"), "{text}");
        let found = report("# TYPE h histogram\nh_bucket{le=\"1\"} 5\nh_bucket{le=\"2\"} 3\nh_count 6\nl 1 9999999999999\n");
        let texts: Vec<&str> = found.problems.iter().map(|p| p.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "1 samples are left out: with a time more than ten minutes ahead",
                "the buckets of 1 histograms fall: a wider bucket counts less than a narrower one"
            ]
        );
    }

    #[test]
    fn formats_are_told_or_guessed() {
        assert_eq!(report("a 1\n# EOF\n").format, "OpenMetrics text");
        assert_eq!(report("a 1\n# EOF\n\n").problems[0].line, Some(3));
        let body = Bytes::from_static(b"a 1\n");
        let told = |kind| FetchedPage::of_body(body.clone(), Some(kind));
        let found = told("application/openmetrics-text").unwrap().check(0).unwrap();
        assert!(found.to_string().contains("does not end with `# EOF`"));
        let found = told("application/vnd.google.protobuf").unwrap().check(0).unwrap();
        assert!(found.has_problems());
        assert!(told("text/html").is_err());
    }

    #[test]
    fn long_lists_are_cut() {
        let body: String = (0..50).map(|n| format!("bad line {n}\n")).collect();
        let found = report(&body);
        assert_eq!((found.problems.len(), found.more_problems), (20, 30));
        let wide = format!("a{{x=\"{}\"}} 1\n", "y".repeat(500));
        assert!(report(&wide).to_string().len() < 500);
    }
}
