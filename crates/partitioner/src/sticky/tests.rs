use super::*;

const SIX: NonZeroU32 = NonZeroU32::new(6).unwrap();

fn no_choice() -> u32 {
    panic!("no choice is due")
}

#[test]
fn a_partition_is_kept_until_it_has_a_batchs_bytes_and_its_batch_has_ended() {
    let sticky = Sticky::new(100);
    assert_eq!(sticky.partition(SIX, &[], || 8), 2);
    for (bytes, batch_ended) in [(60, false), (39, true), (1, false), (50, false)] {
        sticky.handle_produced(bytes, batch_ended);
        assert_eq!(sticky.partition(SIX, &[], no_choice), 2);
    }
    sticky.handle_produced(1, true);
    assert_eq!(sticky.partition(SIX, &[], || 9), 3);
}

#[test]
fn twice_the_bytes_switch_even_within_a_batch() {
    let sticky = Sticky::new(100);
    sticky.partition(SIX, &[], || 0);
    sticky.handle_produced(199, false);
    assert_eq!(sticky.partition(SIX, &[], no_choice), 0);
    sticky.handle_produced(1, false);
    assert_eq!(sticky.partition(SIX, &[], || 4), 4);
    sticky.handle_produced(u32::MAX, false);
    assert_eq!(sticky.partition(SIX, &[], || 5), 5);
}

#[test]
fn counting_starts_anew_after_a_switch() {
    let sticky = Sticky::new(100);
    sticky.partition(SIX, &[], || 0);
    sticky.handle_produced(100, true);
    sticky.partition(SIX, &[], || 1);
    sticky.handle_produced(99, true);
    assert_eq!(sticky.partition(SIX, &[], no_choice), 1);
}

#[test]
fn only_available_partitions_are_chosen_while_there_are_any() {
    let available = [1, 4, 5];
    for random in 0..1_000 {
        let chosen = Sticky::new(1).partition(SIX, &available, || random * 4_294_967);
        assert!(available.contains(&chosen));
    }
    assert_eq!(Sticky::new(1).partition(SIX, &[], || 3), 3);
}

#[test]
fn any_random_number_gives_a_partition_of_the_topic() {
    for random in [0, 1, 5, 6, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        let chosen = Sticky::new(1).partition(SIX, &[], || random);
        assert!((0..6).contains(&chosen));
    }
}

#[test]
fn a_partition_that_no_longer_exists_is_given_up() {
    let sticky = Sticky::new(100);
    assert_eq!(sticky.partition(SIX, &[], || 5), 5);
    let two = NonZeroU32::new(2).unwrap();
    assert_eq!(sticky.partition(two, &[], || 5), 1);
}

#[test]
fn a_switch_on_demand_chooses_anew() {
    let sticky = Sticky::new(100);
    assert_eq!(sticky.partition(SIX, &[], || 2), 2);
    sticky.switch();
    assert_eq!(sticky.partition(SIX, &[4], || 2), 4);
}

#[test]
fn every_partition_gets_its_share() {
    let sticky = Sticky::new(1_000);
    let mut bytes = [0_u32; 6];
    let mut state = 7_u32;
    for _ in 0..600_000 {
        let partition = sticky.partition(SIX, &[], || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.rotate_left(16)
        });
        bytes[usize::try_from(partition).unwrap()] += 100;
        sticky.handle_produced(100, true);
    }
    for got in bytes {
        assert!((9_500_000..10_500_000).contains(&got), "{bytes:?}");
    }
}
