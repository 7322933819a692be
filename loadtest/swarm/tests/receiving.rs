//! A receiver against a forwarder's end of plain str0m, over both paths.

mod support;

use str0m::rtp::rtcp::Rtcp;
use support::{Call, Forwarder, MS, receiver};
use swarm::effects::Event;
use swarm::error::Error;

const PATHS: [bool; 2] = [true, false];

/// Send so many frames of three packets, 33 ms apart.
fn send_video(call: &mut Call, answer: &str, frames: std::ops::Range<u64>, key_frame: Option<u64>) {
    let mid = Forwarder::mid(answer, "video", 0);
    for frame in frames {
        call.forwarder.send_frame(mid, frame, 65_000 + frame * 3, 3, Some(frame) == key_frame);
        call.exchange();
        call.run(35 * MS);
    }
}

#[test]
fn it_connects_and_talks_both_ways() {
    for is_full in PATHS {
        let mut call = Call::new(receiver(is_full));
        call.connect();
        assert!(call.participant.is_connected());
        assert_eq!(call.participant.is_full(), is_full);
        call.participant.send_text("ping", call.now_ns, &mut call.effects).expect("open");
        call.forwarder.say("pong");
        call.run(50 * MS);
        assert_eq!(call.forwarder.seen.texts, ["ping"]);
        let open = Event::ChannelOpen("datachannel".to_owned());
        assert_eq!(call.effects.events, [Event::Connected, open, Event::Text("pong".to_owned())]);
    }
}

#[test]
fn it_counts_a_clean_stream_over_the_wraps_of_its_numbers() {
    for is_full in PATHS {
        let mut call = Call::new(receiver(is_full));
        let answer = call.connect();
        send_video(&mut call, &answer, 0..300, Some(0));
        let streams = call.participant.streams();
        let counts = streams[0].reception().counts();
        assert_eq!((streams.len(), counts.packets_received, counts.frames), (1, 900, 300));
        assert_eq!((counts.packets_lost, counts.late, counts.key_frames), (0, 0, 1));
        assert_eq!((counts.picture_id_breaks, counts.tl0_breaks, counts.timestamp_breaks), (0, 0, 0));
        assert_eq!(call.effects.delays.counts().iter().sum::<u64>(), 900);
        assert_eq!(call.participant.traffic().unreadable, 0);
    }
}

#[test]
fn it_has_what_was_lost_resent() {
    for is_full in PATHS {
        let mut call = Call::new(receiver(is_full));
        let answer = call.connect();
        call.arrives = |number| number % 9 != 4;
        send_video(&mut call, &answer, 0..200, Some(0));
        call.arrives = |_| true;
        send_video(&mut call, &answer, 200..201, None);
        call.run(500 * MS);
        let streams = call.participant.streams();
        let counts = streams[0].reception().counts();
        assert_eq!((counts.packets_received, counts.packets_lost), (603, 0), "full: {is_full}");
        assert!(counts.late > 50);
    }
}

#[test]
fn it_asks_for_a_key_frame_where_a_stream_begins_without_one() {
    for is_full in PATHS {
        let mut call = Call::new(receiver(is_full));
        let answer = call.connect();
        send_video(&mut call, &answer, 0..2, None);
        assert_eq!(call.forwarder.seen.key_frame_requests, 1, "full: {is_full}");
        send_video(&mut call, &answer, 2..40, Some(3));
        call.run(3_000 * MS);
        assert_eq!(call.forwarder.seen.key_frame_requests, 1, "full: {is_full}");
    }
}

#[test]
fn a_stranger_reads_the_feedback_of_the_lean_path() {
    let mut call = Call::new(receiver(false));
    let answer = call.connect();
    call.arrives = |number| number != 50;
    send_video(&mut call, &answer, 0..100, Some(0));
    call.run(1_000 * MS);
    let rtcp = &call.forwarder.seen.rtcp;
    let told = rtcp.iter().filter_map(|packet| match packet {
        Rtcp::Twcc(twcc) => Some(twcc.clone().into_iter(call.forwarder.clock.instant(0), 0.into())),
        _ => None,
    });
    let (mut arrived, mut lost) = (0, 0);
    for (_, _, at) in told.flatten() {
        if at.is_some() { arrived += 1 } else { lost += 1 }
    }
    assert_eq!((arrived, lost), (300, 1), "299 packets, one resend, one lost");
    let nacks = rtcp.iter().filter(|packet| matches!(packet, Rtcp::Nack(_))).count();
    assert_eq!(nacks, 1);
    let mut blocks = rtcp.iter().filter_map(|packet| match packet {
        Rtcp::ReceiverReport(report) => report.reports.iter().next().copied(),
        _ => None,
    });
    let block = blocks.next_back().expect("a receiver report");
    assert_eq!((block.max_seq, block.packets_lost), (65_299, 0));
    assert_ne!((block.last_sr_time, block.last_sr_delay), (0, 0));
}

