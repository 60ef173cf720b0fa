//! Where the text goes, and how often.

use std::fs::OpenOptions;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use weir_core::{BuildError, Clock};

/// Files and standard streams that get the raw text.
pub(super) struct Outputs {
    files: tokio::sync::Mutex<Vec<File>>,
}

impl Outputs {
    /// Opens all; files are made if need be and appended to.
    pub(super) fn open(paths: &[String]) -> Result<Self, BuildError> {
        let open = |path: &String| {
            let file = match path.as_str() {
                "stdout" => duplicate(&std::io::stdout()),
                "stderr" => duplicate(&std::io::stderr()),
                path => OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(path.strip_prefix("file://").unwrap_or(path)),
            };
            file.map(File::from_std).map_err(|error| {
                BuildError(format!(
                    "cannot open `{path}` of output_paths for writing: {error}; \
                     name a file in a folder that exists and may be written to"
                ))
            })
        };
        let files = paths.iter().filter(|path| !path.is_empty());
        let files = files.map(open).collect::<Result<_, _>>()?;
        Ok(Self {
            files: tokio::sync::Mutex::new(files),
        })
    }

    /// Writes a text to all of them, whole.
    pub(super) async fn write(&self, text: &str) -> std::io::Result<()> {
        for file in self.files.lock().await.iter_mut() {
            file.write_all(text.as_bytes()).await?;
            file.flush().await?;
        }
        Ok(())
    }
}

fn duplicate(stream: &impl AsFd) -> std::io::Result<std::fs::File> {
    stream.as_fd().try_clone_to_owned().map(Into::into)
}

/// Lets the first batches of a second through, and after them every so many-th.
pub(super) struct Sampler {
    initial: u64,
    thereafter: u64,
    clock: Arc<dyn Clock>,
    second: Mutex<Second>,
}

/// The second being counted.
#[derive(Default)]
struct Second {
    ends: Duration,
    seen: u64,
}

impl Sampler {
    pub(super) fn new(initial: u64, thereafter: u64, clock: Arc<dyn Clock>) -> Self {
        Self {
            initial,
            thereafter,
            clock,
            second: Mutex::default(),
        }
    }

    /// Whether to write the batch that came now. A second begins with its first batch.
    pub(super) fn take(&self) -> bool {
        let now = self.clock.monotonic();
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= second.ends {
            *second = Second {
                ends: now + Duration::from_secs(1),
                seen: 0,
            };
        }
        second.seen += 1;
        match second.seen.checked_sub(self.initial) {
            None | Some(0) => true,
            Some(over) => self.thereafter > 0 && over % self.thereafter == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_core::ManualClock;

    #[test]
    fn after_the_first_of_a_second_every_nth_is_taken() {
        let clock = Arc::new(ManualClock::at(0));
        let sampler = Sampler::new(2, 3, clock.clone());
        let taken: Vec<bool> = (0..8).map(|_| sampler.take()).collect();
        assert_eq!(
            taken,
            [true, true, false, false, true, false, false, true]
        );
        clock.advance(Duration::from_secs(1));
        assert!(sampler.take() && sampler.take() && !sampler.take());

        let none = Sampler::new(1, 0, clock.clone());
        assert!(none.take() && !none.take());
        let all = Sampler::new(0, 1, clock);
        assert!((0..5).all(|_| all.take()));
    }
}
