//! Arguments of the command.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, ValueEnum};
use weir_detect::{Direction, Seasonality, Settings};

use crate::moment::{self, Calendar, Span};
use crate::problem::Problem;
use crate::rule::{Rule, Threshold};

const AFTER_HELP: &str = "\
Inputs: CSV and CSV.gz (timestamp, value, optional label), folders of them (with manifest.json or
NAB's labels/combined_windows.json if there is one), JSON of Prometheus' query_range, OTLP metrics
(protobuf or JSON lines), http(s)://.../api/v1/query_range?query=... of a Prometheus.

Exit codes: 0 good, 1 an input could not be read, 2 usage";

/// What `weir backtest` was asked to do.
#[derive(Clone, Debug, Parser)]
#[command(name = "weir backtest", after_help = AFTER_HELP)]
#[command(about = "Run the detector over recorded series and show what it would have said")]
pub struct Options {
    /// Files, folders, URLs
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<String>,

    #[command(flatten)]
    pub(crate) input: InputOptions,
    #[command(flatten)]
    pub(crate) detector: DetectorOptions,
    #[command(flatten)]
    pub(crate) live: LiveOptions,
    #[command(flatten)]
    pub(crate) train: TrainOptions,

    /// Write a verdict per sample to FOLDER, a CSV file per series
    #[arg(long, value_name = "FOLDER", help_heading = "Output")]
    pub(crate) output: Option<PathBuf>,
    /// Write a report with zoomable plots, one HTML file that needs no network
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) report: Option<PathBuf>,
    /// Write the summary and the alarms of each series as JSON
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) json: Option<PathBuf>,
    /// Draw each series to FOLDER as SVG
    #[arg(long, value_name = "FOLDER", help_heading = "Output")]
    pub(crate) svg: Option<PathBuf>,
    /// Draw each series in the terminal
    #[arg(long, help_heading = "Output")]
    pub(crate) plot: bool,
    /// Draw only this time (FROM..TO, either may be left out)
    #[arg(long, value_name = "SPAN", value_parser = span, help_heading = "Output")]
    pub(crate) span: Option<Span>,
    /// A line per series in the summary, however many there are
    #[arg(long, help_heading = "Output")]
    pub(crate) per_series: bool,
    /// Show no progress
    #[arg(long, short, help_heading = "Output")]
    pub(crate) quiet: bool,
}

/// How inputs are read.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Input")]
pub(crate) struct InputOptions {
    /// What the values of CSV and Prometheus inputs are: a counter is judged by its rate
    #[arg(long = "type", value_enum, default_value_t = ValueType::Gauge, value_name = "TYPE")]
    pub(crate) value_type: ValueType,
    /// Column of the timestamp: its name, or its number from 1
    #[arg(long, value_name = "COLUMN")]
    pub(crate) time_column: Option<String>,
    /// Column of the value
    #[arg(long, value_name = "COLUMN")]
    pub(crate) value_column: Option<String>,
    /// Column of the label (1 inside an incident)
    #[arg(long, value_name = "COLUMN")]
    pub(crate) label_column: Option<String>,
    /// Incidents by path, in the form of NAB's combined_windows.json
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// Leave out rows that cannot be read, and count them
    #[arg(long)]
    pub(crate) skip_bad_rows: bool,
    /// Score nothing in this time after a series begins, such as 2d [default: what the data says, or 0]
    #[arg(long, value_name = "LENGTH", value_parser = length)]
    pub(crate) warm_up: Option<f64>,
}

/// What a series' values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ValueType {
    /// Judged as they are.
    Gauge,
    /// Cumulative; judged by the rate.
    Counter,
}

/// The detector's settings, as in the stream.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Detector")]
pub(crate) struct DetectorOptions {
    /// Half width of the band in standard deviations
    #[arg(long, value_name = "K", default_value_t = Settings::default().stddevs)]
    pub(crate) band: f64,
    /// Which side of the band counts
    #[arg(long, value_enum, default_value_t = Side::Both)]
    pub(crate) direction: Side,
    /// Which repeating patterns are learned
    #[arg(long, value_enum, default_value_t = Pattern::Auto)]
    pub(crate) seasonality: Pattern,
    /// Time zone of day and week, an IANA name
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub(crate) timezone: String,
    /// Learn nothing in this time; repeatable
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub(crate) exclude: Vec<Span>,
    /// The band never reaches below this value
    #[arg(long, value_name = "VALUE", allow_negative_numbers = true)]
    pub(crate) min: Option<f64>,
    /// The band never reaches above this value
    #[arg(long, value_name = "VALUE", allow_negative_numbers = true)]
    pub(crate) max: Option<f64>,
    /// Compare with a fixed threshold: above=N, below=N, for=LENGTH, separated by commas
    #[arg(long, value_name = "RULE", value_parser = Threshold::parse)]
    pub(crate) threshold: Vec<Threshold>,
    /// Compare settings: band=1.5..4, band=1.5..4:0.25 or band=2,3,4
    #[arg(long, value_name = "RANGE", value_parser = sweep)]
    pub(crate) sweep: Option<Sweep>,
}

