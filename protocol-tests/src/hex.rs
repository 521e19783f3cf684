//! Bytes in hex, as the oracle writes them: `-` for none.

use std::fmt::Write;

/// The bytes of an even number of hex digits; `-` is none.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    match text {
        "-" => Some(Vec::new()),
        _ if text.is_empty() || !text.len().is_multiple_of(2) => None,
        _ => text.as_bytes().chunks_exact(2).map(byte).collect(),
    }
}

fn byte(pair: &[u8]) -> Option<u8> {
    let digit = |at: usize| (pair[at] as char).to_digit(16);
    u8::try_from(digit(0)? << 4 | digit(1)?).ok()
}

/// `bytes` in hex.
pub fn encode(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a string takes everything
        text
    })
}
