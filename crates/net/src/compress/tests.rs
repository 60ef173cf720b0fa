#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods
)]
use std::io::Write;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn encoded(encoding: Encoding, input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Encoder::default_of(encoding)
        .encode(input, &mut out)
        .unwrap();
    out
}

/// A megabyte of telemetry-like text: repetitive, but no bomb.
fn telemetry(len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut i = 0_u64;
    while out.len() < len {
        i = i
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        write!(
            out,
            "http.route=/api/v1/items/{} status=200 host=node-{};",
            i >> 40,
            i >> 60
        )
        .unwrap();
    }
    out.truncate(len);
    out
}

#[test]
fn names_round_trip() {
    for encoding in Encoding::ALL {
        assert_eq!(Encoding::from_name(encoding.name()), Some(encoding));
    }
    assert_eq!(Encoding::from_name("GZIP"), None);
    assert_eq!(Encoding::from_name("br"), None);
}

#[test]
fn encoded_bodies_decode_to_the_input() {
    for encoding in Encoding::ALL {
        for len in [0, 1, 100, 70_000, 3 << 20] {
            let input = telemetry(len);
            let packed = encoded(encoding, &input);
            let out = decode(encoding, &packed, len).unwrap();
            assert!(out == input, "{encoding:?} {len}");
        }
    }
}

#[test]
fn the_limit_is_exact() {
    for encoding in Encoding::ALL {
        let input = telemetry(50_000);
        let packed = encoded(encoding, &input);
        assert!(decode(encoding, &packed, 50_000).is_ok());
        let refused = decode(encoding, &packed, 49_999);
        assert_eq!(
            refused,
            Err(DecodeError::TooLarge { limit: 49_999 }),
            "{encoding:?}"
        );
    }
}

#[test]
fn truncated_bodies_are_refused() {
    for encoding in Encoding::ALL {
        let packed = encoded(encoding, &telemetry(100_000));
        for cut in [1, 3, 9, packed.len() / 2, packed.len()] {
            let result = decode(encoding, &packed[..packed.len() - cut], 1 << 20);
            // A framed Snappy stream of no frames is valid.
            if cut != packed.len() || encoding != Encoding::SnappyFramed {
                assert!(
                    matches!(result, Err(DecodeError::Corrupt { .. })),
                    "{encoding:?} -{cut}"
                );
            }
        }
    }
}

#[test]
fn mislabelled_bodies_are_refused() {
    for encoding in Encoding::ALL {
        let result = decode(
            encoding,
            b"\x0a\x04\x0a\x02\x08\x01 plain protobuf",
            1 << 20,
        );
        assert!(
            matches!(result, Err(DecodeError::Corrupt { .. })),
            "{encoding:?}"
        );
    }
}

#[test]
fn bombs_are_refused_whatever_the_encoding() {
    let zeros = vec![0; 6 << 20];
    for encoding in Encoding::ALL {
        let bomb = encoded(encoding, &zeros);
        let limit = 3 << 20;
        let refused = decode(encoding, &bomb, limit).unwrap_err();
        assert_eq!(refused, DecodeError::TooLarge { limit });
    }
}

#[test]
fn unusually_repetitive_bodies_within_the_limit_are_taken() {
    let zeros = vec![0; 2 << 20];
    for encoding in Encoding::ALL {
        let packed = encoded(encoding, &zeros);
        assert!(
            decode(encoding, &packed, 2 << 20).unwrap() == zeros,
            "{encoding:?}"
        );
        assert!(
            decode(encoding, &packed, (2 << 20) - 1).is_err(),
            "{encoding:?}"
        );
    }
}

/// CVE-2026-42154 and its relatives: a few bytes that claim gigabytes.
#[test]
fn claimed_lengths_reserve_nothing() {
    // Snappy: varint 2^32-1 and 256 MiB.
    for claim in [
        &b"\xff\xff\xff\xff\x0f"[..],
        &b"\x80\x80\x80\x80\x01\x00"[..],
    ] {
        assert!(decode(Encoding::Snappy, claim, 20 << 20).is_err());
        assert!(matches!(
            decode(Encoding::Snappy, claim, usize::MAX),
            Err(DecodeError::Corrupt { .. })
        ));
    }
    // zstd: single segment with an eight byte content size of 2^62.
    let zstd = b"\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x00\x00\x00\x40\x01\x00\x00";
    assert!(matches!(
        decode(Encoding::Zstd, zstd, usize::MAX),
        Err(DecodeError::Corrupt { .. })
    ));
    // zstd: window of 2^41 bytes.
    let zstd = b"\x28\xb5\x2f\xfd\x00\xf8\x01\x00\x00";
    assert!(matches!(
        decode(Encoding::Zstd, zstd, usize::MAX),
        Err(DecodeError::Corrupt { .. })
    ));
    // gzip: a length in the trailer that is not so.
    let mut gzip = encoded(Encoding::Gzip, b"short");
    let at = gzip.len() - 1;
    gzip[at] = 0x7f;
    assert!(matches!(
        decode(Encoding::Gzip, &gzip, usize::MAX),
        Err(DecodeError::Corrupt { .. })
    ));
}

