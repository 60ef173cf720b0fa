//! Credentials from a program of the user's: `credential_process` of a profile.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;
use weir_core::BoxFut;

use super::{KeysDocument, within};
use crate::credentials::{Credentials, CredentialsError, CredentialsProvider};

/// The longest a program may take, and the most it may print.
const LIMIT: Duration = Duration::from_secs(60);
const MOST_BYTES: u64 = 64 << 10;

/// A command line for the shell. Never printed: it may hold secrets.
pub(super) struct Process(String);

impl Process {
    pub(super) fn new(command: &str) -> Self {
        Self(command.to_owned())
    }

    async fn run(&self) -> Result<Credentials, CredentialsError> {
        const WHAT: &str = "the program of credential_process";
        let failed = |error: std::io::Error| CredentialsError::new(format!("{WHAT}: {error}"));
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(&self.0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (mut text, mut complaint) = (Vec::new(), String::new());
        let read_text = async {
            match stdout {
                Some(pipe) => pipe.take(MOST_BYTES).read_to_end(&mut text).await,
                None => Ok(0),
            }
        };
        let read_complaint = async {
            match stderr {
                Some(pipe) => pipe.take(MOST_BYTES).read_to_string(&mut complaint).await,
                None => Ok(0),
            }
        };
        // What it says beside its answer does not matter to the answer.
        let (read, _) = tokio::join!(read_text, read_complaint);
        read.map_err(failed)?;
        let status = child.wait().await.map_err(failed)?;
        if !status.success() {
            let complaint: String = complaint.trim().chars().take(300).collect();
            return Err(CredentialsError::new(format!(
                "{WHAT} ended with {status}: {complaint}"
            )));
        }
        let document = KeysDocument::read(WHAT, &text)?;
        if document.version != Some(1) {
            return Err(CredentialsError::new(format!(
                "{WHAT} must print `\"Version\": 1` with its credentials"
            )));
        }
        document.credentials(WHAT)
    }
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Process")
    }
}

impl CredentialsProvider for Process {
    fn credentials(&self) -> BoxFut<'_, Result<Credentials, CredentialsError>> {
        Box::pin(within(
            LIMIT,
            "the program of credential_process",
            self.run(),
        ))
    }
}
