use focus_plane::{Credentials, ExtensionIds, SetRoute, SetTrack};
use focus_units::{Kind, RouteId, Ssrc, TrackHandle, TransportId};
use proptest::prelude::*;

use super::*;

fn add(transport: u32, worker: u16) -> Operation {
    let credentials = Credentials { ufrag: format!("ufrag{transport}"), password: "password".into() };
    Operation::AddTransport { transport: TransportId(transport), credentials, worker }
}

fn remove(transport: u32) -> Operation {
    Operation::RemoveTransport { transport: TransportId(transport) }
}

fn set_track(track: u32, transport: u32, mid: u32) -> Operation {
    Operation::SetTrack(Box::new(SetTrack {
        track: TrackHandle(track),
        transport: TransportId(transport),
        mid: mid.to_string(),
        kind: Kind::Video,
        formats: Vec::new(),
        encodings: Vec::new(),
        extensions: ExtensionIds::default(),
        cname: "".into(),
    }))
}

fn set_route(route: u32, track: u32, transport: u32) -> Operation {
    Operation::SetRoute(Box::new(SetRoute {
        route: RouteId(route),
        track: TrackHandle(track),
        transport: TransportId(transport),
        mid: "0".into(),
        ssrc: Ssrc(1_000 + route),
        rtx_ssrc: None,
        formats: [].into(),
        extensions: ExtensionIds::default(),
        cname: "".into(),
        mixed_extensions: false,
    }))
}

/// Workers that carry out all they are given; what that was, by worker.
fn dispatched(
    directory: &mut Directory,
    operations: Vec<Operation>,
) -> (Vec<(usize, usize)>, Result<(), LocalError>) {
    let mut runs = Vec::new();
    let outcome = dispatch(directory, operations, |worker, operations| {
        runs.push((worker, operations.len()));
        Ok(())
    });
    (runs, outcome)
}

/// A call on each of two workers: a publisher with a track and a subscriber with a route, in one run each.
fn two_calls() -> Directory {
    let mut directory = Directory::new(2);
    let call = |first: u32, worker| {
        vec![
            add(first, worker),
            add(first + 1, worker),
            set_track(first, first, 0),
            set_route(first, first, first + 1),
        ]
    };
    let (runs, outcome) = dispatched(&mut directory, [call(1, 0), call(11, 1)].concat());
    assert_eq!((runs, outcome), (vec![(0, 4), (1, 4)], Ok(())));
    directory
}

fn error_of(directory: &mut Directory, operations: Vec<Operation>) -> String {
    dispatched(directory, operations).1.expect_err("it contradicts").0
}

#[test]
fn operations_go_to_the_worker_of_what_they_name_in_order() {
    let mut directory = two_calls();
    let datagram =
        |transport| Operation::SendDatagram { transport: TransportId(transport), data: Vec::new() };
    let keyframe = |track| Operation::RequestKeyframe { track: TrackHandle(track), encoding: 0 };
    let operations = vec![
        datagram(1),
        keyframe(1),
        keyframe(11),
        Operation::RemoveRoute { route: RouteId(11) },
        datagram(2),
    ];
    assert_eq!(dispatched(&mut directory, operations), (vec![(0, 2), (1, 2), (0, 1)], Ok(())));
    assert_eq!((directory.of_route(RouteId(1)), directory.of_route(RouteId(11))), (Some(0), None));
}

#[test]
fn what_names_nothing_that_lives_is_ignored() {
    let mut directory = two_calls();
    let operations = vec![
        remove(7),
        set_track(7, 7, 0),
        set_route(7, 7, 7),
        Operation::RemoveTrack { track: TrackHandle(7) },
    ];
    assert_eq!(dispatched(&mut directory, operations), (vec![], Ok(())));
    assert_eq!(directory.sizes(), [4, 2, 2]);
}

#[test]
fn a_worker_that_is_not_there_is_a_contradiction() {
    let mut directory = two_calls();
    assert_eq!(error_of(&mut directory, vec![add(21, 2)]), "transport 21 on worker 2 of 2, counted from 0");
    assert_eq!(directory.of_transport(TransportId(21)), None);
}

