//! What decoding may allocate, and what it does allocate.

/// The most that decoding `input` bytes may hold at a time (`ARCHITECTURE.md`: 16 × input and
/// 64 KiB), and a little for what stands around it: the shared owner of the input, an error.
pub fn limit(input: usize) -> u64 {
    16 * input as u64 + 64 * 1024 + 1024
}

/// The result of `work` and the most bytes that it held at a time, on this thread.
///
/// A vector that grows counts with its old and its new memory.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let mut result = None;
    let info = allocation_counter::measure(|| result = Some(work()));
    (result.expect("measuring runs the work"), info.bytes_max)
}
