//! One reading of a page: each line finds its slot, and its value goes where the slot says.

use std::collections::HashMap;
use std::sync::Arc;

use weir_model::{Exemplar, Extras, MetricKind, Point, PointValue, Series};
use weir_prom::cache::{CacheFull, Lookup, Place};
use weir_prom::exposition::{
    Block, InvalidSeries, MetadataEntry, Sample, Scanner, Step, TextFormat, unescape_help,
};
use weir_prom::labels::LabelSet;

use super::exemplar::ExemplarBuilder;
use super::family::Change;
use super::groups::{Groups, OtherTime, seconds_to_nanoseconds};
use super::slot::{Role, Slot};
use super::{Counts, LeftOut, Page, PageError, SeriesError, TargetSeries, nanoseconds};

/// Why a reading ended early.
#[derive(Debug)]
pub(super) enum Stopped {
    Failed(PageError),
    /// A metadata line gives names in use another meaning: the page has to be read again, with
    /// every line resolved anew.
    MetadataChanged,
}

impl<E: Into<PageError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// State of a reading.
#[derive(Debug)]
pub(super) struct Pass {
    /// Time of the scrape.
    pub(super) time_ms: i64,
    /// Samples with later times are left out.
    pub(super) limit_ms: i64,
    /// Every line is resolved anew.
    pub(super) anew: bool,
    pub(super) counts: Counts,
    pub(super) left_out: LeftOut,
    /// Samples that count for the sample limit.
    taken: u64,
    /// Start times of counters whose point is not the last one, in seconds.
    created: Vec<(Arc<Series>, f64)>,
    /// Lines whose sample was left out, so that they turn stale.
    pub(super) missed: Vec<Slot>,
    pub(super) error: Option<Stopped>,
}

/// A sample of a page, text or protobuf.
pub(super) struct Given<E> {
    pub(super) value: f64,
    pub(super) timestamp_ms: Option<i64>,
    /// Makes the exemplar, given the time that it gets if it has none.
    pub(super) exemplar: Option<E>,
}

impl TargetSeries {
    /// Reads a page.
    pub(super) fn read(
        &mut self,
        page: Page<'_>,
        (time_ms, limit_ms): (i64, i64),
        points: &mut Vec<Point>,
        anew: bool,
    ) -> Pass {
        self.begin_scrape();
        let mut pass = Pass {
            time_ms,
            limit_ms,
            anew,
            counts: Counts::default(),
            left_out: LeftOut::default(),
            taken: 0,
            created: Vec::new(),
            missed: Vec::new(),
            error: None,
        };
        let first = points.len();
        let result = match page {
            Page::Text(format, body) => self.read_text(format, body, &mut pass, points),
            Page::Protobuf(body) => self.read_protobuf(body, &mut pass, points),
        };
        let limit = self.rules.series.limits.samples;
        pass.error = match result {
            Err(stopped) => Some(stopped),
            Ok(()) if limit > 0 && pass.taken > limit => {
                Some(Stopped::Failed(PageError::SampleLimit(pass.taken)))
            }
            Ok(()) => None,
        };
        if !pass.created.is_empty() {
            set_start_times(&pass.created, points.get_mut(first..).unwrap_or_default());
        }
        pass
    }

    fn read_text(
        &mut self,
        format: TextFormat,
        body: &[u8],
        pass: &mut Pass,
        points: &mut Vec<Point>,
    ) -> Result<(), Stopped> {
        let mut scanner = std::mem::replace(&mut self.scanner, Scanner::new(format));
        scanner.restart(format);
        if pass.anew {
            self.read_metadata(&mut scanner, body);
            scanner.restart(format);
        }
        let result = self.read_lines(&mut scanner, body, pass, points);
        self.scanner = scanner;
        result
    }

    /// Takes in all metadata of a page, wherever it stands; errors are left to the reading proper.
    fn read_metadata(&mut self, scanner: &mut Scanner, body: &[u8]) {
        let mut block = Block::new(body, true);
        loop {
            match scanner.step(&mut block, &()) {
                Ok(Step::Metadata(metadata)) => {
                    if let Some(entry) = metadata.entry {
                        self.set_family(entry, scanner.format());
                    }
                }
                Ok(Step::Sample(_)) => {}
                Ok(Step::End | Step::NeedMore) | Err(_) => return,
            }
        }
    }

