//! A forwarder's end made of plain str0m, and a wire between it and whatever is tested, on a virtual clock.
#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpOffer};
use str0m::channel::ChannelId;
use str0m::format::Codec;
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::rtcp::Rtcp;
use str0m::rtp::{RawPacket, RtpPacket, RtpWrite};
use str0m::{Candidate, Input, Output, Rtc};
use swarm::clock::Clock;
use swarm::effects::{Datagram, Effects};
use swarm::keytap;
use swarm::participant::{Participant, Role};
use swarm::stamp;
use swarm::vp8::Descriptor;

pub const MS: i64 = 1_000_000;

/// Where both ends live.
pub fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// What a forwarder's end has seen.
#[derive(Default)]
pub struct Seen {
    pub packets: Vec<RtpPacket>,
    pub texts: Vec<String>,
    pub key_frame_requests: usize,
    pub rtcp: Vec<Rtcp>,
}

/// The end of a forwarder: ICE-lite, plain str0m.
pub struct Forwarder {
    pub rtc: Rtc,
    pub address: SocketAddr,
    pub clock: Clock,
    pub channel: Option<ChannelId>,
    pub seen: Seen,
    pub out: Vec<Datagram>,
    pub now_ns: i64,
}

impl Forwarder {
    pub fn new(clock: Clock) -> Self {
        let address = address(4_000);
        let mut rtc = Rtc::builder()
            .set_ice_lite(true)
            .set_rtp_mode(true)
            .enable_raw_packets(true)
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .set_crypto_provider(Arc::new(keytap::provider()))
            .build(clock.instant(0));
        rtc.add_local_candidate(Candidate::host(address, "udp").expect("valid"));
        Self { rtc, address, clock, channel: None, seen: Seen::default(), out: Vec::new(), now_ns: 0 }
    }

    pub fn answer(&mut self, offer: &str) -> String {
        let offer = SdpOffer::from_sdp_string(offer).expect("an offer");
        let answer = self.rtc.sdp_api().accept_offer(offer).expect("acceptable").to_sdp_string();
        self.drain();
        answer
    }

    pub fn receive(&mut self, from: SocketAddr, bytes: &[u8], now_ns: i64) {
        let datagram = Receive::new(Protocol::Udp, from, self.address, bytes).expect("known");
        self.rtc.handle_input(Input::Receive(self.clock.instant(now_ns), datagram)).expect("takes it");
        self.drain();
    }

    pub fn poll(&mut self, now_ns: i64) {
        self.now_ns = now_ns;
        self.rtc.handle_input(Input::Timeout(self.clock.instant(now_ns))).expect("goes on");
        self.drain();
    }

    pub fn say(&mut self, text: &str) {
        let id = self.channel.expect("open");
        assert!(self.rtc.channel(id).expect("open").write(false, text.as_bytes()).expect("room"));
        self.poll(self.now_ns);
    }

    /// The section of a kind and number that this end sends on.
    pub fn mid(answer: &str, kind: &str, number: usize) -> Mid {
        let section =
            answer.split("\r\nm=").filter(|part| part.starts_with(kind)).nth(number).expect("there");
        let mid = section.lines().find_map(|line| line.strip_prefix("a=mid:")).expect("a mid");
        Mid::from(mid.trim())
    }

    /// Send one frame of VP8 in so many packets.
    pub fn send_frame(&mut self, mid: Mid, frame: u64, first_seq: u64, packets: usize, is_key: bool) {
        let format = self.rtc.codec_config().find(|format| format.spec().codec == Codec::Vp8);
        let payload_type = format.expect("VP8").pt();
        let wallclock = self.clock.instant(self.now_ns);
        // Both numbers wrap within the tests that send for long.
        let timestamp = 0xffff_0000_u32.wrapping_add((frame * 3_000) as u32);
        for index in 0..packets {
            let mut payload =
                Descriptor::write(index == 0, (frame + 32_000) as u16 & 0x7fff, frame as u8).to_vec();
            payload.extend(stamp::write(is_key, self.now_ns));
            payload.resize(60 + 11 * index, 0);
            let mut api = self.rtc.direct_api();
            let stream = api.stream_tx_by_mid(mid, None).expect("sends");
            let packet =
                RtpWrite::new(payload_type, (first_seq + index as u64).into(), timestamp, wallclock, payload);
            stream.write_rtp(packet.marker(index + 1 == packets).nackable(true));
        }
        self.poll(self.now_ns);
    }