#[test]
fn gzip_members_are_joined_and_headers_with_options_skipped() {
    let mut two = encoded(Encoding::Gzip, b"one ");
    two.extend(encoded(Encoding::Gzip, b"two"));
    assert_eq!(decode(Encoding::Gzip, &two, 7).unwrap(), b"one two");

    let mut writer = flate2::GzBuilder::new()
        .filename("name")
        .comment("comment")
        .extra("extra")
        .write(Vec::new(), flate2::Compression::default());
    writer.write_all(b"payload").unwrap();
    let packed = writer.finish().unwrap();
    assert_eq!(decode(Encoding::Gzip, &packed, 7).unwrap(), b"payload");
    assert!(decode(Encoding::Gzip, &[&packed[..], b"garbage"].concat(), 100).is_err());
}

#[test]
fn zstd_frames_are_joined() {
    let mut two = encoded(Encoding::Zstd, b"one ");
    two.extend(encoded(Encoding::Zstd, b"two"));
    assert_eq!(decode(Encoding::Zstd, &two, 7).unwrap(), b"one two");
}

#[test]
fn framed_snappy_under_the_plain_name_is_recognised() {
    let framed = encoded(Encoding::SnappyFramed, b"payload");
    assert_eq!(decode(Encoding::Snappy, &framed, 7).unwrap(), b"payload");
}

#[test]
fn levels_are_checked() {
    assert!(Encoder::new(Encoding::Gzip, 9).is_ok());
    assert!(Encoder::new(Encoding::Gzip, -1).is_ok());
    assert!(Encoder::new(Encoding::Zstd, 22).is_ok());
    for (encoding, level) in [
        (Encoding::Gzip, 10),
        (Encoding::Zstd, 23),
        (Encoding::Snappy, 1),
    ] {
        let text = Encoder::new(encoding, level).unwrap_err();
        assert!(
            text.contains(encoding.name()) && text.contains(&level.to_string()),
            "{text}"
        );
    }
}

#[test]
fn configuration_names() {
    for name in [
        "gzip",
        "zlib",
        "deflate",
        "snappy",
        "x-snappy-framed",
        "zstd",
        "lz4",
        "none",
    ] {
        let compression = Compression::try_from(name.to_owned()).unwrap();
        assert_eq!(String::from(compression), name);
    }
    assert_eq!(Compression::try_from(String::new()), Ok(Compression::NONE));
    let text = Compression::try_from("brotli".to_owned()).unwrap_err();
    assert!(text.contains("brotli") && text.contains("gzip"), "{text}");
}

#[tokio::test]
async fn async_forms_agree_with_the_plain_ones() {
    let input = Bytes::from(telemetry(2 << 20));
    for encoding in Encoding::ALL {
        let packed = encode_body(Encoder::default_of(encoding), input.clone(), 5)
            .await
            .unwrap();
        assert_eq!(packed[..5], [0; 5]);
        let packed = Bytes::from(packed).slice(5..);
        assert!(
            decode_body(encoding, packed.clone(), 2 << 20)
                .await
                .unwrap()
                == input
        );
        assert!(decode_body(encoding, packed, 1 << 20).await.is_err());
    }
}

#[tokio::test]
async fn bombs_are_counted_one_at_a_time() {
    let bomb = Bytes::from(encoded(Encoding::Gzip, &vec![0; 4 << 20]));
    let limit = 2 << 20;
    let tasks: Vec<_> = (0..8)
        .map(|_| tokio::spawn(decode_body(Encoding::Gzip, bomb.clone(), limit)))
        .collect();
    for task in tasks {
        assert_eq!(
            task.await.unwrap().unwrap_err(),
            DecodeError::TooLarge { limit }
        );
    }
}

proptest! {
    #[test]
    fn any_input_round_trips(input in proptest::collection::vec(any::<u8>(), 0..4000)) {
        for encoding in Encoding::ALL {
            let packed = encoded(encoding, &input);
            prop_assert_eq!(&decode(encoding, &packed, input.len()).unwrap(), &input);
        }
    }

    #[test]
    fn any_bytes_give_an_error_or_data_within_the_limit(
        input in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        for encoding in Encoding::ALL {
            if let Ok(out) = decode(encoding, &input, 1000) {
                prop_assert!(out.len() <= 1000);
            }
        }
    }

    #[test]
    fn damaged_bodies_give_an_error_or_data_within_the_limit(
        at in 0_usize..500, with in any::<u8>(),
    ) {
        for encoding in Encoding::ALL {
            let mut packed = encoded(encoding, &telemetry(5000));
            let at = at % packed.len();
            packed[at] ^= with;
            if let Ok(out) = decode(encoding, &packed, 6000) {
                prop_assert!(out.len() <= 6000);
            }
        }
    }
}
