use std::io::Write;

use flate2::GzBuilder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use super::*;

fn compressed(codec: Compression, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Compressor::new(codec)
        .compress(data, &mut out)
        .expect("compresses");
    out
}

fn decompress(codec: Compression, data: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let mut out = Vec::new();
    Decompressor::new()
        .decompress(codec, data, limit, &mut out)
        .map(|()| out)
}

/// Text-like and random stretches.
fn sample(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9u32;
    (0..len)
        .map(|at| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if at / 5000 % 2 == 0 {
                b"{\"name\": 17}, "[at % 14]
            } else {
                (state >> 24) as u8
            }
        })
        .collect()
}

#[test]
fn every_codec_reads_what_it_wrote_also_when_reused() {
    let mut decompressor = Decompressor::new();
    let mut out = Vec::new();
    for codec in Compression::ALL {
        let mut compressor = Compressor::new(codec);
        let mut packed = Vec::new();
        for len in [0, 1, 2, 100, 32_768, 65_535, 65_536, 65_537, 400_000, 3, 0] {
            let data = sample(len);
            compressor.compress(&data, &mut packed).expect("compresses");
            decompressor
                .decompress(codec, &packed, len, &mut out)
                .expect("reads");
            assert!(out == data, "{codec} {len}");
        }
    }
}

#[test]
fn the_limit_is_exact() {
    let data = sample(200_000);
    for codec in Compression::ALL {
        let packed = compressed(codec, &data);
        assert_eq!(
            decompress(codec, &packed, data.len()).as_ref(),
            Ok(&data),
            "{codec}"
        );
        for limit in [data.len() - 1, 70_000, 1, 0] {
            let refused = decompress(codec, &packed, limit);
            assert_eq!(refused, Err(DecompressError::TooLarge { limit }), "{codec}");
        }
    }
}

#[test]
fn a_buffer_larger_than_the_limit_does_not_lift_it() {
    let data = sample(1000);
    for codec in Compression::ALL {
        let mut out = Vec::with_capacity(100_000);
        let packed = compressed(codec, &data);
        let refused = Decompressor::new().decompress(codec, &packed, 999, &mut out);
        assert_eq!(
            refused,
            Err(DecompressError::TooLarge { limit: 999 }),
            "{codec}"
        );
    }
}

#[test]
fn every_cut_is_an_error() {
    let data = sample(300);
    for codec in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let packed = compressed(codec, &data);
        for cut in 0..packed.len() {
            let result = decompress(codec, &packed[..cut], 1000);
            // A xerial header alone is an empty stream, and so is no zstd frame at all.
            let empty = [(Compression::Snappy, 16), (Compression::Zstd, 0)].contains(&(codec, cut));
            assert_eq!(result.is_ok(), empty, "{codec} cut at {cut}");
        }
    }
}

#[test]
fn levels_are_those_of_kip_390() {
    for (codec, level) in [
        (Compression::Gzip, 0),
        (Compression::Gzip, 10),
        (Compression::Lz4, 0),
        (Compression::Lz4, 18),
        (Compression::Zstd, 23),
        (Compression::Zstd, -131_073),
    ] {
        let refused = Compressor::with_level(codec, level);
        assert!(
            matches!(refused, Err(LevelError::OutOfRange { .. })),
            "{codec} {level}"
        );
    }
    let refused = Compressor::with_level(Compression::Snappy, 1).err();
    assert_eq!(refused, Some(LevelError::NoLevels(Compression::Snappy)));
    assert!(Compressor::with_level(Compression::Gzip, -1).is_ok());

    let data = sample(100_000);
    for codec in [Compression::Gzip, Compression::Lz4, Compression::Zstd] {
        let (min, max) = codec.levels().expect("has levels");
        for level in [min, max] {
            let mut packed = Vec::new();
            let mut compressor = Compressor::with_level(codec, level).expect("in range");
            compressor.compress(&data, &mut packed).expect("compresses");
            assert_eq!(decompress(codec, &packed, data.len()).as_ref(), Ok(&data));
        }
    }
}

#[test]
fn names_and_ids_are_kafkas() {
    for (id, name) in ["none", "gzip", "snappy", "lz4", "zstd"]
        .into_iter()
        .enumerate()
    {
        let codec: Compression = name.parse().expect("known");
        assert_eq!(
            (usize::from(codec.id()), codec.to_string()),
            (id, name.to_owned())
        );
        assert_eq!(Compression::from_id(codec.id()), Some(codec));
    }
    assert_eq!(Compression::from_id(5), None);
    assert!("LZ4".parse::<Compression>().is_err());
}

#[test]
fn gzip_with_every_optional_field_and_several_members_is_read() {
    let data = sample(5000);
    let mut stream = Vec::new();
    for part in data.chunks(2000) {
        let mut encoder = GzBuilder::new()
            .filename("name")
            .comment("comment")
            .extra(vec![1, 2, 3])
            .mtime(1)
            .write(Vec::new(), flate2::Compression::fast());
        encoder.write_all(part).expect("a vector");
        stream.extend(encoder.finish().expect("a vector"));
    }
    assert_eq!(
        decompress(Compression::Gzip, &stream, 5000).as_ref(),
        Ok(&data)
    );
    stream.extend(b"padding");
    assert_eq!(
        decompress(Compression::Gzip, &stream, 5000).as_ref(),
        Ok(&data)
    );
}

