use milena_codec::ApiKey;

use super::*;
use crate::testing::{Client, settings};

fn find(client: &mut Client, version: i16, key_type: i8) -> (ErrorCode, i32) {
    let mut request = FindCoordinatorRequest {
        key_type,
        ..FindCoordinatorRequest::default()
    };
    if version >= BATCHED_FROM {
        request.coordinator_keys = vec!["g".into()];
        let found = client.call(&request, version).coordinators.remove(0);
        assert_eq!(found.key, "g");
        return (ErrorCode::from(found.error_code), found.node_id);
    }
    request.key = "g".into();
    let found = client.call(&request, version);
    (ErrorCode::from(found.error_code), found.node_id)
}

#[test]
fn a_live_node_coordinates_at_every_version() {
    let mut client = Client::of(settings(3));
    for version in ApiKey::FindCoordinator.stable_versions().iter() {
        for kind in if version == 0 {
            vec![GROUP]
        } else {
            vec![GROUP, TRANSACTION]
        } {
            let (code, node) = find(&mut client, version, kind);
            assert_eq!(code, ErrorCode::None);
            assert!(client.model.is_up(node));
        }
        if version >= 1 {
            assert_eq!(
                find(&mut client, version, 7),
                (ErrorCode::InvalidRequest, -1)
            );
        }
    }
    let (_, node) = find(&mut client, 6, GROUP);
    client.model.kill_node(node).unwrap();
    client.at(node % 3 + 1);
    let (code, other) = find(&mut client, 6, GROUP);
    assert_eq!(code, ErrorCode::None);
    assert_ne!(other, node, "another node takes over");
}
