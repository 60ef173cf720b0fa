//! How far the work has come, on a terminal.

use std::io::{IsTerminal, Read, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use weir_core::Clock;

/// Time between two drawings.
const EVERY: Duration = Duration::from_millis(100);
/// Width of the bar.
const BAR: usize = 24;

/// Shared by the threads that read.
pub(crate) struct Progress<'a> {
    clock: &'a dyn Clock,
    begun: Duration,
    /// Bytes of all inputs.
    total: u64,
    bytes: AtomicU64,
    samples: AtomicU64,
    shown: bool,
    /// Time of the last drawing.
    drawn: Mutex<Duration>,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(clock: &'a dyn Clock, total: u64, quiet: bool) -> Self {
        let begun = clock.monotonic();
        Self {
            clock,
            begun,
            total,
            bytes: AtomicU64::new(0),
            samples: AtomicU64::new(0),
            shown: !quiet && std::io::stderr().is_terminal(),
            drawn: Mutex::new(begun),
        }
    }

    /// Counts samples; called every few thousand.
    pub(crate) fn samples(&self, count: u64) {
        self.samples.fetch_add(count, Ordering::Relaxed);
        if !self.shown {
            return;
        }
        let now = self.clock.monotonic();
        // another thread is drawing
        let Ok(mut drawn) = self.drawn.try_lock() else {
            return;
        };
        if now.saturating_sub(*drawn) >= EVERY {
            *drawn = now;
            draw(&format!(
                "\r{}\x1b[K",
                self.line(now.saturating_sub(self.begun))
            ));
        }
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.begun)
    }

    /// Removes the line.
    pub(crate) fn clear(&self) {
        if self.shown {
            draw("\r\x1b[K");
        }
    }

    fn line(&self, elapsed: Duration) -> String {
        let samples = self.samples.load(Ordering::Relaxed);
        let bytes = self.bytes.load(Ordering::Relaxed).min(self.total);
        let seconds = elapsed.as_secs_f64().max(1e-3);
        let rate = rounded(samples as f64 / seconds);
        if self.total == 0 {
            return format!("{} samples, {rate}/s", rounded(samples as f64));
        }
        let part = bytes as f64 / self.total as f64;
        let filled = (part * BAR as f64) as usize;
        let bar = format!(
            "{}{}",
            "#".repeat(filled),
            "-".repeat(BAR.saturating_sub(filled))
        );
        let left = if part > 0.0 {
            seconds * (1.0 - part) / part
        } else {
            0.0
        };
        format!(
            "[{bar}] {:3.0} %  {} samples, {rate}/s, {left:.0} s left",
            part * 100.0,
            rounded(samples as f64)
        )
    }
}

/// A count to three digits: `12.3 k`, `1.02 M`.
fn rounded(count: f64) -> String {
    let (value, unit) = match count {
        c if c < 1e3 => return format!("{c:.0}"),
        c if c < 1e6 => (c / 1e3, "k"),
        c if c < 1e9 => (c / 1e6, "M"),
        c => (c / 1e9, "G"),
    };
    let digits = if value < 10.0 {
        2
    } else {
        usize::from(value < 100.0)
    };
    format!("{value:.digits$} {unit}")
}

fn draw(text: &str) {
    let mut stderr = std::io::stderr().lock();
    // a terminal that went away must not stop the work
    let _gone = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}

/// Counts what is read from a file.
pub(crate) struct Counted<'a, R> {
    pub(crate) inner: R,
    pub(crate) progress: &'a Progress<'a>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.progress
            .bytes
            .fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_core::ManualClock;

    #[test]
    fn the_line_tells_share_rate_and_time_left() {
        let clock = ManualClock::at(0);
        let progress = Progress::new(&clock, 1000, true);
        let mut input = Counted {
            inner: &[0u8; 250][..],
            progress: &progress,
        };
        let mut all = Vec::new();
        input.read_to_end(&mut all).expect("bytes");
        progress.samples(1_234_567);
        clock.advance(Duration::from_secs(2));
        let line = progress.line(progress.elapsed());
        assert_eq!(
            line,
            "[######------------------]  25 %  1.23 M samples, 617 k/s, 6 s left"
        );
        let endless = Progress::new(&clock, 0, true);
        assert_eq!(endless.line(Duration::from_secs(1)), "0 samples, 0/s");
    }
}