#[test]
fn sections_that_the_forwarder_adds_later_are_received() {
    for is_full in PATHS {
        let mut call = Call::new(receiver(is_full));
        call.connect();
        let mut api = call.forwarder.rtc.sdp_api();
        let kind = str0m::media::MediaKind::Video;
        let mid = api.add_media(kind, str0m::media::Direction::SendOnly, None, None, None);
        let (offer, pending) = api.apply().expect("changes");
        let answer = call
            .participant
            .accept_offer(&offer.to_sdp_string(), call.now_ns, &mut call.effects)
            .expect("fits");
        let answer = str0m::change::SdpAnswer::from_sdp_string(&answer).expect("an answer");
        call.forwarder.rtc.sdp_api().accept_answer(pending, answer).expect("fits");
        for frame in 0..10 {
            call.forwarder.send_frame(mid, frame, 1 + frame, 1, true);
            call.exchange();
            call.run(35 * MS);
        }
        assert_eq!(
            call.participant.streams()[0].reception().counts().packets_received,
            10,
            "full: {is_full}"
        );
    }
}

#[test]
fn a_forwarder_may_be_the_first_to_offer() {
    for is_full in PATHS {
        let mut call = Call::new(receiver(is_full));
        let mut api = call.forwarder.rtc.sdp_api();
        let kind = str0m::media::MediaKind::Video;
        let mid = api.add_media(kind, str0m::media::Direction::SendOnly, None, None, None);
        let (offer, pending) = api.apply().expect("changes");
        let answer =
            call.participant.accept_offer(&offer.to_sdp_string(), 0, &mut call.effects).expect("fits");
        let answer = str0m::change::SdpAnswer::from_sdp_string(&answer).expect("an answer");
        call.forwarder.rtc.sdp_api().accept_answer(pending, answer).expect("fits");
        call.run(1_000 * MS);
        for frame in 0..10 {
            call.forwarder.send_frame(mid, frame, 1 + frame, 1, true);
            call.exchange();
            call.run(35 * MS);
        }
        assert_eq!(
            call.participant.streams()[0].reception().counts().packets_received,
            10,
            "full: {is_full}"
        );
    }
}

#[test]
fn what_can_not_be_done_is_refused_and_changes_nothing() {
    let mut call = Call::new(receiver(false));
    let effects = &mut call.effects;
    assert!(matches!(call.participant.accept_answer("v=0", 0, effects), Err(Error::Invalid(_))));
    assert!(matches!(call.participant.accept_offer("nonsense", 0, effects), Err(Error::Invalid(_))));
    assert!(matches!(call.participant.add_candidate("candidate:x", 0, effects), Err(Error::Invalid(_))));
    assert!(matches!(call.participant.send_text("x", 0, effects), Err(Error::Channel("not open"))));
    let answer = call.connect();
    let again = call.participant.accept_answer(&answer, 0, &mut call.effects);
    assert!(matches!(again, Err(Error::NoOfferWaits)));
}

#[test]
fn any_datagram_is_taken_and_counted() {
    let mut call = Call::new(receiver(false));
    let answer = call.connect();
    send_video(&mut call, &answer, 0..5, Some(0));
    for first in 0..=255_u8 {
        for length in [0, 1, 2, 12, 20, 40] {
            let mut bytes = vec![first; length];
            call.participant.receive(call.forwarder.address, &mut bytes, call.now_ns, &mut call.effects);
        }
    }
    assert!(call.participant.is_connected());
    assert!(call.participant.traffic().unreadable > 64 * 4);
    send_video(&mut call, &answer, 5..10, None);
    assert_eq!(call.participant.streams()[0].reception().counts().packets_received, 30);
}

#[test]
fn an_end_is_told_once() {
    for is_full in PATHS {
        let mut call = Call::new(receiver(is_full));
        call.connect();
        call.forwarder.rtc.close().expect("closes");
        call.run(100 * MS);
        call.run(100 * MS);
        let ends = call.effects.events.iter().filter(|event| matches!(event, Event::Closed(_))).count();
        assert_eq!((ends, call.participant.is_connected()), (1, false));
    }
}
