//! A short, deterministic stand-in for a fuzzer: mutations of the committed seeds.

use std::fs;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use std::{process, thread};

use crate::dice::XorShift;
use crate::fuzz::{TARGETS, Target};
use crate::hex;

/// How long an input may take; they take microseconds.
pub const HANG: Duration = Duration::from_secs(20);
/// The largest input made.
const MAX_INPUT: usize = 4096;

/// Where the seeds of a target are.
pub fn seeds_dir(target: &str) -> PathBuf {
    crate::file("../fuzz/seeds").join(target)
}

/// Gives a target its committed seeds, then `rounds` mutations of them.
///
/// # Panics
/// When the target does, with the input in hex; or when there are no seeds. Ends the process when
/// an input takes [`HANG`] or longer.
pub fn run(target: &str, rounds: u32) {
    let (_, check) = TARGETS
        .iter()
        .find(|(name, _)| *name == target)
        .expect("the target exists");
    let seeds = seeds(target);
    let current = Mutex::new((0, Vec::new()));
    let (running, ended) = mpsc::channel();
    thread::scope(|scope| {
        let current = &current;
        scope.spawn(move || watch(target, current, &ended));
        let _running: Sender<()> = running; // dropped at the end, a panic included
        let mut number = 0;
        let mut give = |input: &[u8]| {
            number += 1;
            *lock(current) = (number, input.to_vec());
            reported(target, *check, input);
        };
        seeds.iter().for_each(|seed| give(seed));
        let mut chance = XorShift::new(1);
        for _ in 0..rounds {
            let mut input = seeds[chance.below(seeds.len())].clone();
            for _ in 0..=chance.below(4) {
                mutate(&mut input, &seeds, &mut chance);
            }
            input.truncate(MAX_INPUT);
            give(&input);
        }
    });
}

/// The number of the input that is being looked at, and the input.
type Current = Mutex<(u64, Vec<u8>)>;

fn lock(current: &Current) -> MutexGuard<'_, (u64, Vec<u8>)> {
    current.lock().expect("nothing panics under this lock")
}

/// Ends the process, with the input shown, when one input takes too long.
fn watch(target: &str, current: &Current, ended: &Receiver<()>) {
    let mut last = 0;
    while ended.recv_timeout(HANG) == Err(RecvTimeoutError::Timeout) {
        let current = lock(current);
        if current.0 == last {
            show(target, &current.1, "hangs");
            process::abort();
        }
        last = current.0;
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let dir = seeds_dir(target);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable directory").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no seeds in {}", dir.display());
    let read = |path: &PathBuf| fs::read(path).expect("a readable seed");
    paths.iter().map(read).collect()
}

fn reported(target: &str, check: Target, input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(input))) {
        show(target, input, "fails");
        resume_unwind(panic);
    }
}

fn show(target: &str, input: &[u8], what: &str) {
    let input = hex::encode(input);
    // Written past libtest, which would keep it to itself when the process ends.
    let _ = writeln!(
        io::stderr(),
        "{target} {what} on this input; to replay it, in fuzz/:\n\
         echo {input} | xxd -r -p > input && RUSTC_BOOTSTRAP=1 cargo fuzz run {target} input"
    );
}

/// Changes `input` in one place.
pub fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], chance: &mut XorShift) {
    let at = chance.below(input.len() + 1);
    let end = (at + 1 + chance.below(16)).min(input.len());
    match chance.below(8) {
        0 => input.truncate(at),
        1 => drop(input.drain(at.min(end)..end)),
        2 => {
            let copy = input[at.min(end)..end].to_vec();
            input.splice(at..at, copy);
        }
        3 => {
            let count = chance.below(8);
            let bytes = chance.bytes(count);
            input.splice(at..at, bytes);
        }
        4 => overwrite(input, at, &number(chance)),
        5 => {
            let other = &seeds[chance.below(seeds.len())];
            let from = chance.below(other.len() + 1);
            input.truncate(at);
            input.extend(&other[from..]);
        }
        6 => overwrite(input, at, &[chance.next_u64() as u8]),
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << chance.below(8);
            }
        }
    }
}

fn overwrite(input: &mut [u8], at: usize, bytes: &[u8]) {
    for (place, byte) in input[at..].iter_mut().zip(bytes) {
        *place = *byte;
    }
}

/// Numbers that lengths and counts go wrong at.
fn number(chance: &mut XorShift) -> Vec<u8> {
    let small = chance.below(300) as i32 - 2;
    match chance.below(6) {
        0 => i32::MAX.to_be_bytes().to_vec(),
        1 => i32::MIN.to_be_bytes().to_vec(),
        2 => small.to_be_bytes().to_vec(),
        3 => (small as i16).to_be_bytes().to_vec(),
        4 => vec![0xff, 0xff, 0xff, 0xff, 0x0f],
        _ => vec![0xff; 10],
    }
}