    /// Whether names that are in use change their meaning by it.
    fn set_family(&mut self, entry: MetadataEntry<'_>, format: TextFormat) -> bool {
        match entry {
            MetadataEntry::Type(name, kind) => self.families.set(name, Change::Type(kind)),
            MetadataEntry::Help(name, text) => self
                .families
                .set(name, Change::Help(&unescape_help(text, format))),
            MetadataEntry::Unit(name, unit) => self.families.set(name, Change::Unit(unit)),
        }
    }

    fn read_lines(
        &mut self,
        scanner: &mut Scanner,
        body: &[u8],
        pass: &mut Pass,
        points: &mut Vec<Point>,
    ) -> Result<(), Stopped> {
        let mut block = Block::new(body, true);
        loop {
            let step = if pass.anew {
                scanner.step(&mut block, &())?
            } else {
                scanner.step(&mut block, &self.cache)?
            };
            match step {
                Step::Sample(sample) if sample.known => {
                    let place = self.cache.advance();
                    let given = given(scanner, &sample);
                    self.known(place, given, pass, points);
                }
                Step::Sample(sample) => {
                    let given = given(scanner, &sample);
                    let labels = |set: &mut LabelSet| scanner.labels_into(sample.series, set);
                    self.unknown(sample.series, labels, given, pass, points)
                        .map_err(|error| PageError::Line {
                            line: scanner.line_of(&block),
                            error,
                        })?;
                }
                Step::Metadata(metadata) => match metadata.entry {
                    None => {
                        self.cache.advance();
                    }
                    Some(entry) => self.metadata(metadata.line, entry, scanner.format(), pass)?,
                },
                // The page is one block.
                Step::End | Step::NeedMore => return Ok(()),
            }
        }
    }

    /// A metadata line that is not the expected one.
    fn metadata(
        &mut self,
        line: &[u8],
        entry: MetadataEntry<'_>,
        format: TextFormat,
        pass: &Pass,
    ) -> Result<(), Stopped> {
        match self.cache.look_up(line) {
            Lookup::Known(_) | Lookup::Repeated(_) => return Ok(()),
            Lookup::New => {
                // A cache that is full finds the line new again, and that is all.
                let _place = self.cache.insert(line, Slot::new(Role::Metadata));
            }
        }
        // In a second reading all metadata has been taken in before.
        if !pass.anew && self.set_family(entry, format) {
            return Err(Stopped::MetadataChanged);
        }
        Ok(())
    }

    /// A line that was in the last scrape.
    #[inline]
    pub(super) fn known(
        &mut self,
        place: Option<Place>,
        given: Given<impl FnOnce(i64) -> Exemplar>,
        pass: &mut Pass,
        points: &mut Vec<Point>,
    ) {
        pass.counts.scraped += 1;
        let Some(slot) = place.and_then(|place| self.cache.value(place)) else {
            return;
        };
        if slot.role == Role::Dropped {
            return;
        }
        pass.counts.after_relabelling += 1;
        let own_time = given.timestamp_ms.filter(|_| self.rules.honor_timestamps);
        let time_ms = own_time.unwrap_or(pass.time_ms);
        if !pass.takes(self.rules.series.limits.samples, time_ms) {
            if slot.is_alive() {
                pass.missed.push(slot.clone());
                slot.set_alive(false);
            }
            return;
        }
        slot.set_alive(own_time.is_none() || self.rules.track_timestamps_staleness);
        let whole = self.rules.series.classic_as_native;
        let more = emit(
            slot,
            given,
            (time_ms, self.scrape),
            &mut self.groups,
            pass,
            points,
        );
        if whole && more {
            pass.counts.scraped -= 1;
            pass.counts.after_relabelling -= 1;
            pass.taken -= 1;
        }
    }

