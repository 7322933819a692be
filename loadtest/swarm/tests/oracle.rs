//! The lean path and str0m, given the same datagrams, must count the same.

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Input, Output, Rtc};
use support::{Forwarder, MS, address};
use swarm::clock::Clock;
use swarm::description::{Description, Format};
use swarm::histogram::Histogram;
use swarm::inbound::{Inbound, MediaPacket};
use swarm::keytap::{self, Outcome, Slot, Tap, tapped};
use swarm::lean::Lean;
use swarm::reception::Counts;
use swarm::rtp::{is_media, is_rtcp};

/// A receiver of which str0m and the lean path both have the keys and all datagrams.
struct Both {
    rtc: Rtc,
    slot: Slot,
    clock: Clock,
    description: Description,
    lean: Option<Lean>,
    oracle: HashMap<u32, Inbound>,
    delays: [Histogram; 2],
    out: Vec<Vec<u8>>,
}

impl Both {
    fn new(clock: Clock, forwarder: &mut Forwarder) -> (Self, String) {
        let config = Rtc::builder()
            .set_crypto_provider(Arc::new(keytap::provider()))
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true);
        let (mut rtc, slot) = tapped(Tap::Copy, || config.build(clock.instant(0)));
        rtc.add_local_candidate(Candidate::host(address(5_000), "udp").expect("valid"));
        let mut api = rtc.sdp_api();
        for kind in [MediaKind::Audio, MediaKind::Video] {
            api.add_media(kind, Direction::RecvOnly, None, None, None);
        }
        api.add_channel("datachannel".into());
        let (offer, pending) = api.apply().expect("changes");
        let answer = forwarder.answer(&offer.to_sdp_string());
        let parsed = SdpAnswer::from_sdp_string(&answer).expect("an answer");
        rtc.sdp_api().accept_answer(pending, parsed).expect("fits");
        let both = Self {
            rtc,
            slot,
            clock,
            description: Description::parse(&answer),
            lean: None,
            oracle: HashMap::new(),
            delays: [Histogram::default(), Histogram::default()],
            out: Vec::new(),
        };
        (both, answer)
    }

    fn poll(&mut self, now_ns: i64) {
        self.rtc.handle_input(Input::Timeout(self.clock.instant(now_ns))).expect("goes on");
        self.drain();
        if let (Outcome::Keys(keys), None) = (self.slot.outcome(), &self.lean) {
            self.lean = Some(Lean::new(&keys, self.description.clone(), 0x1234, now_ns));
        }
    }

    fn receive(&mut self, bytes: &[u8], now_ns: i64) {
        let datagram = Receive::new(Protocol::Udp, address(4_000), address(5_000), bytes).expect("known");
        self.rtc.handle_input(Input::Receive(self.clock.instant(now_ns), datagram)).expect("takes it");
        self.drain();
        if let Some(lean) = self.lean.as_mut().filter(|_| is_media(bytes)) {
            lean.receive(&mut bytes.to_vec(), now_ns, &mut self.delays[0]).expect("readable");
        }
    }

    fn drain(&mut self) {
        loop {
            match self.rtc.poll_output().expect("goes on") {
                Output::Timeout(_) => return,
                Output::Transmit(transmit) => self.out.push(Vec::from(transmit.contents)),
                Output::Event(str0m::Event::RtpPacket(packet)) => {
                    let (ssrc, payload_type) = (*packet.header.ssrc, *packet.header.payload_type);
                    let format = if packet.header.ext_vals.audio_level.is_some() || payload_type == 111 {
                        Format::Audio
                    } else {
                        Format::Vp8
                    };
                    let inbound =
                        self.oracle.entry(ssrc).or_insert_with(|| Inbound::new(ssrc, payload_type, format));
                    let media = MediaPacket {
                        payload_type,
                        seq: *packet.seq_no,
                        timestamp: packet.header.timestamp,
                        payload: &packet.payload,
                    };
                    inbound.take(&media, self.clock.nanos(packet.timestamp), &mut self.delays[1]);
                }
                Output::Event(_) => {}
            }
        }
    }
}

/// What a path does to the number of a media datagram: how often it arrives, and how many later ones overtake it.
type Path = fn(u64) -> (usize, usize);

