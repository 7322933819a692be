use focus_plane::{Credentials, ExtensionIds, SetRoute, SetTrack};
use focus_units::{Kind, RouteId, Ssrc, TrackHandle, TransportId};
use proptest::prelude::*;

use super::*;

fn add(transport: u32, worker: u16) -> Operation {
    let credentials = Credentials { ufrag: format!("ufrag{transport}"), password: "password".into() };
    Operation::AddTransport { transport: TransportId(transport), credentials, worker, own_port: false }
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

/// What workers were told to do, beside operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// A worker, and how many operations.
    Apply(usize, usize),
    /// A worker, the track, and its home.
    Mirror(usize, u32, usize),
    /// The home, the track, and who has a mirror.
    Share(usize, u32, usize),
    Unshare(usize, u32, usize),
}

use Told::{Apply, Mirror, Share, Unshare};

/// Workers that carry out all they are given.
#[derive(Default)]
struct Obedient(Vec<Told>);

impl Workers for Obedient {
    fn apply(&mut self, worker: usize, operations: Vec<Operation>) -> Result<(), Refused> {
        self.0.push(Apply(worker, operations.len()));
        Ok(())
    }

    fn describe(&mut self, _worker: usize, track: TrackHandle) -> Option<Box<SetTrack>> {
        match set_track(track.0, 0, 0) {
            Operation::SetTrack(spec) => Some(spec),
            _ => None,
        }
    }

    fn mirror(&mut self, worker: usize, spec: Box<SetTrack>, home: usize) -> Result<(), LocalError> {
        self.0.push(Mirror(worker, spec.track.0, home));
        Ok(())
    }

    fn share(&mut self, worker: usize, track: TrackHandle, with: usize) {
        self.0.push(Share(worker, track.0, with));
    }

    fn unshare(&mut self, worker: usize, track: TrackHandle, with: usize) {
        self.0.push(Unshare(worker, track.0, with));
    }
}

