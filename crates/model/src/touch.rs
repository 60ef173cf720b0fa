//! Memory that is asked for before it is needed.

use std::hint::black_box;
use std::ops::BitXor;

/// Reads words that lie in different places, and forgets them. Who goes through many series calls it
/// for several of them first: their waits for main memory then go on at the same time, where using
/// one after the other would wait for each.
#[inline]
pub fn touch<T: BitXor<Output = T> + Default>(words: impl Iterator<Item = T>) {
    black_box(words.fold(T::default(), |seen, word| seen ^ word));
}