#[test]
fn a_wrong_gzip_checksum_is_found() {
    let mut packed = compressed(Compression::Gzip, &sample(100));
    let at = packed.len() - 8;
    packed[at] ^= 1;
    assert!(decompress(Compression::Gzip, &packed, 100).is_err());
}

#[test]
fn snappy_is_written_in_xerials_framing_and_read_raw_too() {
    let data = sample(100_000);
    let packed = compressed(Compression::Snappy, &data);
    assert_eq!(packed[..16], *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");

    let raw = snap::raw::Encoder::new()
        .compress_vec(&data)
        .expect("compresses");
    assert_eq!(
        decompress(Compression::Snappy, &raw, data.len()).as_ref(),
        Ok(&data)
    );

    let twice = [&packed[..], &packed[..]].concat();
    let both = decompress(Compression::Snappy, &twice, 2 * data.len());
    assert_eq!(both, Ok([&data[..], &data[..]].concat()));
}

#[test]
fn a_snappy_block_that_declares_more_than_it_holds_is_refused_unallocated() {
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
    let framed = [&b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0\x07"[..], &claim].concat();
    for input in [&claim[..], &framed[..]] {
        let mut out = Vec::new();
        let mut decompressor = Decompressor::new();
        let refused = decompressor.decompress(Compression::Snappy, input, usize::MAX, &mut out);
        assert!(matches!(refused, Err(DecompressError::Corrupt { .. })));
        assert_eq!(out.capacity(), 0);
    }
}

#[test]
fn lz4_frames_of_every_kind_are_read() {
    let data = sample(300_000);
    for size in [
        BlockSize::Max64KB,
        BlockSize::Max256KB,
        BlockSize::Max1MB,
        BlockSize::Max4MB,
    ] {
        for mode in [BlockMode::Independent, BlockMode::Linked] {
            for checks in [false, true] {
                let info = FrameInfo::new()
                    .block_size(size)
                    .block_mode(mode)
                    .block_checksums(checks)
                    .content_checksum(checks)
                    .content_size(checks.then_some(data.len() as u64));
                let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
                encoder.write_all(&data).expect("a vector");
                let frame = encoder.finish().expect("a vector");
                let read = decompress(Compression::Lz4, &frame, data.len());
                assert!(
                    read.as_ref() == Ok(&data),
                    "{size:?} {mode:?} {checks}: {}",
                    read.is_ok()
                );
            }
        }
    }
}

#[test]
fn damaged_lz4_checksums_are_found() {
    let info = FrameInfo::new()
        .block_checksums(true)
        .content_checksum(true);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(&sample(100)).expect("a vector");
    let frame = encoder.finish().expect("a vector");
    for at in [4, 6, frame.len() - 12, frame.len() - 1] {
        let mut damaged = frame.clone();
        damaged[at] ^= 1;
        assert!(
            decompress(Compression::Lz4, &damaged, 100).is_err(),
            "byte {at}"
        );
    }
}

#[test]
fn zstd_frames_without_a_size_and_several_of_them_are_read() {
    let data = sample(500_000);
    for level in [1, 22] {
        let mut encoder = zstd::Encoder::new(Vec::new(), level).expect("a context");
        encoder.write_all(&data).expect("a vector");
        let frame = encoder.finish().expect("a vector");
        assert!(matches!(
            zstd::zstd_safe::get_frame_content_size(&frame),
            Ok(None)
        ));
        let twice = [&frame[..], &frame[..]].concat();
        let both = decompress(Compression::Zstd, &twice, 2 * data.len());
        assert!(both == Ok([&data[..], &data[..]].concat()));
    }
}

#[test]
fn a_reader_recovers_after_every_kind_of_error() {
    let mut decompressor = Decompressor::new();
    let data = sample(10_000);
    let mut out = Vec::new();
    for codec in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let packed = compressed(codec, &data);
        for at in (0..packed.len()).step_by(97) {
            let mut damaged = packed.clone();
            damaged[at] ^= 0x55;
            let _ = decompressor.decompress(codec, &damaged, 20_000, &mut out);
            decompressor
                .decompress(codec, &packed, 10_000, &mut out)
                .expect("undamaged");
            assert!(out == data, "{codec} {at}");
        }
    }
}

#[test]
fn a_threads_own_decompressor_serves_nested_use() {
    let packed = compressed(Compression::Zstd, b"abc");
    let read = |local: &mut Decompressor| {
        let mut out = Vec::new();
        local
            .decompress(Compression::Zstd, &packed, 10, &mut out)
            .expect("reads");
        out
    };
    let both = Decompressor::with_local(|outer| (Decompressor::with_local(read), read(outer)));
    assert_eq!(both, (b"abc".to_vec(), b"abc".to_vec()));
}