/// Values to try.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sweep(pub(crate) Vec<f64>);

/// See [`Direction`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    Both,
    Above,
    Below,
}

/// See [`Seasonality`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pattern {
    Auto,
    None,
    Daily,
    Weekly,
}

/// How a Prometheus is asked.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Live Prometheus")]
pub(crate) struct LiveOptions {
    /// Query, when the URL has none
    #[arg(long, value_name = "PROMQL")]
    pub(crate) query: Option<String>,
    /// Time to look back when the URL has no start
    #[arg(long, value_name = "LENGTH", value_parser = length, default_value = "14d")]
    pub(crate) last: f64,
    /// Distance of samples when the URL has no step
    #[arg(long, value_name = "LENGTH", value_parser = length, default_value = "60s")]
    pub(crate) step: f64,
    /// Sign requests for this region with the credentials found (Amazon Managed Prometheus)
    #[arg(long, value_name = "REGION")]
    pub(crate) sigv4: Option<String>,
    /// Service to sign for
    #[arg(long, value_name = "NAME", default_value = "aps")]
    pub(crate) sigv4_service: String,
    /// Header to send, NAME: VALUE; repeatable
    #[arg(long = "header", value_name = "HEADER")]
    pub(crate) headers: Vec<String>,
}

/// What becomes of the learned states.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Training")]
pub(crate) struct TrainOptions {
    /// Also leave what was learned in this data directory, for a collector started with it
    #[arg(long = "train", value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
    /// Attribute of the resource that CSV and Prometheus series will have in the collector; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) resource: Vec<(String, String)>,
    /// Name that the metric will have there
    #[arg(long, value_name = "NAME")]
    pub(crate) metric: Option<String>,
    /// Unit that it will have there
    #[arg(
        long,
        value_name = "UNIT",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) unit: String,
}

/// Most values of a sweep.
const MOST_SWEPT: usize = 50;

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).ok_or_else(|| {
        "write it as FROM..TO, such as 2026-01-05T00:00:00Z..2026-01-06T00:00:00Z".to_owned()
    })
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = pair.ok_or_else(|| "write it as KEY=VALUE".to_owned())?;
    Ok((key.to_owned(), value.to_owned()))
}

fn length(text: &str) -> Result<f64, String> {
    moment::length(text).ok_or_else(|| "write it as a number with s, m, h, d or w".to_owned())
}

fn sweep(text: &str) -> Result<Sweep, String> {
    let form = || "write it as band=1.5..4, band=1.5..4:0.25 or band=2,3,4".to_owned();
    let list = text.strip_prefix("band=").ok_or_else(form)?;
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_| form());
    let Some((from, rest)) = list.split_once("..") else {
        let values: Vec<f64> = list.split(',').map(number).collect::<Result<_, _>>()?;
        return checked(values);
    };
    let (to, step) = rest.split_once(':').unwrap_or((rest, "0.5"));
    let (from, to, step) = (number(from)?, number(to)?, number(step)?);
    let count = ((to - from) / step + 1e-9).floor();
    if !(0.0..MOST_SWEPT as f64).contains(&count) {
        return Err(format!(
            "at most {MOST_SWEPT} values, from the smaller to the larger"
        ));
    }
    // from 0 to 49, see above
    let values = (0..=count as u32).map(|i| from + step * f64::from(i));
    checked(values.collect())
}

fn checked(values: Vec<f64>) -> Result<Sweep, String> {
    for value in &values {
        let settings = Settings {
            stddevs: *value,
            ..Settings::default()
        };
        settings.validate().map_err(|e| e.to_string())?;
    }
    if values.len() > MOST_SWEPT {
        return Err(format!("at most {MOST_SWEPT} values"));
    }
    Ok(Sweep(values))
}