#[test]
fn a_route_between_two_workers_is_a_contradiction() {
    let mut directory = two_calls();
    let expected = "route 21 from track 1 on worker 0 to transport 12 on 1";
    assert_eq!(error_of(&mut directory, vec![set_route(21, 1, 12)]), expected);
    // And so where one end was made by the operation before.
    let expected = "route 21 from track 1 on worker 0 to transport 21 on 1";
    assert_eq!(error_of(&mut directory, vec![add(21, 1), set_route(21, 1, 21)]), expected);
    assert_eq!(directory.of_transport(TransportId(21)), Some(1));
    let expected = "route 1 was on worker 0, its track is on 1";
    assert_eq!(error_of(&mut directory, vec![set_route(1, 11, 12)]), expected);
}

#[test]
fn what_lives_on_one_worker_is_not_made_on_another() {
    let mut directory = two_calls();
    assert_eq!(error_of(&mut directory, vec![add(1, 1)]), "transport 1 is there already, on worker 0");
    let expected = "track 1 was on worker 0, transport 11 is on 1";
    assert_eq!(error_of(&mut directory, vec![set_track(1, 11, 5)]), expected);
}

#[test]
fn what_has_ended_can_be_made_elsewhere_by_the_next_operation() {
    let mut directory = two_calls();
    let operations = vec![remove(1), add(1, 1), set_track(1, 1, 0), set_route(1, 1, 12)];
    assert_eq!(dispatched(&mut directory, operations), (vec![(0, 1), (1, 3)], Ok(())));
    assert_eq!(directory.of_route(RouteId(1)), Some(1));
}

#[test]
fn what_a_worker_refuses_and_what_is_behind_it_did_not_happen() {
    let mut directory = Directory::new(2);
    let operations = vec![add(1, 0), add(2, 0), remove(1), add(3, 1)];
    let outcome = dispatch(&mut directory, operations, |worker, _| {
        assert_eq!(worker, 0);
        Err(Refused { at: 1, error: LocalError("a ufrag twice".into()) })
    });
    assert_eq!(outcome, Err(LocalError("a ufrag twice".into())));
    let found = [1, 2, 3].map(|id| directory.of_transport(TransportId(id)));
    assert_eq!(found, [Some(0), None, None]);
}

#[test]
fn a_transports_last_two_fragments_are_known() {
    let mut directory = two_calls();
    let restart = |ufrag: &str| Operation::SetCredentials {
        transport: TransportId(11),
        credentials: Credentials { ufrag: ufrag.into(), password: "password".into() },
    };
    assert_eq!(directory.ufrags().len(), 4);
    assert_eq!(dispatched(&mut directory, vec![restart("again"), restart("once more")]).1, Ok(()));
    assert_eq!(directory.ufrags().len(), 5);
    assert_eq!(dispatched(&mut directory, vec![remove(11)]).1, Ok(()));
    assert_eq!(directory.ufrags().len(), 3);
}

#[test]
fn a_track_gives_way_to_another_with_its_mid_and_takes_its_routes_along() {
    let mut directory = two_calls();
    assert_eq!(dispatched(&mut directory, vec![set_track(2, 1, 0)]).1, Ok(()));
    assert_eq!(directory.sizes(), [4, 2, 1]);
    // One that changes its mid stays, and its old mid is free.
    let operations = vec![set_track(2, 1, 7), set_track(3, 1, 0), set_route(3, 2, 2)];
    assert_eq!(dispatched(&mut directory, operations).1, Ok(()));
    assert_eq!((directory.sizes(), directory.of_route(RouteId(3))), ([4, 3, 2], Some(0)));
}

/// One of all kinds of operations that change something, by three small numbers: operations hold secrets, so they
/// are not to be printed.
fn operation([kind, one, other, third]: [u32; 4]) -> Operation {
    match kind {
        0 => add(one, other as u16 % 4),
        1 => set_track(one, other, third % 3),
        2 => set_route(one, other, third),
        3 => remove(one),
        4 => Operation::RemoveTrack { track: TrackHandle(one) },
        _ => Operation::RemoveRoute { route: RouteId(one) },
    }
}

proptest! {
    #[test]
    fn whatever_is_set_nothing_is_left_when_all_transports_have_gone(
        numbers in prop::collection::vec([0_u32..6, 0..6, 0..6, 0..6], 0..200),
    ) {
        let mut directory = Directory::new(3);
        for numbers in numbers {
            let _ = dispatched(&mut directory, vec![operation(numbers)]);
        }
        let (_, outcome) = dispatched(&mut directory, (0..6).map(remove).collect());
        prop_assert_eq!(outcome, Ok(()));
        prop_assert_eq!((directory.sizes(), directory.ufrags().len()), ([0; 3], 0));
    }
}
