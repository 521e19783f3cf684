//! Record batches: write in place, read lazily; CRC-32C; compression.

#![forbid(unsafe_code)]