/// Run a call over a path; the counters of the lean path and of str0m, by SSRC.
fn compare(path: Path) -> Vec<(Counts, Counts)> {
    let clock = Clock::new(Instant::now(), 0);
    let mut forwarder = Forwarder::new(clock);
    let (mut both, answer) = Both::new(clock, &mut forwarder);
    let (video, audio) = (Forwarder::mid(&answer, "video", 0), Forwarder::mid(&answer, "audio", 0));
    let (mut now_ns, mut frame, mut number, mut seq) = (0, 0, 0, 65_300);
    let mut held: Vec<(usize, Vec<u8>)> = Vec::new();
    for step in 0..4_000 {
        now_ns += 5 * MS;
        forwarder.poll(now_ns);
        both.poll(now_ns);
        if step >= 200 && step % 6 == 0 && frame < 550 {
            let packets = 1 + frame as usize % 7;
            forwarder.send_frame(video, frame, seq, packets, frame % 90 == 0);
            forwarder.send_sound(audio, 65_400 + frame);
            frame += 1;
            seq += packets as u64;
        }
        while !(forwarder.out.is_empty() && both.out.is_empty()) {
            for datagram in std::mem::take(&mut both.out) {
                forwarder.receive(address(5_000), &datagram, now_ns);
            }
            for datagram in std::mem::take(&mut forwarder.out) {
                if !is_media(&datagram.bytes) || is_rtcp(&datagram.bytes) {
                    both.receive(&datagram.bytes, now_ns);
                    continue;
                }
                number += 1;
                let (copies, overtaken) = path(number);
                for entry in &mut held {
                    entry.0 = entry.0.saturating_sub(1);
                }
                if overtaken > 0 {
                    held.push((overtaken, datagram.bytes.clone()));
                } else {
                    for _ in 0..copies {
                        both.receive(&datagram.bytes, now_ns);
                    }
                }
                for (_, bytes) in held.extract_if(.., |entry| entry.0 == 0).collect::<Vec<_>>() {
                    both.receive(&bytes, now_ns);
                }
            }
        }
    }
    assert_eq!(frame, 550);
    assert_eq!(both.delays[0].counts(), both.delays[1].counts());
    let lean = both.lean.expect("keys");
    let pairs = lean.streams().map(|stream| {
        let oracle = both.oracle.get(&stream.ssrc).expect("str0m has it too");
        (*stream.reception().counts(), *oracle.reception().counts())
    });
    pairs.collect()
}

/// All but the duplicates, which str0m keeps to itself.
fn without_duplicates(counts: Counts) -> Counts {
    Counts { duplicates: 0, ..counts }
}

fn assert_agreement(path: Path) -> Vec<Counts> {
    let pairs = compare(path);
    assert_eq!(pairs.len(), 2);
    for (lean, oracle) in &pairs {
        assert_eq!(without_duplicates(*lean), *oracle);
        assert!(oracle.packets_received >= 400);
    }
    pairs.into_iter().map(|(lean, _)| lean).collect()
}

#[test]
fn both_count_the_same_on_a_clean_path() {
    for counts in assert_agreement(|_| (1, 0)) {
        assert_eq!((counts.packets_lost, counts.late, counts.duplicates), (0, 0, 0));
    }
}

#[test]
fn both_count_the_same_where_packets_are_lost_and_resent() {
    // Scattered: resends count too, and a plain remainder falls into step with the frames.
    let counts = assert_agreement(|number| (usize::from(((number * 2_654_435_761) >> 9) % 11 != 3), 0));
    assert!(counts.iter().any(|stream| stream.late > 50), "resends came");
    assert!(counts.iter().any(|stream| stream.packets_lost > 10), "sound is not resent");
}

#[test]
fn both_count_the_same_where_packets_come_twice() {
    let counts = assert_agreement(|number| (1 + usize::from(number % 5 == 0), 0));
    assert!(counts.iter().any(|stream| stream.duplicates > 50));
}

#[test]
fn both_count_the_same_where_packets_overtake_each_other() {
    let counts = assert_agreement(|number| (1, if number % 13 == 0 { 1 + number as usize % 4 } else { 0 }));
    assert!(counts.iter().any(|stream| stream.late > 50));
}
