use super::*;

const SEED: u64 = 0x5ca1_ab1e;

fn xorshift(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn parse_as_everything(bytes: &[u8]) -> usize {
    let Ok(text) = text(bytes) else {
        return 0;
    };
    [
        ServerFirst::parse(text).is_ok(),
        ServerFinal::parse(text).is_ok(),
        ClientFirst::parse(text).is_ok(),
        ClientFinal::parse(text).is_ok(),
    ]
    .into_iter()
    .filter(|&ok| ok)
    .count()
}

#[test]
fn damaged_messages_never_panic() {
    let originals: [&[u8]; 4] = [
        b"r=abcDEF,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,ext=1",
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=,ext=1",
        b"n,a=a=2Cb,n=a=2Cb,r=abc,tokenauth=true",
        b"c=biws,r=abcDEF,ext=1,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    ];
    let mut state = SEED;
    let mut parsed = 0;
    for original in originals {
        assert_eq!(parse_as_everything(original), 1);
        for _ in 0..20_000 {
            let mut bytes = original.to_vec();
            for _ in 0..=xorshift(&mut state) % 4 {
                let at = xorshift(&mut state) as usize % bytes.len();
                match xorshift(&mut state) % 4 {
                    0 => bytes[at] = xorshift(&mut state) as u8,
                    1 => bytes[at] = b",=anrvepmsi"[xorshift(&mut state) as usize % 11],
                    2 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, b",=\0\xff"[xorshift(&mut state) as usize % 4]),
                }
            }
            parsed += parse_as_everything(&bytes);
        }
    }
    assert!(
        parsed > 0,
        "some damage is harmless, so some messages still parse"
    );
}

#[test]
fn escaping_is_undone_by_unescaping() {
    for name in ["alice", "a=b,c", "=2C", "==,,", "=3D2C"] {
        assert_eq!(unescape(&escape(name)).ok().as_deref(), Some(name));
    }
}

#[test]
fn token_authentication_is_only_the_extension_with_the_value_true() {
    for (suffix, expected) in [
        ("", false),
        (",tokenauth=true", true),
        (",tokenauth=TRUE", true),
        (",tokenauth=false", false),
        (",other=1,tokenauth=true", true),
        (",tokenauthx=true", false),
    ] {
        let text = format!("n,,n=alice,r=x{suffix}");
        let first = ClientFirst::parse(&text).ok().unwrap();
        assert_eq!(first.token_auth, expected, "{suffix}");
        assert_eq!((first.gs2_header, first.nonce), ("n,,", "x"));
        assert_eq!(first.bare, &text[3..]);
    }
}
