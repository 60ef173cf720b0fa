//! Values one after another in bytes. What usually has one form (uids, addresses, ids of containers,
//! a few names) is short in that form, and still kept in any other.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of a uid and of the id of a container.
const UID: usize = 16;
const DIGEST: usize = 32;
/// Places of the dashes in a uid.
const DASHES: [usize; 4] = [8, 13, 18, 23];

/// Writes values.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

/// Reads what a [`Writer`] wrote, in the same order. Past the end everything is empty.
pub(super) struct Reader<'a>(&'a [u8]);

impl Writer {
    /// What has been written.
    pub(super) fn done(self) -> Box<[u8]> {
        self.0.into()
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }

    /// A number, or none.
    pub(super) fn some(&mut self, number: Option<i64>) {
        // Small numbers of either sign become small ones; 0 is none. The one number that has no place
        // left is the smallest, which no time and no count is.
        let folded = number.map_or(0, |number| {
            let folded = (number.wrapping_shl(1) ^ (number >> 63)).cast_unsigned();
            folded.saturating_add(1)
        });
        self.number(folded);
    }

    /// A text.
    pub(super) fn text(&mut self, text: &str) {
        self.tagged(0, 1, text);
    }

    /// A text in as many bytes as it has, with a tag of `tags`.
    fn tagged(&mut self, tag: u64, tags: u64, text: &str) {
        self.number(text.len() as u64 * tags + tag);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// A text that usually begins so.
    pub(super) fn after(&mut self, start: &str, text: &str) {
        match text.strip_prefix(start) {
            Some(rest) => self.tagged(1, 2, rest),
            None => self.tagged(0, 2, text),
        }
    }

    /// A text that usually is one of these.
    pub(super) fn known(&mut self, known: &[&str], text: &str) {
        let tags = known.len() as u64 + 1;
        match known.iter().position(|known| *known == text) {
            Some(place) => self.number(place as u64 + 1),
            None => self.tagged(0, tags, text),
        }
    }

    /// A uid.
    pub(super) fn uid(&mut self, uid: &str) {
        let mut digits = uid.to_owned();
        digits.retain(|digit| digit != '-');
        match unhex::<UID>(&digits).filter(|bytes| dashed(bytes) == uid) {
            Some(bytes) => self.fixed(&bytes),
            None => self.tagged(0, 2, uid),
        }
    }

    fn fixed(&mut self, bytes: &[u8]) {
        self.number(1);
        self.0.extend_from_slice(bytes);
    }

    /// An address.
    pub(super) fn ip(&mut self, ip: &str) {
        let address = ip.parse::<IpAddr>().ok();
        match address.filter(|address| address.to_string() == ip) {
            Some(IpAddr::V4(address)) => {
                self.number(1);
                self.0.extend_from_slice(&address.octets());
            }
            Some(IpAddr::V6(address)) => {
                self.number(2);
                self.0.extend_from_slice(&address.octets());
            }
            None => self.tagged(0, 3, ip),
        }
    }

    /// The id of a container, after one of these runtimes.
    pub(super) fn id(&mut self, runtimes: &[&str], id: &str) {
        let found = runtimes.iter().enumerate().find_map(|(place, runtime)| {
            let bytes = unhex::<DIGEST>(id.strip_prefix(runtime)?)?;
            Some((place, bytes))
        });
        match found {
            Some((place, bytes)) => {
                self.number(place as u64 + 1);
                self.0.extend_from_slice(&bytes);
            }
            None => self.tagged(0, runtimes.len() as u64 + 1, id),
        }
    }

    /// Texts by name.
    pub(super) fn map(&mut self, map: &BTreeMap<String, String>) {
        self.number(map.len() as u64);
        for (key, value) in map {
            self.text(key);
            self.text(value);
        }
    }
}

impl<'a> Reader<'a> {
    /// Reads these.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn number(&mut self) -> u64 {
        let (mut number, mut shift) = (0_u64, 0_u32);
        while let Some((byte, rest)) = self.0.split_first() {
            self.0 = rest;
            number |= u64::from(byte & 0x7f)
                .checked_shl(shift)
                .unwrap_or_default();
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        number
    }

    fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at_checked(length).unwrap_or((self.0, &[]));
        self.0 = rest;
        bytes
    }

    fn fixed<const N: usize>(&mut self) -> [u8; N] {
        self.bytes(N).try_into().unwrap_or([0; N])
    }

