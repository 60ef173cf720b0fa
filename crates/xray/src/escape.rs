//! Where text needs an escape.

/// Bytes that Go's encoder does not copy: controls, quote, backslash, `<`, `>`, `&`, and the first
/// byte of U+2028 and U+2029.
///
/// Written without branches, or the compiler makes jumps of it where vectors would do. Quote and
/// ampersand, less and greater differ by one bit each.
#[inline]
const fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte | 4 == b'&') | (byte | 2 == b'>') | (byte == b'\\') | (byte == 0xe2)
}

/// The first special byte at or behind `from`. Sixteen at a time: the inner fold becomes a few
/// vector compares.
#[inline]
pub(crate) fn next_special(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let (blocks, tail) = rest.as_chunks::<16>();
    for (index, block) in blocks.iter().enumerate() {
        if has_special(block) {
            let inside = block.iter().position(|b| is_special(*b))?;
            return Some(from + index * 16 + inside);
        }
    }
    // What is left is looked at together with what stands before it, or as two halves that overlap.
    let clean = if let Some(last) = rest.last_chunk::<16>() {
        !has_special(last)
    } else if let (Some(first), Some(last)) = (tail.first_chunk::<8>(), tail.last_chunk::<8>()) {
        let both = [*first, *last];
        both.as_flattened()
            .first_chunk::<16>()
            .is_some_and(|both| !has_special(both))
    } else {
        false
    };
    if clean {
        return None;
    }
    let inside = tail
        .iter()
        .position(|b| SPECIAL.get(usize::from(*b)) == Some(&true))?;
    Some(from + blocks.len() * 16 + inside)
}

#[inline]
fn has_special(block: &[u8; 16]) -> bool {
    let each = block.map(|byte| u8::from(is_special(byte)));
    each.iter().fold(0, |any, one| any | one) != 0
}

/// [`is_special`] of every byte.
static SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut rest = table.as_mut_slice();
    let mut byte = 0;
    while let Some((first, others)) = rest.split_first_mut() {
        *first = is_special(byte);
        byte = byte.wrapping_add(1);
        rest = others;
    }
    table
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn special_bytes_are_those_that_need_an_escape() {
        for byte in 0..=255 {
            let wanted = byte < 0x20 || b"\"\\<>&\xe2".contains(&byte);
            assert_eq!(is_special(byte), wanted, "{byte}");
        }
    }

    proptest! {
        #[test]
        fn the_first_special_byte_is_found_at_any_place(
            bytes in prop::collection::vec(
                prop_oneof![20 => b'a'..=b'z', 1 => any::<u8>(), 1 => Just(b'"')],
                0..70,
            ),
            from in 0usize..80,
        ) {
            let plain = bytes.iter().enumerate().skip(from).find(|(_, b)| is_special(**b));
            prop_assert_eq!(next_special(&bytes, from), plain.map(|(at, _)| at));
        }
    }
}
