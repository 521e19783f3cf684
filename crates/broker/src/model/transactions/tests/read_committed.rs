use super::*;

/// Reads all of partition 0 as a read-committed consumer does, a few bytes at a time.
fn consume(client: &mut Client) -> Vec<(i64, String)> {
    let mut read = Vec::new();
    let mut position = 0;
    loop {
        let mut wanted = FetchRequest {
            isolation_level: 1,
            ..fetch_request(client.topic_id(), 0, position, 12)
        };
        wanted.topics[0].partitions[0].partition_max_bytes = 400;
        let data = only(client.call(&wanted, 12));
        let mut aborted: Vec<Who> = Vec::new();
        let mut listed: Vec<(i64, i64)> = data
            .aborted_transactions
            .unwrap()
            .iter()
            .map(|aborted| (aborted.first_offset, aborted.producer_id))
            .collect();
        listed.sort_unstable();
        let before = position;
        for found in milena_records::Batches::new(data.records.unwrap()) {
            let Ok(found) = found else { break };
            let header = *found.header();
            let begun = listed.partition_point(|(first, _)| *first <= header.last_offset());
            aborted.extend(listed.drain(..begun).map(|(_, id)| (id, 0)));
            if let Some(marker) = marker(&header, found.bytes().clone()) {
                if !marker.committed {
                    aborted.retain(|(id, _)| *id != header.producer_id);
                }
            } else if !header.attributes.is_transactional()
                || !aborted.iter().any(|(id, _)| *id == header.producer_id)
            {
                let records = records(found.bytes().clone()).into_iter();
                read.extend(records.filter(|(offset, _)| *offset >= position));
            }
            position = header.last_offset() + 1;
        }
        if position == before {
            return read;
        }
    }
}

#[test]
fn what_fetch_lists_as_aborted_agrees_with_the_markers_in_the_log() {
    for seed in 0..40 {
        let mut client = Client::new();
        client.model.set_marker_delay(Duration::ZERO);
        let mut random = crate::model::random::SplitMix::new(seed);
        let ids = ["a", "b", "c", "d"];
        let mut producers: Vec<(Who, i32)> = Vec::new();
        for id in ids {
            producers.push((client.init(id), 0));
        }
        for step in 0..60 {
            let at = (random.next() % 4) as usize;
            let (who, sequence) = producers[at];
            let value = step.to_string();
            match random.next() % 5 {
                0 if sequence > 0 => {
                    let commit = random.next().is_multiple_of(2);
                    producers[at] = (client.end(ids[at], who, commit, 5).unwrap(), 0);
                }
                1 => {
                    client.produce(0, batch(&[&value]), 12);
                }
                _ => {
                    let written = client.write(ids[at], data(who, sequence, &[&value]), 0, 12);
                    assert!(written.is_ok(), "seed {seed}");
                    producers[at].1 += 1;
                }
            }
        }
        let seen = client.model.records("t", 0, true).unwrap().into_iter();
        let expected: Vec<(i64, String)> = seen
            .map(|record| {
                let value = record.value.unwrap();
                (record.offset, String::from_utf8(value.to_vec()).unwrap())
            })
            .collect();
        assert_eq!(consume(&mut client), expected, "seed {seed}");
    }
}
