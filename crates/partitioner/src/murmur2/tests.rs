use std::num::NonZeroU32;

use super::{for_key, murmur2};

/// Input in hexadecimal and what Kafka 4.3.1's `Utils.murmur2` makes of it.
const KAFKA_4_3_1: &[(&str, u32)] = &[
    ("", 0x106e08d9),
    ("61", 0xa2d0b27c),
    ("6162", 0x12d8262a),
    ("616263", 0x1c94221b),
    ("61626364", 0xb11ab5f4),
    ("6f7264657273", 0xc29dda9c),
    ("637573746f6d65722d3432", 0xdfa2ab19),
    ("c3a9", 0x0b24f487),
    ("6bc3b66e6967", 0xace8567d),
    ("f09f9880", 0x07dc5a91),
    ("35", 0x0348c486),
    ("f78a", 0x4ccbea94),
    ("e1bbe7", 0xc55fb1d6),
    ("28c0450c", 0xe8a02577),
    ("e43c084f4b", 0x26c19bf0),
    ("839dee466d85", 0x2454d8e2),
    ("be6a61aa9a0c61", 0x857cd7c9),
    ("bd6743e7dc978573", 0x1d994106),
    ("998e685e885cb361f8", 0x803b2913),
    ("20bebfb01100b2765457", 0x6846e7e2),
    ("0f406cc8e3a188fff11059", 0x0e488ed6),
    ("6fbce62655dfbd6f83b89670", 0xd5590c01),
    ("d6d9f9bf52d83deedc0bf66205", 0x50119db6),
    ("16ad682d8c478a26f45027984959", 0x19e19711),
    ("dd53b3351a572b40f27f72d37f347b", 0xf2c71659),
    ("9979162cfa959d2832a46196d92c3046", 0x44f2b211),
    ("97e953c0026cc4a45eb32f92829e8d14ee", 0x396bb0b2),
    ("edc93517ef7da4c0ce2972cc9b060b08b646", 0x852c7526),
    ("f3a3a05bb102f732ed235bd1283ed5021192ed", 0x51b8674d),
    ("754300c523675af9b6c4a514cacaa1b6a7367388", 0x7ce075ee),
    ("53ee067b87849adf0100aa4a52cc32388c082af3d5", 0x70ec3235),
    ("bcc00bd26fae51303f23fba277b4e0602cbf7e5e9ba8", 0xcd1a0e36),
    ("daa9395cbb3cb06feaf2456f0a5717a6b5bb127579092b", 0xefb6285a),
    (
        "831b0279bb5070f331dc11786481868c3667cbd3ed409109",
        0xee457e46,
    ),
    (
        "1e01aa26a3d1750dfb4178d5d1a3e2c95da3d6759f5be1c2c7",
        0x1f4e54f0,
    ),
    (
        "801aa2a1c6b52a321eac46580edde42d2e8a65f64ba69ddd914f",
        0x83875174,
    ),
    (
        "8934917ca07a548c5dcdc46ba917160239c103a2db67f4c18eef29",
        0x928413bf,
    ),
    (
        "2fa68ba1aa5db9501dfbfb1177b555921451ec577ca9fa5e105f6c4a",
        0x7adeabd8,
    ),
    (
        "db3d2fdfc7b360271f6244ce3d236f400c2ec09dc6814b62dd03d65fbe",
        0x982b5927,
    ),
    (
        "8de47eb2786e90251df79ae83722a44af8b13632383ec12be5cd22cf0719",
        0xc1d6f3a5,
    ),
    (
        "223cc0a0b454e2c7a055a176b9593aa87c6f3a4e7854b9ff2181378ac08dc8",
        0x67c2153f,
    ),
    (
        "bba296a2c5a3adb1e76e522063b8ba17bbd0507fa7ea6bcaa20ffe06f6b4a9ab",
        0xd7f553b0,
    ),
    (
        "a00c570946defa77f530dd7b4ae498753e94b1a77bed00447df0506566bdc778ba",
        0x0ed1ef82,
    ),
    (
        "a6a2df2212db756276353fd171756fa5bece42fa4c3c3dc50333b9b318fddfe4a9d1",
        0x4edb0fed,
    ),
    ("ff", 0xed6f615b),
    ("ffff", 0x9e145be0),
    ("ffffff", 0x5c47a5fe),
    ("ffffffff", 0x266546a5),
    ("ffffffffff", 0xea504362),
    ("ffffffffffff", 0x01b21f74),
    ("ffffffffffffff", 0xfbc02593),
    ("ffffffffffffffff", 0x0b1560bd),
    ("ffffffffffffffffff", 0x60218bc7),
    ("80", 0x331f517c),
    ("8080", 0xbbbc9aae),
    ("808080", 0xbc5e156f),
    ("80808080", 0xfa4e6e04),
    ("8080808080", 0xa5181564),
];

/// Kafka's hashes of the first 0, 1, … 4,096 bytes of [`noise`], folded by `31 * fold + hash`.
const KAFKA_FOLD: u32 = 0x66ad_0d7e;

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn noise() -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..4_096).map(|_| next()).collect()
}

#[test]
fn hashes_are_those_of_kafka() {
    for &(input, hash) in KAFKA_4_3_1 {
        assert_eq!(murmur2(&unhex(input)), hash, "{input}");
    }
}

#[test]
fn every_length_up_to_4096_hashes_as_in_kafka() {
    let noise = noise();
    let fold = (0..=noise.len()).fold(0_u32, |fold, len| {
        fold.wrapping_mul(31).wrapping_add(murmur2(&noise[..len]))
    });
    assert_eq!(fold, KAFKA_FOLD);
}

#[test]
fn a_key_maps_to_its_hash_without_sign_modulo_the_partitions() {
    for &(input, hash) in KAFKA_4_3_1 {
        for count in [1, 2, 3, 12, 1_000, i32::MAX as u32, u32::MAX] {
            let partition = for_key(&unhex(input), NonZeroU32::new(count).unwrap());
            assert_eq!(
                u32::try_from(partition).unwrap(),
                (hash & 0x7fff_ffff) % count
            );
        }
    }
}
