//! A publisher against a forwarder's end of plain str0m.

mod support;

use support::{Call, MS};
use swarm::effects::Event;
use swarm::participant::Role;
use swarm::schedule::{MAX_PAYLOAD_BYTES, Schedule};
use swarm::vp8::Descriptor;

fn call(frames: Vec<Vec<u16>>) -> Call {
    let mut call = Call::new(Role::Publisher(Schedule::new(frames, 20.0, 3_000.0).expect("valid")));
    call.connect();
    call
}

#[test]
fn packets_of_the_schedule_arrive_once_it_begins() {
    let mut call = call(vec![vec![MAX_PAYLOAD_BYTES, 700], vec![50]]);
    assert_eq!(call.participant.next_frame_ns(), None);
    call.participant.set_sending(true);
    call.run(400 * MS);
    let packets = &call.forwarder.seen.packets;
    let sizes = packets.iter().take(4).map(|packet| packet.payload.len()).collect::<Vec<_>>();
    assert_eq!(sizes, [1_200, 700, 50, 1_200]);
    assert_eq!(packets.len() as i64, call.participant.traffic().media_sent);
    assert!(packets.len() >= 29, "{}", packets.len());
    assert!(packets.iter().zip(1..).all(|(packet, seq)| *packet.seq_no == seq));
    assert!(packets[..3].iter().map(|packet| packet.header.marker).eq([false, true, true]));
    assert_eq!(call.participant.frames_skipped(), 0);
}

#[test]
fn a_key_frame_follows_a_request() {
    let mut call = call(vec![vec![100]]);
    call.participant.set_sending(true);
    call.run(200 * MS);
    call.forwarder.request_key_frame();
    call.run(200 * MS);
    let keys = call.forwarder.seen.packets.iter().filter(|packet| {
        Descriptor::parse(&packet.payload).expect("valid").starts_key_frame(&packet.payload)
    });
    assert_eq!(keys.count(), 2);
    assert_eq!(call.participant.traffic().keyframes_wanted, 1);
    assert!(call.effects.events.contains(&Event::KeyframeWanted));
}

#[test]
fn nothing_is_sent_after_a_stop() {
    let mut call = call(vec![vec![100]]);
    call.participant.set_sending(true);
    call.run(100 * MS);
    call.participant.set_sending(false);
    let before = call.participant.traffic().media_sent;
    call.run(100 * MS);
    assert_eq!(call.participant.traffic().media_sent, before);
}

#[test]
fn who_is_told_to_send_before_it_is_connected_begins_when_it_is() {
    let mut call = Call::new(Role::Publisher(Schedule::new(vec![vec![100]], 20.0, 3_000.0).expect("valid")));
    call.participant.set_sending(true);
    call.run(500 * MS);
    call.connect();
    call.run(100 * MS);
    let first = &call.forwarder.seen.packets[0];
    assert_eq!((*first.seq_no, first.header.timestamp, call.participant.frames_skipped()), (1, 0, 0));
}