    /// A line that is not the expected one.
    pub(super) fn unknown(
        &mut self,
        line: &[u8],
        labels: impl FnOnce(&mut LabelSet) -> Result<(), InvalidSeries>,
        given: Given<impl FnOnce(i64) -> Exemplar>,
        pass: &mut Pass,
        points: &mut Vec<Point>,
    ) -> Result<(), SeriesError> {
        match self.cache.look_up(line) {
            Lookup::Known(place) if pass.anew => {
                let alive = self.empty_slot(place);
                let resolved = self.resolve(labels, Role::Number);
                let slot = resolved.inspect_err(|_| pass.counts.scraped += 1)?;
                self.fill_slot(place, slot, alive);
                self.known(Some(place), given, pass, points);
            }
            Lookup::Known(place) => self.known(Some(place), given, pass, points),
            Lookup::Repeated(place) => {
                pass.counts.scraped += 1;
                let slot = self.cache.value(place);
                if slot.is_some_and(|slot| slot.role != Role::Dropped) {
                    pass.counts.after_relabelling += 1;
                    pass.left_out.repeated += 1;
                }
            }
            Lookup::New => {
                let resolved = self.resolve(labels, Role::Number);
                let slot = resolved.inspect_err(|_| pass.counts.scraped += 1)?;
                self.new_line(line, slot, given, pass, points);
            }
        }
        if self.resources.are_outdated() {
            // The line was a new `target_info`: lines after it must find the groups of those before.
            self.update_resources(points);
        }
        Ok(())
    }

    /// Takes out what a line was resolved to. Returns whether its series was in the last scrape.
    pub(super) fn empty_slot(&mut self, place: Place) -> bool {
        let Some(slot) = self.cache.value(place) else {
            return false;
        };
        let before = std::mem::replace(slot, Slot::new(Role::Dropped));
        self.release(&before);
        before.is_alive()
    }

    pub(super) fn fill_slot(&mut self, place: Place, slot: Slot, alive: bool) {
        if let Some(empty) = self.cache.value(place) {
            *empty = slot;
            empty.set_alive(alive);
        }
    }

    /// Resolves the labels of a line; `role` is [`Role::Native`] for native histograms.
    pub(super) fn resolve(
        &mut self,
        labels: impl FnOnce(&mut LabelSet) -> Result<(), InvalidSeries>,
        role: Role,
    ) -> Result<Slot, SeriesError> {
        let mut set = std::mem::take(&mut self.scratch);
        let result = labels(&mut set).map_err(SeriesError::from).and_then(|()| {
            let mut resolver = self.resolver();
            if role == Role::Native {
                resolver.native(&mut set)
            } else {
                resolver.line(&mut set)
            }
        });
        self.scratch = set;
        result
    }

    fn new_line(
        &mut self,
        line: &[u8],
        slot: Slot,
        given: Given<impl FnOnce(i64) -> Exemplar>,
        pass: &mut Pass,
        points: &mut Vec<Point>,
    ) {
        let dropped = slot.role == Role::Dropped;
        let own_time = given.timestamp_ms.filter(|_| self.rules.honor_timestamps);
        let time_ms = own_time.unwrap_or(pass.time_ms);
        if !dropped && !pass.would_take(self.rules.series.limits.samples, time_ms) {
            // It is not remembered, so that it turns up as new when it is taken.
            pass.counts.scraped += 1;
            pass.counts.after_relabelling += 1;
            pass.takes(self.rules.series.limits.samples, time_ms);
            self.release(&slot);
            return;
        }
        let first_of_group = self.groups.is_first_line(&slot);
        match self.cache.insert(line, slot) {
            Ok(place) => {
                let scraped = pass.counts.scraped;
                self.known(Some(place), given, pass, points);
                let counted = pass.counts.scraped > scraped;
                let whole = self.rules.series.classic_as_native && !first_of_group;
                if !dropped && (counted || !whole) {
                    pass.counts.added += 1;
                }
            }
            Err(CacheFull) => pass.counts.scraped += 1,
        }
    }
}