    /// Send one packet of sound.
    pub fn send_sound(&mut self, mid: Mid, seq: u64) {
        let format = self.rtc.codec_config().find(|format| format.spec().codec == Codec::Opus);
        let payload_type = format.expect("Opus").pt();
        let wallclock = self.clock.instant(self.now_ns);
        let mut api = self.rtc.direct_api();
        let stream = api.stream_tx_by_mid(mid, None).expect("sends");
        stream.write_rtp(RtpWrite::new(payload_type, seq.into(), (seq * 960) as u32, wallclock, vec![1; 40]));
        self.poll(self.now_ns);
    }

    /// Ask the other side for a key frame of the only stream that came.
    pub fn request_key_frame(&mut self) {
        let ssrc = self.seen.packets.last().expect("one came").header.ssrc;
        self.rtc.direct_api().stream_rx(&ssrc).expect("known").request_keyframe(KeyframeRequestKind::Pli);
        self.poll(self.now_ns);
    }

    fn drain(&mut self) {
        loop {
            match self.rtc.poll_output().expect("goes on") {
                Output::Timeout(_) => return,
                Output::Transmit(transmit) => {
                    self.out.push(Datagram { to: transmit.destination, bytes: Vec::from(transmit.contents) });
                }
                Output::Event(event) => self.take(event),
            }
        }
    }

    fn take(&mut self, event: str0m::Event) {
        match event {
            str0m::Event::ChannelOpen(id, _) => self.channel = Some(id),
            str0m::Event::ChannelData(message) => {
                self.seen.texts.push(String::from_utf8(message.data).expect("text"));
            }
            str0m::Event::RtpPacket(packet) => self.seen.packets.push(packet),
            str0m::Event::KeyframeRequest(_) => self.seen.key_frame_requests += 1,
            str0m::Event::RawPacket(raw) => {
                if let RawPacket::RtcpRx(rtcp) = *raw {
                    self.seen.rtcp.push(rtcp);
                }
            }
            _ => {}
        }
    }
}

/// A participant of ours and the forwarder's end, joined by a wire that takes no time and may lose media.
pub struct Call {
    pub participant: Participant,
    pub forwarder: Forwarder,
    pub effects: Effects,
    pub offer: String,
    pub now_ns: i64,
    /// Decides by a running number whether a media datagram to the participant arrives.
    pub arrives: fn(u64) -> bool,
    media: u64,
}

impl Call {
    pub fn new(role: Role) -> Self {
        let clock = Clock::new(Instant::now(), 0);
        let provider = Arc::new(keytap::provider());
        let (participant, offer) =
            Participant::new(role, address(5_000), &provider, clock, 0x1234, 0).expect("valid");
        Self {
            participant,
            forwarder: Forwarder::new(clock),
            effects: Effects::default(),
            offer,
            now_ns: 0,
            arrives: |_| true,
            media: 0,
        }
    }

    /// Offer, answer, and run until the data channel is open; returns the answer.
    pub fn connect(&mut self) -> String {
        let answer = self.forwarder.answer(&self.offer.clone());
        self.participant.accept_answer(&answer, self.now_ns, &mut self.effects).expect("fits");
        for _ in 0..200 {
            self.run(5 * MS);
            if self.participant.is_open() && self.forwarder.channel.is_some() {
                return answer;
            }
        }
        panic!("no data channel: {:?}", self.effects.events);
    }

    /// Let time pass in steps of 5 ms.
    pub fn run(&mut self, duration_ns: i64) {
        let until_ns = self.now_ns + duration_ns;
        while self.now_ns < until_ns {
            self.now_ns += 5 * MS;
            self.participant.poll(self.now_ns, &mut self.effects);
            self.participant.publish(self.now_ns, &mut self.effects);
            self.forwarder.poll(self.now_ns);
            self.exchange();
        }
    }

    /// Deliver until nothing is on its way.
    pub fn exchange(&mut self) {
        loop {
            let up = std::mem::take(&mut self.effects.datagrams);
            let down = std::mem::take(&mut self.forwarder.out);
            if up.is_empty() && down.is_empty() {
                return;
            }
            for datagram in up {
                self.forwarder.receive(address(5_000), &datagram.bytes, self.now_ns);
            }
            for mut datagram in down {
                if swarm::rtp::is_media(&datagram.bytes) && !swarm::rtp::is_rtcp(&datagram.bytes) {
                    self.media += 1;
                    if !(self.arrives)(self.media) {
                        continue;
                    }
                }
                self.participant.receive(address(4_000), &mut datagram.bytes, self.now_ns, &mut self.effects);
            }
        }
    }
}

pub fn receiver(is_full: bool) -> Role {
    Role::Receiver { audio: 1, video: 1, is_full }
}