/// What obedient workers were told.
fn dispatched(directory: &mut Directory, operations: Vec<Operation>) -> (Vec<Told>, Result<(), LocalError>) {
    let mut workers = Obedient::default();
    let outcome = dispatch(directory, operations, &mut workers);
    (workers.0, outcome)
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
    assert_eq!((runs, outcome), (vec![Apply(0, 4), Apply(1, 4)], Ok(())));
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
    let request = |transport| Operation::SendStun {
        transport: TransportId(transport),
        host: "192.0.2.1".into(),
        port: 9,
        data: Vec::new(),
    };
    let select = |transport| Operation::SelectAddress {
        transport: TransportId(transport),
        host: "192.0.2.1".into(),
        port: 9,
    };
    let keyframe = |track| Operation::RequestKeyframe { track: TrackHandle(track), encoding: 0 };
    let operations = vec![
        datagram(1),
        keyframe(1),
        keyframe(11),
        Operation::RemoveRoute { route: RouteId(11) },
        datagram(2),
        request(12),
        select(12),
        select(1),
    ];
    let runs = vec![Apply(0, 2), Apply(1, 2), Apply(0, 1), Apply(1, 2), Apply(0, 1)];
    assert_eq!(dispatched(&mut directory, operations), (runs, Ok(())));
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
fn a_route_to_another_worker_has_a_mirror_made_first_and_removed_behind_the_last() {
    let mut directory = two_calls();
    // Who comes later lives elsewhere, and is made by the operation before.
    let operations = vec![add(21, 1), set_route(21, 1, 21), set_route(22, 1, 12)];
    let told = vec![Apply(1, 1), Mirror(1, 1, 0), Share(0, 1, 1), Apply(1, 2)];
    assert_eq!(dispatched(&mut directory, operations), (told, Ok(())));
    assert_eq!([1, 21, 22].map(|id| directory.of_route(RouteId(id))), [Some(0), Some(1), Some(1)]);
    let remove = |route| Operation::RemoveRoute { route: RouteId(route) };
    assert_eq!(dispatched(&mut directory, vec![remove(21)]).0, [Apply(1, 1)]);
    // One takes the place of the last within a run: the mirror is needed on.
    assert_eq!(dispatched(&mut directory, vec![remove(22), set_route(23, 1, 21)]).0, [Apply(1, 2)]);
    assert_eq!(dispatched(&mut directory, vec![remove(23)]).0, [Apply(1, 1), Unshare(0, 1, 1), Apply(1, 1)]);
    assert_eq!(directory.mirrors_of(TrackHandle(1)).count(), 0);
}

#[test]
fn mirrors_hear_first_how_a_track_is_described_anew_and_go_with_it() {
    let mut directory = two_calls();
    assert_eq!(dispatched(&mut directory, vec![set_route(21, 1, 12)]).1, Ok(()));
    let operations = vec![set_track(1, 1, 0), set_track(1, 1, 5)];
    let told = [Mirror(1, 1, 0), Apply(0, 1), Mirror(1, 1, 0), Apply(0, 1)];
    assert_eq!(dispatched(&mut directory, operations).0, told);
    for end in [Operation::RemoveTrack { track: TrackHandle(1) }, remove(1), set_track(2, 1, 5)] {
        let mut directory = two_calls();
        let operations = vec![set_track(1, 1, 5), set_route(21, 1, 12)];
        assert_eq!(dispatched(&mut directory, operations).1, Ok(()));
        assert_eq!(dispatched(&mut directory, vec![end]).0, [Apply(0, 1), Apply(1, 1)]);
        assert_eq!(directory.of_route(RouteId(21)), None);
    }
}

#[test]
fn a_mirror_goes_with_the_last_subscriber_of_its_worker() {
    let mut directory = two_calls();
    assert_eq!(dispatched(&mut directory, vec![set_route(21, 1, 12)]).1, Ok(()));
    let told = [Apply(1, 1), Unshare(0, 1, 1), Apply(1, 1)];
    assert_eq!(dispatched(&mut directory, vec![remove(12)]).0, told);
}

#[test]
fn a_route_stays_where_it_is() {
    let mut directory = two_calls();
    let expected = "route 1 was on worker 0, transport 12 is on 1";
    assert_eq!(error_of(&mut directory, vec![set_route(1, 11, 12)]), expected);
}

#[test]
fn a_fragment_is_one_workers() {
    let mut directory = two_calls();
    let credentials = || Credentials { ufrag: "ufrag1".into(), password: "password".into() };
    let twice = Operation::AddTransport {
        transport: TransportId(21),
        credentials: credentials(),
        worker: 1,
        own_port: false,
    };
    assert_eq!(error_of(&mut directory, vec![twice]), "ufrag ufrag1 is on another worker");
    let twice = Operation::SetCredentials { transport: TransportId(11), credentials: credentials() };
    assert_eq!(error_of(&mut directory, vec![twice]), "ufrag ufrag1 is on another worker");
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
    assert_eq!(dispatched(&mut directory, operations), (vec![Apply(0, 1), Apply(1, 3)], Ok(())));
    assert_eq!(directory.of_route(RouteId(1)), Some(1));
}

/// Workers that refuse the second operation of each run.
struct Contrary;

impl Workers for Contrary {
    fn apply(&mut self, worker: usize, _operations: Vec<Operation>) -> Result<(), Refused> {
        assert_eq!(worker, 0);
        Err(Refused { at: 1, error: LocalError("a ufrag twice".into()) })
    }

    fn describe(&mut self, _worker: usize, _track: TrackHandle) -> Option<Box<SetTrack>> {
        None
    }

    fn mirror(&mut self, _worker: usize, _spec: Box<SetTrack>, _home: usize) -> Result<(), LocalError> {
        Ok(())
    }

    fn share(&mut self, _worker: usize, _track: TrackHandle, _with: usize) {}

    fn unshare(&mut self, _worker: usize, _track: TrackHandle, _with: usize) {}
}

#[test]
fn what_a_worker_refuses_and_what_is_behind_it_did_not_happen() {
    let mut directory = Directory::new(2);
    let operations = vec![add(1, 0), add(2, 0), remove(1), add(3, 1)];
    let outcome = dispatch(&mut directory, operations, &mut Contrary);
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
