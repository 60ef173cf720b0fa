//! The check of metrics requests at the door, and the count of their data points.

use crate::check::{check, each};
use crate::error::DecodeError;
use crate::schema;
use crate::wire::{LEN, MAX_DEPTH, Reader};

/// Checks an `ExportMetricsServiceRequest` and counts its data points.
pub(crate) fn validate(bytes: &[u8]) -> Result<usize, DecodeError> {
    check(bytes, &schema::METRICS, MAX_DEPTH)?;
    let mut items = 0;
    each(bytes, 1, |resource| {
        each(resource, 2, |scope| {
            each(scope, 2, |metric| {
                items += count_points(metric)?;
                Ok(())
            })
        })
    })?;
    Ok(items)
}

/// Points of a checked metric. Data of one type that stands more than once merges; of several
/// types the last one counts.
fn count_points(metric: &[u8]) -> Result<usize, DecodeError> {
    let (mut items, mut last) = (0, 0);
    let mut reader = Reader::new(metric);
    while let Some(key) = reader.key()? {
        if !matches!(key.field, 5 | 7 | 9 | 10 | 11) || key.wire != LEN {
            reader.skip(key)?;
            continue;
        }
        if key.field != last {
            (items, last) = (0, key.field);
        }
        each(reader.bytes()?, 1, |_| {
            items += 1;
            Ok(())
        })?;
    }
    Ok(items)
}
