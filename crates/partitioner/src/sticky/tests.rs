use super::*;

#[test]
fn a_partition_is_kept_until_it_has_a_batchs_bytes_and_its_batch_has_ended() {
    let sticky = Sticky::new(100);
    assert_eq!(sticky.current(), None);
    sticky.begin(2);
    for (bytes, batch_ended) in [(60, false), (39, true), (1, false), (50, false)] {
        sticky.handle_produced(bytes, batch_ended);
        assert_eq!(sticky.current(), Some(2));
    }
    sticky.handle_produced(1, true);
    assert_eq!(sticky.current(), None);
}

#[test]
fn twice_the_bytes_switch_even_within_a_batch() {
    let sticky = Sticky::new(100);
    sticky.begin(0);
    sticky.handle_produced(199, false);
    assert_eq!(sticky.current(), Some(0));
    sticky.handle_produced(1, false);
    assert_eq!(sticky.current(), None);
    sticky.begin(4);
    sticky.handle_produced(u32::MAX, false);
    assert_eq!(sticky.current(), None);
}

#[test]
fn counting_starts_anew_after_a_switch() {
    let sticky = Sticky::new(100);
    sticky.begin(0);
    sticky.handle_produced(100, true);
    sticky.begin(1);
    sticky.handle_produced(99, true);
    assert_eq!(sticky.current(), Some(1));
}
