//! A connection's opening, with and without a login, against a peer that sends any bytes. The first
//! byte chooses; the others arrive in pieces.

use milena_auth::{Credentials, Nonce, ScramCredentials, ScramHash};
use milena_codec::Str;
use milena_proto::wire::{Action, ClientIdentity, FrameReader, Opening};

use crate::dice::Dice;

/// The most requests that an opening may send (I2 of `wire`).
const MAX_REQUESTS: usize = 16;
const MAX_FRAME: usize = 1 << 20;

/// Negotiation and login.
pub fn opening(input: &[u8]) {
    let mut dice = Dice::new(input);
    let credentials = ScramCredentials::new(ScramHash::Sha256, "user", "pencil").expect("valid");
    let login = dice
        .chance(2)
        .then_some((&credentials as &dyn Credentials, [7; 24]));
    let login = login.map(|(credentials, nonce)| (credentials, Nonce::from_random(nonce)));
    let identity = ClientIdentity {
        client_id: None,
        software_name: Str::from_static("milena"),
        software_version: Str::from_static("0"),
    };
    let mut opening = Opening::new(identity, login);
    let mut reader = FrameReader::new(MAX_FRAME);
    let mut action = opening.start();
    let mut requests = 0;
    loop {
        action = match action {
            Ok(Action::Send(_)) => {
                requests += 1;
                assert!(requests <= MAX_REQUESTS, "the opening does not end");
                match next_frame(&mut reader, &mut dice) {
                    Some(frame) => opening.handle_frame(frame),
                    None => return,
                }
            }
            Ok(Action::Step(exchange)) if exchange.is_heavy() => return,
            Ok(Action::Step(exchange)) => opening.handle_stepped(exchange.run()),
            Ok(Action::Done(_)) | Err(_) => return,
        };
    }
}

fn next_frame(reader: &mut FrameReader, dice: &mut Dice<'_>) -> Option<bytes::Bytes> {
    loop {
        match reader.poll_frame() {
            Ok(Some(frame)) => return Some(frame),
            Ok(None) if dice.is_empty() => return None,
            Ok(None) => {
                let count = usize::from(dice.byte()) + 1;
                reader.buffer().extend_from_slice(dice.take(count));
            }
            Err(_) => return None,
        }
    }
}
