//! Open and sealed batches per partition, the memory budget, completion cells.

#![forbid(unsafe_code)]
