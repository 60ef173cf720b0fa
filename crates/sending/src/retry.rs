//! Retrying for exporters that know better than the wrapper what has to be sent again.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use weir_core::Reject;

use crate::backoff::Backoff;
use crate::settings::RetrySettings;

/// Tells that the exporter stops: no more waits, one last attempt each.
#[derive(Clone, Debug, Default)]
pub struct Draining(CancellationToken);

impl Draining {
    pub(crate) fn begin(&self) {
        self.0.cancel();
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until it begins.
    pub async fn begun(&self) {
        self.0.cancelled().await;
    }
}

/// Tries until success, a failure for good, the end of `settings`, or one attempt after draining
/// began. Waits as the wrapper does (jittered, growing, at least what the server asks for);
/// `waiting` is told of each, to log it.
///
/// # Errors
/// The last failure.
pub async fn retry<T, A: Future<Output = Result<T, Reject>>>(
    settings: &RetrySettings,
    draining: &Draining,
    mut attempt: impl FnMut() -> A,
    mut waiting: impl FnMut(&Reject, Duration),
) -> Result<T, Reject> {
    let mut backoff = None;
    loop {
        let last = !settings.enabled || draining.has_begun();
        let reject = match attempt().await {
            Err(reject @ Reject::Retry { .. }) if !last => reject,
            result => return result,
        };
        let backoff = backoff.get_or_insert_with(|| Backoff::new(settings));
        wait(backoff, reject, draining, &mut waiting).await?;
    }
}

/// Waits for the next attempt; the error when there is none.
pub(crate) async fn wait(
    backoff: &mut Backoff,
    reject: Reject,
    draining: &Draining,
    waiting: &mut impl FnMut(&Reject, Duration),
) -> Result<(), Reject> {
    let after = match &reject {
        Reject::Retry { after, .. } => *after,
        _ => None,
    };
    let Some(interval) = backoff.next(after, fastrand::f64()) else {
        return Err(exhausted(reject));
    };
    waiting(&reject, interval);
    tokio::select! {
        biased;
        () = draining.begun() => {}
        () = tokio::time::sleep(interval) => {}
    }
    Ok(())
}

fn exhausted(reject: Reject) -> Reject {
    match reject {
        Reject::Retry { after, mut why } => {
            why.message = format!("no more retries left: {}", why.message);
            Reject::Retry { after, why }
        }
        other => other,
    }
}
