use super::*;

const MIB: usize = 1 << 20;

fn filled(pool: &BlockPool, size: usize) -> Bytes {
    let mut block = pool.take(size);
    block.resize(size, 7);
    pool.freeze(block)
}

#[test]
fn a_block_comes_back_when_the_last_slice_of_it_is_dropped() {
    let pool = BlockPool::new(8 * MIB);
    let whole = filled(&pool, MIB);
    let address = whole.as_ptr();
    let part = whole.slice(10..20);
    drop(whole);
    assert_eq!((pool.lent(), pool.idle_bytes()), (1, 0));
    drop(part);
    assert_eq!((pool.lent(), pool.idle_bytes()), (0, MIB));
    let again = filled(&pool, MIB - 5);
    assert_eq!(again.as_ptr(), address);
    assert_eq!(pool.idle_bytes(), 0);
}

#[test]
fn small_blocks_and_blocks_that_grew_are_not_kept() {
    let pool = BlockPool::new(8 * MIB);
    drop(filled(&pool, 100));
    let mut grown = pool.take(SMALLEST);
    grown.reserve_exact(SMALLEST + 1);
    grown.resize(SMALLEST + 1, 0);
    drop(pool.freeze(grown));
    assert_eq!((pool.lent(), pool.idle_bytes()), (0, 0));
}

#[test]
fn no_more_than_the_limit_is_kept_and_other_sizes_make_room() {
    let pool = BlockPool::new(2 * MIB);
    let many: Vec<_> = (0..4).map(|_| filled(&pool, MIB)).collect();
    drop(many);
    assert_eq!(pool.idle_bytes(), 2 * MIB);
    drop(filled(&pool, MIB / 4));
    assert_eq!(pool.idle_bytes(), MIB + MIB / 4);
}

#[test]
fn what_nobody_needed_between_two_trims_is_freed() {
    let pool = BlockPool::new(8 * MIB);
    let many: Vec<_> = (0..4).map(|_| filled(&pool, MIB)).collect();
    drop(many);
    pool.trim();
    drop(filled(&pool, MIB));
    pool.trim();
    assert_eq!(pool.idle_bytes(), MIB);
    pool.trim();
    assert_eq!(pool.idle_bytes(), 0);
}

#[test]
fn sizes_waste_a_quarter_at_most() {
    for size in [1, 4096, 4097, 5000, 131_072, 131_073, 1_000_000, 5 << 20] {
        let class = class(size);
        assert!(
            class >= size && class <= size.max(SMALLEST) * 5 / 4,
            "{size}: {class}"
        );
        assert_eq!(super::class(class), class);
    }
}