impl Options {
    /// What is wrong with the arguments taken together.
    ///
    /// # Errors
    /// A setting that makes no sense.
    pub fn check(&self) -> Result<(), Problem> {
        let settings = self.detector.settings();
        settings
            .validate()
            .map_err(|e| Problem::new("arguments", e.to_string(), ""))?;
        self.detector.calendar().map(|_| ())
    }

    /// The data directory to leave the learned states in.
    pub fn train(&self) -> Option<&Path> {
        self.train.folder.as_deref()
    }

    /// The detector's settings, as the keys of the component that runs it in a pipeline.
    pub fn detector_keys(&self) -> serde_json::Value {
        let detector = &self.detector;
        let word = |value: Option<clap::builder::PossibleValue>| {
            value.map_or_else(String::new, |v| v.get_name().to_owned())
        };
        let spans = detector.exclude.iter().map(
            |span| serde_json::json!({"start": span.start_rfc3339(), "end": span.end_rfc3339()}),
        );
        let mut keys = serde_json::json!({
            "band": detector.band,
            "direction": word(detector.direction.to_possible_value()),
            "seasonality": word(detector.seasonality.to_possible_value()),
            "timezone": detector.timezone,
            "exclude": spans.collect::<Vec<_>>(),
        });
        for (key, value) in [("min", detector.min), ("max", detector.max)] {
            if let (Some(value), Some(map)) = (value, keys.as_object_mut()) {
                map.insert(key.to_owned(), value.into());
            }
        }
        keys
    }

    /// The band first, then what it is compared with.
    pub(crate) fn rules(&self) -> Vec<Rule> {
        let settings = self.detector.settings();
        let band = Rule::Band(settings.clone());
        let thresholds = self.detector.threshold.iter().cloned().map(Rule::Threshold);
        let swept = self.detector.sweep.iter().flat_map(|sweep| &sweep.0);
        let swept = swept.map(|k| {
            Rule::Band(Settings {
                stddevs: *k,
                ..settings.clone()
            })
        });
        std::iter::once(band)
            .chain(thresholds)
            .chain(swept)
            .collect()
    }

    /// Whether samples must be kept to be drawn.
    pub(crate) fn draws(&self) -> bool {
        self.report.is_some() || self.svg.is_some() || self.plot
    }
}

impl DetectorOptions {
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            stddevs: self.band,
            direction: match self.direction {
                Side::Both => Direction::Both,
                Side::Above => Direction::Above,
                Side::Below => Direction::Below,
            },
            seasonality: match self.seasonality {
                Pattern::Auto => Seasonality::Auto,
                Pattern::None => Seasonality::None,
                Pattern::Daily => Seasonality::Daily,
                Pattern::Weekly => Seasonality::Weekly,
            },
            min: self.min,
            max: self.max,
            ..Settings::default()
        }
    }

    pub(crate) fn calendar(&self) -> Result<Calendar, Problem> {
        Calendar::new(&self.timezone, self.exclude.clone()).ok_or_else(|| {
            Problem::new(
                "--timezone",
                format!("`{}` is not a time zone", self.timezone),
                "use an IANA name such as Europe/Berlin",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweeps() {
        let swept = |text: &str| sweep(text).map(|s| s.0);
        assert_eq!(swept("band=1.5..3"), Ok(vec![1.5, 2.0, 2.5, 3.0]));
        assert_eq!(swept("band=2..2.5:0.25"), Ok(vec![2.0, 2.25, 2.5]));
        assert_eq!(swept("band=4,2"), Ok(vec![4.0, 2.0]));
        for bad in [
            "2..3",
            "band=",
            "band=3..2",
            "band=2..3:0",
            "band=2..3:-1",
            "band=0..1",
            "band=1..9:0.0001",
            "band=x",
        ] {
            assert!(swept(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn arguments_that_make_no_sense_together_are_named() {
        let parse = |extra: &[&str]| {
            let all = ["weir backtest", "a.csv"].iter().chain(extra);
            let options = Options::try_parse_from(all).expect("arguments");
            options.check().map_err(|p| p.to_string())
        };
        assert_eq!(parse(&[]), Ok(()));
        assert!(parse(&["--band", "0"]).is_err_and(|e| e.contains("stddevs is 0")));
        assert!(parse(&["--min", "-1", "--max", "-2"]).is_err_and(|e| e.contains("min must be")));
        assert!(parse(&["--timezone", "Mars"]).is_err_and(|e| e.contains("IANA")));
    }
}