    fn of_length(&mut self, length: u64) -> String {
        let bytes = self.bytes(usize::try_from(length).unwrap_or(usize::MAX));
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// A number, or none.
    pub(super) fn some(&mut self) -> Option<i64> {
        let folded = self.number().checked_sub(1)?;
        Some((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
    }

    /// A text.
    pub(super) fn text(&mut self) -> String {
        let length = self.number();
        self.of_length(length)
    }

    /// A text that usually begins so.
    pub(super) fn after(&mut self, start: &str) -> String {
        let tagged = self.number();
        let rest = self.of_length(tagged / 2);
        if tagged % 2 == 1 {
            format!("{start}{rest}")
        } else {
            rest
        }
    }

    /// A text that usually is one of these.
    pub(super) fn known(&mut self, known: &[&str]) -> String {
        let (tagged, tags) = (self.number(), known.len() as u64 + 1);
        match usize::try_from(tagged % tags)
            .ok()
            .and_then(|place| known.get(place.checked_sub(1)?))
        {
            Some(known) => (*known).to_owned(),
            None => self.of_length(tagged / tags),
        }
    }

    /// A uid.
    pub(super) fn uid(&mut self) -> String {
        let tagged = self.number();
        match tagged % 2 {
            1 => dashed(&self.fixed::<UID>()),
            _ => self.of_length(tagged / 2),
        }
    }

    /// An address.
    pub(super) fn ip(&mut self) -> String {
        let tagged = self.number();
        match tagged % 3 {
            1 => Ipv4Addr::from(self.fixed::<4>()).to_string(),
            2 => Ipv6Addr::from(self.fixed::<16>()).to_string(),
            _ => self.of_length(tagged / 3),
        }
    }

    /// The id of a container, after one of these runtimes.
    pub(super) fn id(&mut self, runtimes: &[&str]) -> String {
        let (tagged, tags) = (self.number(), runtimes.len() as u64 + 1);
        let place = usize::try_from(tagged % tags)
            .unwrap_or_default()
            .checked_sub(1);
        match place.and_then(|place| runtimes.get(place)) {
            Some(runtime) => format!("{runtime}{}", hex(&self.fixed::<DIGEST>())),
            None => self.of_length(tagged / tags),
        }
    }

    /// Adds texts by name.
    pub(super) fn map(&mut self, map: &mut BTreeMap<String, String>) {
        for _ in 0..self.number() {
            if self.0.is_empty() {
                return;
            }
            let key = self.text();
            map.insert(key, self.text());
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// Bytes of as many lower-case digits.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = (digit(*high)? << 4) | digit(*low)?;
    }
    Some(bytes)
}

/// A uid as it is written.
fn dashed(bytes: &[u8; UID]) -> String {
    let mut text = hex(bytes);
    for place in DASHES {
        text.insert(place, '-');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["", "Running", "Failed"];
    const RUNTIMES: [&str; 2] = ["", "containerd://"];

    #[test]
    fn every_text_comes_back_from_every_form() {
        let digest = "0123456789abcdef".repeat(4);
        let texts = [
            "",
            "a",
            "Running",
            "Failed",
            "web-1",
            "web-",
            "10.0.0.1",
            "010.0.0.1",
            "::1",
            "fd00::1:2",
            "FD00::1",
            "::ffff:10.0.0.1",
            "0b3f5a1c-1c2d-4e5f-8a9b-0c1d2e3f4a5b",
            "0B3F5A1C-1c2d-4e5f-8a9b-0c1d2e3f4a5b",
            "0b3f5a1c1c2d4e5f8a9b0c1d2e3f4a5b",
            "0b3f5a1-c1c2d-4e5f-8a9b-0c1d2e3f4a5b",
            "\u{e4}\u{1f980}",
            &digest,
            &format!("containerd://{digest}"),
            &format!("cri-o://{digest}"),
            "containerd://x",
            &format!("containerd://{}", digest.to_uppercase()),
            &"long".repeat(100),
        ];
        for text in texts {
            let mut out = Writer::default();
            out.text(text);
            out.after("web-", text);
            out.known(&NAMES, text);
            out.uid(text);
            out.ip(text);
            out.id(&RUNTIMES, text);
            let bytes = out.done();
            let mut read = Reader::of(&bytes);
            let all = [
                read.text(),
                read.after("web-"),
                read.known(&NAMES),
                read.uid(),
                read.ip(),
                read.id(&RUNTIMES),
            ];
            assert!(all.iter().all(|read| read == text), "{text}: {all:?}");
            assert!(read.0.is_empty(), "{text}");
        }
    }

    #[test]
    fn numbers_come_back_and_small_ones_are_short() {
        let numbers = [0, 1, -1, 63, -64, 64, 1_714_557_600, i64::MAX, i64::MIN + 1];
        for number in numbers.map(Some).into_iter().chain([None]) {
            let mut out = Writer::default();
            out.some(number);
            let bytes = out.done();
            assert_eq!(Reader::of(&bytes).some(), number);
            if number.is_none_or(|number| (-63..=62).contains(&number)) {
                assert_eq!(bytes.len(), 1, "{number:?}");
            }
        }
    }

    #[test]
    fn bytes_that_nobody_wrote_are_read_without_harm() {
        for length in 0..40 {
            for byte in [0, 1, 2, 0x7f, 0x80, 0xff] {
                let bytes = vec![byte; length];
                let mut read = Reader::of(&bytes);
                let mut map = BTreeMap::new();
                read.map(&mut map);
                let mut read = Reader::of(&bytes);
                let all = (
                    read.some(),
                    read.text(),
                    read.after("a"),
                    read.known(&NAMES),
                );
                let more = (read.uid(), read.ip(), read.id(&RUNTIMES));
                assert!(format!("{all:?} {more:?} {map:?}").len() < 10_000);
            }
        }
    }
}
