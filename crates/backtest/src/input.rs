//! One input: opened, unpacked, read by its form.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use weir_core::Clock;
use weir_model::{Interner, Metrics};

use crate::csv_input::{self, Reading, Wanted};
use crate::json_input;
use crate::live;
use crate::options::Options;
use crate::otlp;
use crate::plan::{Form, Input};
use crate::problem::Problem;
use crate::progress::{Counted, Progress};
use crate::track::{Meta, Outcome, Sample, Setup, Track};
use crate::train::{Feed, Trainer};
use crate::verdicts::VerdictFile;

/// Most series of one input: each costs about three kilobytes.
const MOST_SERIES: usize = 200_000;
/// Samples between two reports of progress.
const CHUNK: u64 = 4096;

/// What all inputs share.
pub(crate) struct Shared<'a> {
    pub(crate) options: &'a Options,
    pub(crate) setup: &'a Setup,
    pub(crate) progress: &'a Progress<'a>,
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) interner: Arc<Interner>,
    pub(crate) trainer: Option<&'a dyn Trainer>,
}

/// What an input gave.
#[derive(Debug)]
pub(crate) struct ReadInput {
    pub(crate) outcomes: Vec<Outcome>,
    /// Rows left out.
    pub(crate) skipped: u64,
}

/// The series of one input.
pub(crate) struct Tracks<'a> {
    shared: &'a Shared<'a>,
    /// For messages.
    place: String,
    template: Meta,
    by_key: HashMap<u64, usize, foldhash::fast::RandomState>,
    tracks: Vec<Track<'a>>,
    since_report: u64,
    otlp: Option<otlp::Reader>,
}

impl<'a> Tracks<'a> {
    pub(crate) fn new(input: &Input, shared: &'a Shared<'a>) -> Self {
        Self {
            shared,
            place: input.path.display().to_string(),
            template: input.meta.clone(),
            by_key: HashMap::default(),
            tracks: Vec::new(),
            since_report: 0,
            otlp: None,
        }
    }

    /// What is remembered of OTLP points; to be given back.
    pub(crate) fn take_otlp(&mut self) -> otlp::Reader {
        let reader = self.otlp.take();
        reader.unwrap_or_else(|| otlp::Reader::new(self.shared.interner.clone()))
    }

    /// See [`Self::take_otlp`].
    pub(crate) fn give_otlp(&mut self, reader: otlp::Reader) {
        self.otlp = Some(reader);
    }

    /// For messages: the file or URL.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// The series of a key; `describe` completes the template for a new one.
    pub(crate) fn series(
        &mut self,
        key: u64,
        describe: impl FnOnce(&mut Meta),
    ) -> Result<usize, Problem> {
        if let Some(at) = self.by_key.get(&key) {
            return Ok(*at);
        }
        if self.tracks.len() >= MOST_SERIES {
            let what = format!("more than {MOST_SERIES} series in one input");
            return Err(Problem::new(&self.place, what, "split it"));
        }
        let mut meta = self.template.clone();
        describe(&mut meta);
        let output = self.shared.options.output.as_ref().map(|folder| {
            let relative = format!("{}.csv", meta.name);
            VerdictFile::new(folder.join(relative))
        });
        let feed = self.shared.trainer.zip(meta.identity.as_ref());
        let feed = feed.map(|(trainer, identity)| {
            let options = &self.shared.options.train;
            let feed = Feed::new(identity, meta.counter, options, &self.shared.interner);
            (feed, trainer)
        });
        let track = Track::new(meta, self.shared.setup, output, feed);
        self.tracks.push(track);
        self.by_key.insert(key, self.tracks.len() - 1);
        Ok(self.tracks.len() - 1)
    }

    /// Hands OTLP points to the trainer as they are.
    pub(crate) fn train(&self, metrics: &Metrics) {
        if let Some(trainer) = self.shared.trainer {
            trainer.learn(metrics.clone());
        }
    }

    /// A sample of the `at`-th series.
    pub(crate) fn observe(&mut self, at: usize, sample: Sample) -> Result<(), Problem> {
        self.since_report += 1;
        if self.since_report == CHUNK {
            self.shared.progress.samples(CHUNK);
            self.since_report = 0;
        }
        match self.tracks.get_mut(at) {
            Some(track) => track.observe(sample),
            None => Ok(()),
        }
    }

    fn finish(self, skipped: u64) -> Result<ReadInput, Problem> {
        self.shared.progress.samples(self.since_report);
        let outcomes = self.tracks.into_iter().map(Track::finish);
        Ok(ReadInput {
            outcomes: outcomes.collect::<Result<_, _>>()?,
            skipped,
        })
    }
}

/// Reads one input to its end.
pub(crate) fn read(input: &Input, shared: &Shared<'_>) -> Result<ReadInput, Problem> {
    let mut tracks = Tracks::new(input, shared);
    let skipped = match input.form {
        Form::Csv => read_csv(input, &mut tracks)?,
        Form::Json => {
            let reader = BufReader::new(open(&input.path, shared.progress)?);
            json_input::read(reader, &mut tracks)?;
            0
        }
        Form::Protobuf => {
            otlp::read_protobuf(open(&input.path, shared.progress)?, &mut tracks)?;
            0
        }
        Form::Live => {
            let url = input.path.display().to_string();
            live::read(&url, &mut tracks, &shared.options.live, shared.clock)?;
            0
        }
    };
    tracks.finish(skipped)
}

fn read_csv(input: &Input, tracks: &mut Tracks<'_>) -> Result<u64, Problem> {
    let shared = tracks.shared;
    let options = &shared.options.input;
    let wanted = Wanted {
        time: options.time_column.clone(),
        value: options.value_column.clone(),
        label: options.label_column.clone(),
    };
    let place = tracks.place.clone();
    let reading = Reading {
        place: &place,
        wanted: &wanted,
        skip_bad_rows: options.skip_bad_rows,
    };
    let reader = BufReader::with_capacity(1 << 17, open(&input.path, shared.progress)?);
    let series = tracks.series(0, |_| {})?;
    csv_input::read(reader, &reading, |sample| tracks.observe(series, sample))
}

/// Opens a file; one that ends in .gz is unpacked.
fn open<'a>(path: &Path, progress: &'a Progress<'a>) -> Result<Box<dyn Read + Send + 'a>, Problem> {
    let file = File::open(path).map_err(|e| Problem::file(path, &e))?;
    let counted = Counted {
        inner: file,
        progress,
    };
    if path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("gz"))
    {
        #[allow(
            clippy::disallowed_types,
            reason = "a stream: its readers bound what they keep"
        )]
        let unpacked = flate2::read::MultiGzDecoder::new(counted);
        return Ok(Box::new(unpacked));
    }
    Ok(Box::new(counted))
}
