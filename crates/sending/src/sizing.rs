//! Measuring and cutting batches.

use weir_core::Batch;

use crate::settings::Sizer;

impl Sizer {
    /// Size of a batch for the queue.
    pub(crate) fn measure(self, batch: &Batch) -> u64 {
        match self {
            Sizer::Requests => 1,
            Sizer::Items => batch.len() as u64,
            Sizer::Bytes => batch.size_bytes() as u64,
        }
    }
}

/// Bytes of the batch as one OTLP request.
pub(crate) fn encoded_len(batch: &Batch) -> u64 {
    if let Some(chunks) = batch.wire_chunks() {
        return chunks.iter().map(|chunk| chunk.len() as u64).sum();
    }
    let mut encoded = Vec::new();
    batch.encode_otlp(&mut encoded);
    encoded.len() as u64
}

/// Items of the batch that fit `room` bytes of OTLP; zero if not even one does.
fn items_within(batch: &Batch, room: u64) -> usize {
    let (items, bytes) = (batch.len() as u64, encoded_len(batch));
    if bytes <= room {
        return batch.len();
    }
    // Items differ in size: start from the average and go down until the cut fits.
    let mut count = (items.saturating_mul(room) / bytes.max(1)).min(items.saturating_sub(1));
    while count > 0 {
        let mut head = batch.clone();
        head.split_off(usize::try_from(count).unwrap_or(usize::MAX));
        let size = encoded_len(&head);
        if size <= room {
            break;
        }
        count = count.saturating_mul(room) / size.max(1);
    }
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// How many items of `batch` fit into `room` units.
pub(crate) fn fitting(batch: &Batch, sizer: Sizer, room: u64) -> usize {
    match sizer {
        Sizer::Requests => batch.len(),
        Sizer::Items => batch.len().min(usize::try_from(room).unwrap_or(usize::MAX)),
        Sizer::Bytes => items_within(batch, room),
    }
}

/// Size of a batch where it matters that it is exact.
pub(crate) fn exact(batch: &Batch, sizer: Sizer) -> u64 {
    match sizer {
        Sizer::Bytes => encoded_len(batch),
        _ => sizer.measure(batch),
    }
}
