//! `seeds`: writes the fuzz targets' seeds to `fuzz/seeds`. Seeds called `once-…`, inputs that once
//! failed, stay; other files go.

use std::fs;
use std::io;

use protocol_tests::mutate::seeds_dir;
use protocol_tests::{fuzz, seeds};

fn main() -> io::Result<()> {
    for (target, _) in fuzz::TARGETS {
        fs::create_dir_all(seeds_dir(target))?;
        for entry in fs::read_dir(seeds_dir(target))? {
            let entry = entry?;
            if !entry.file_name().as_encoded_bytes().starts_with(b"once-") {
                fs::remove_file(entry.path())?;
            }
        }
    }
    let seeds = seeds::all();
    for seed in &seeds {
        fs::write(seeds_dir(seed.target).join(&seed.name), &seed.bytes)?;
    }
    let size: usize = seeds.iter().map(|seed| seed.bytes.len()).sum();
    println!("{} seeds, {size} bytes", seeds.len());
    Ok(())
}
