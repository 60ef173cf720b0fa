//! The body of an outgoing call: the frame's prefix and the message's pieces, none of them copied.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};

use super::codec::PREFIX;

/// Pieces that read as one.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    pieces: VecDeque<Bytes>,
    remaining: usize,
}

impl Pieces {
    /// A framed message.
    pub(super) fn framed(compressed: bool, pieces: impl IntoIterator<Item = Bytes>) -> Pieces {
        let mut all = VecDeque::with_capacity(2);
        all.push_back(Bytes::new());
        all.extend(pieces.into_iter().filter(|p| !p.is_empty()));
        let length: usize = all.iter().map(Bytes::len).sum();
        let mut prefix = [u8::from(compressed), 0, 0, 0, 0];
        // Longer messages than 4 GiB are refused before; see `GrpcClient::unary`.
        let [_, number @ ..] = &mut prefix;
        *number = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        if let Some(first) = all.front_mut() {
            *first = Bytes::copy_from_slice(&prefix);
        }
        Pieces {
            pieces: all,
            remaining: PREFIX + length,
        }
    }
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |p| p)
    }

    fn chunks_vectored<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slot, piece) in dst.iter_mut().zip(&self.pieces) {
            *slot = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        self.remaining = self.remaining.saturating_sub(count);
        while let Some(front) = self.pieces.front_mut() {
            if count < front.len() {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.pieces.pop_front();
            if count == 0 {
                return;
            }
        }
    }
}

/// One frame of data.
#[derive(Debug)]
pub(super) struct Message(Option<Pieces>);

impl Message {
    pub(super) fn new(pieces: Pieces) -> Self {
        Message(Some(pieces))
    }
}

impl Body for Message {
    type Data = Pieces;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Pieces>, Infallible>>> {
        Poll::Ready(self.0.take().map(|pieces| Ok(Frame::data(pieces))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |p| p.remaining as u64))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_read_as_one(
            input in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..5),
            steps in proptest::collection::vec(1_usize..12, 60),
        ) {
            let whole = input.concat();
            let mut pieces = Pieces::framed(true, input.into_iter().map(Bytes::from));
            let mut read: Vec<u8> = Vec::new();
            for step in steps {
                let mut slices = [IoSlice::new(&[]); 3];
                let filled = pieces.chunks_vectored(&mut slices);
                let joined: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
                prop_assert!(joined.starts_with(pieces.chunk()));
                let step = step.min(joined.len());
                read.extend(&joined[..step]);
                pieces.advance(step);
            }
            prop_assert_eq!(pieces.remaining(), 0);
            prop_assert_eq!(&read[..5], &[&[1][..], &(whole.len() as u32).to_be_bytes()].concat());
            prop_assert_eq!(&read[5..], &whole);
        }
    }
}