impl Pass {
    /// Whether a sample with this time is taken; counts it, or why it is not.
    pub(super) fn takes(&mut self, limit: u64, time_ms: i64) -> bool {
        if time_ms > self.limit_ms {
            self.left_out.ahead += 1;
            return false;
        }
        self.taken += 1;
        limit == 0 || self.taken <= limit
    }

    /// The same without counting.
    fn would_take(&self, limit: u64, time_ms: i64) -> bool {
        time_ms <= self.limit_ms && (limit == 0 || self.taken < limit)
    }
}

/// The sample of a text line, with its exemplar still to be made.
fn given<'a>(
    scanner: &'a Scanner,
    sample: &Sample<'a>,
) -> Given<impl FnOnce(i64) -> Exemplar + use<'a>> {
    let exemplar = sample.exemplar.map(|exemplar| {
        move |time_ms| {
            let mut builder = ExemplarBuilder::default();
            // The scanner has checked the values; a name that is not UTF-8 ends the labels.
            let _checked = scanner.exemplar_labels(&exemplar, |n, v| builder.label(n, v));
            builder.build(exemplar.value, exemplar.timestamp_ms.unwrap_or(time_ms))
        }
    });
    Given {
        value: sample.value,
        timestamp_ms: sample.timestamp_ms,
        exemplar,
    }
}

/// Puts a value where its slot says. Returns whether the line is a further one of a histogram that
/// this scrape has had a line of.
#[inline]
fn emit(
    slot: &Slot,
    given: Given<impl FnOnce(i64) -> Exemplar>,
    (time_ms, scrape): (i64, u32),
    groups: &mut Groups,
    pass: &mut Pass,
    points: &mut Vec<Point>,
) -> bool {
    match (slot.role, &slot.series) {
        (Role::Number, Some(series)) => {
            let value = PointValue::Double(given.value);
            let mut point = Point::new(Arc::clone(series), 0, nanoseconds(time_ms), value);
            if let Some(make) = given.exemplar {
                let exemplars = vec![make(time_ms)];
                point.extras = Some(Box::new(Extras {
                    exemplars,
                    tags: Vec::new(),
                }));
            }
            points.push(point);
        }
        (Role::CounterCreated, Some(series)) => match points.last_mut() {
            Some(last) if Arc::ptr_eq(&last.series, series) => {
                last.start_ns = seconds_to_nanoseconds(given.value);
            }
            _ => pass.created.push((Arc::clone(series), given.value)),
        },
        (Role::Sum | Role::Count | Role::Bound | Role::Created, _) => {
            return emit_part(slot, given, (time_ms, scrape), groups, pass);
        }
        (Role::Unusable, _) => pass.left_out.unusable += 1,
        _ => {}
    }
    false
}

fn emit_part(
    slot: &Slot,
    given: Given<impl FnOnce(i64) -> Exemplar>,
    (time_ms, scrape): (i64, u32),
    groups: &mut Groups,
    pass: &mut Pass,
) -> bool {
    let more = groups.has_begun(slot.group, scrape);
    let group = match groups.at(slot.group, scrape, time_ms) {
        Ok(Some(group)) => group,
        Ok(None) => return false,
        Err(OtherTime) => {
            pass.left_out.other_time += 1;
            return more;
        }
    };
    match slot.role {
        Role::Sum => group.set_sum(given.value),
        Role::Count => group.set_count(given.value),
        Role::Created => group.set_created(given.value),
        _ => group.set_bound(slot.index, given.value),
    }
    let summary = group.series.metric().kind == MetricKind::Summary;
    if let (Some(make), false) = (given.exemplar, summary) {
        group.add_exemplar(make(time_ms));
    }
    more && !summary
}

/// Sets the start times of counters whose `_created` line did not follow at once.
fn set_start_times(created: &[(Arc<Series>, f64)], points: &mut [Point]) {
    let starts: HashMap<*const Series, f64> = created
        .iter()
        .map(|(series, seconds)| (Arc::as_ptr(series), *seconds))
        .collect();
    for point in points {
        if let Some(seconds) = starts.get(&Arc::as_ptr(&point.series)) {
            point.start_ns = seconds_to_nanoseconds(*seconds);
        }
    }
}
