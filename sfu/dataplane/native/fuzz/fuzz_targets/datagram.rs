//! Any datagrams in any order, from a publisher, a subscriber, somebody whom we dial and a stranger, at any time: the
//! plane's core never panics, never spins, and what it sends can be read.
//!
//! An input is steps: a kind, how much later, a length, and so many bytes. SRTP is off, so that bytes are packets.
#![no_main]

use std::net::SocketAddr;

use focus_dataplane::{Config, MAX_DATAGRAM_BYTES, PlaneCore, Random};
use focus_ice::{Address, AddressKind, Attribute, BINDING, MessageClass, serialise};
use focus_plane::{
    Codec, Credentials, EncodingSpec, Event, Extension, ExtensionIds, Operation, Pacing, PayloadFormat,
    Probe, SetRoute, SetTrack, SrtpProfile, Target,
};
use focus_rtp::packet::RtpHeader;
use focus_rtp::rtcp::parse_compound;
use focus_units::{Instant, Kind, RouteId, Ssrc, TrackHandle, TransportId};
use libfuzzer_sys::fuzz_target;

const PUBLISHER: TransportId = TransportId(1);
const SUBSCRIBER: TransportId = TransportId(2);
/// Whom we dial, from a port of its own.
const DIALLED: TransportId = TransportId(3);
/// Calls of `poll` at one time that are still no endless loop.
const MAX_POLLS: usize = 64;
const FORMATS: [(&str, Codec, u8); 4] =
    [("vp8", Codec::Vp8, 96), ("vp9", Codec::Vp9, 98), ("h264", Codec::H264, 100), ("av1", Codec::Av1, 102)];

fn address(port: u16) -> Address {
    Address::from(SocketAddr::from(([192, 0, 2, 1], port)))
}

fn formats(kind: Kind, shift: u8) -> Vec<PayloadFormat> {
    if kind == Kind::Audio {
        return vec![PayloadFormat {
            key: "opus".into(),
            codec: Codec::Opus,
            payload_type: 111,
            clock_rate: 48_000,
            rtx_payload_type: None,
        }];
    }
    FORMATS
        .iter()
        .map(|(key, codec, payload_type)| PayloadFormat {
            key: (*key).into(),
            codec: *codec,
            payload_type: payload_type - shift,
            clock_rate: 90_000,
            rtx_payload_type: Some(payload_type - shift + 1),
        })
        .collect()
}

fn extensions(shift: u8) -> ExtensionIds {
    [
        (Extension::Mid, 1),
        (Extension::Rid, 2),
        (Extension::RepairedRid, 3),
        (Extension::TransportCc, 4),
        (Extension::AbsSendTime, 5),
        (Extension::DependencyDescriptor, 6),
        (Extension::AudioLevel, 7),
    ]
    .into_iter()
    .map(|(extension, id)| (extension, id + shift))
    .collect()
}

/// A track of the publisher on its way to the subscriber.
fn track(kind: Kind, number: u32, rids: &[&str]) -> [Operation; 2] {
    let encoding = |rid: &&str| EncodingSpec { rid: (*rid).into(), ssrc: None, rtx_ssrc: None };
    let set_track = SetTrack {
        track: TrackHandle(number),
        transport: PUBLISHER,
        mid: number.to_string(),
        kind,
        formats: formats(kind, 0),
        encodings: rids.iter().map(encoding).collect(),
        extensions: extensions(0),
        cname: "publisher".into(),
    };
    let set_route = SetRoute {
        route: RouteId(number),
        track: TrackHandle(number),
        transport: SUBSCRIBER,
        mid: number.to_string().into(),
        ssrc: Ssrc(1_000 + number),
        rtx_ssrc: (kind == Kind::Video).then_some(Ssrc(2_000 + number)),
        formats: formats(kind, 40).into(),
        extensions: extensions(3),
        cname: "publisher".into(),
        mixed_extensions: true,
    };
    [Operation::SetTrack(Box::new(set_track)), Operation::SetRoute(Box::new(set_route))]
}

fn credentials(transport: TransportId) -> Credentials {
    Credentials { ufrag: format!("ufrag{}", transport.0), password: "a password of 22 chars".into() }
}

/// Where a transport's peer sends from.
fn port_of(transport: TransportId) -> u16 {
    1_000 + transport.0 as u16
}

/// The check that selects a pair.
fn check(core: &mut PlaneCore, now: Instant, transport: TransportId) {
    let Credentials { ufrag, password } = credentials(transport);
    let username = format!("{ufrag}:peer");
    let attributes: [(u16, &[u8]); 2] =
        [(Attribute::Username as u16, username.as_bytes()), (Attribute::UseCandidate as u16, &[])];
    let mut request = Vec::new();
    serialise(&mut request, MessageClass::Request, BINDING, [7; 12], &attributes, Some(&password));
    core.handle_datagram(now, address(port_of(transport)), &mut request);
}

/// A publisher of a camera in two encodings and a microphone, and a subscriber of both.
fn call(now: Instant) -> PlaneCore {
    let config = Config { consent_timeout_s: 30.0, packet_cache_bytes: 1 << 18 };
    let mut core = PlaneCore::new(config, Random::from_seed([7; 32]));
    let mut operations = Vec::new();
    for transport in [PUBLISHER, SUBSCRIBER, DIALLED] {
        let credentials = credentials(transport);
        let own_port = transport == DIALLED;
        operations.push(Operation::AddTransport { transport, credentials, worker: 0, own_port });
        operations.push(Operation::InstallSrtp {
            transport,
            profile: SrtpProfile::Null,
            receive_key: Vec::new(),
            send_key: Vec::new(),
        });
    }
    operations.extend(track(Kind::Video, 1, &["l", "h"]));
    operations.extend(track(Kind::Audio, 2, &[""]));
    core.apply(now, operations).expect("operations in order");
    check(&mut core, now, PUBLISHER);
    check(&mut core, now, SUBSCRIBER);
    core.set_targets(now, [target(1, 0, 7), target(2, 0, 7)]);
    core
}

fn target(route: u32, encoding: i8, temporal: i8) -> Target {
    Target { route: RouteId(route), encoding, temporal }
}

/// What the engine asks for between datagrams.
fn steer(core: &mut PlaneCore, now: Instant, data: &[u8]) {
    let [what, value, behind @ ..] = data else { return };
    let rate_bps = f64::from(*value) * 20_000.0;
    match what % 10 {
        0 | 1 => core.set_targets(now, [target(1, (value & 3) as i8 - 1, (value >> 2 & 7) as i8)]),
        2 => core.set_targets(now, [target(2, (value & 1) as i8 - 1, 7)]),
        3 => core.set_pacing(
            now,
            [Pacing { transport: SUBSCRIBER, rate_bps, padding_bps: rate_bps / 2.0, queue_limit_ms: 250.0 }],
        ),
        4 => core.probe(now, [Probe { transport: SUBSCRIBER, cluster: 1, rate_bps, size_bytes: 5_000 }]),
        5 => {
            let _ = core.apply(now, track(Kind::Video, 1, if value % 2 == 0 { &["h", "l"] } else { &["l"] }));
        }
        6 => {
            let _ = core.apply(now, [Operation::RemoveRoute { route: RouteId(1 + u32::from(value & 1)) }]);
        }
        8 => {
            let (transport, host, port) = dialled(*value);
            let data = if behind.is_empty() { asked(*value) } else { behind.to_vec() };
            let _ = core.apply(now, [Operation::SendStun { transport, host, port, data }]);
        }
        9 => {
            let (transport, host, port) = dialled(*value);
            let _ = core.apply(now, [Operation::SelectAddress { transport, host, port }]);
        }
        _ => {
            core.stats(now);
            core.feedback();
        }
    }
}

/// Who is checked by us, and where: at the stranger's, the subscriber's or nobody's address, or at none.
fn dialled(value: u8) -> (TransportId, String, i64) {
    let transport = [PUBLISHER, SUBSCRIBER, DIALLED, DIALLED][usize::from(value & 1 | value >> 6 & 2)];
    let port = [9_999, i64::from(port_of(SUBSCRIBER)), 1_003, 70_000][usize::from(value >> 1 & 3)];
    (transport, "192.0.2.1".into(), port)
}

/// A request of ours.
fn asked(value: u8) -> Vec<u8> {
    let mut request = Vec::new();
    serialise(&mut request, MessageClass::Request, BINDING, [value >> 3; 12], &[], None);
    request
}

/// The last numbers that the subscriber has seen.
#[derive(Default)]
struct Seen {
    sequence_numbers: [u16; 2],
    transport_cc: u16,
}

impl Seen {
    /// Make numbers of a NACK and of transport-wide feedback relative to what was sent: nobody guesses those.
    fn adjust(&self, datagram: &mut [u8]) {
        let [first, 205, _, _, _, _, _, _, _, _, _, media, high, low, ..] = datagram else { return };
        let last = if *first & 31 == 15 {
            self.transport_cc
        } else {
            self.sequence_numbers[usize::from(*media) & 1]
        };
        [*high, *low] = last.wrapping_add(u16::from_be_bytes([*high, *low])).to_be_bytes();
    }
}

/// Takes what has happened: who was silent for too long is back at once.
///
/// Nothing is authenticated here, so a packet from where nobody is any more would be taken for one of whoever is left.
fn return_the_lost(core: &mut PlaneCore, now: Instant) {
    for event in core.drain().events {
        if let Event::ConsentLost { transport } = event {
            check(core, now, transport);
        }
    }
}

/// Polls until nothing is due.
fn run_until(core: &mut PlaneCore, now: Instant, seen: &mut Seen) {
    for _ in 0..MAX_POLLS {
        core.poll(now);
        return_the_lost(core, now);
        read_what_is_sent(core, seen);
        if core.next_timeout().is_none_or(|due_at| due_at > now) {
            return;
        }
    }
    panic!("always something due at {now:?}");
}

fn read_what_is_sent(core: &mut PlaneCore, seen: &mut Seen) {
    for (to, datagram) in core.egress().datagrams() {
        assert!(datagram.len() <= MAX_DATAGRAM_BYTES);
        match datagram[0] {
            0..=3 => {}
            128..=191 if (192..=223).contains(&datagram[1]) => {
                parse_compound(datagram).expect("our RTCP can be read");
            }
            128..=191 => {
                let header = RtpHeader::parse(datagram).expect("our RTP can be read");
                assert!([0, 1_001, 1_002, 2_001].contains(&header.ssrc.0), "{header:?}");
                assert!(to != address(port_of(PUBLISHER)), "the publisher gets no media");
                if let Some([high, low]) =
                    header.element(datagram, extensions(3).id_of(Extension::TransportCc))
                {
                    seen.transport_cc = u16::from_be_bytes([*high, *low]);
                }
                if let 1_001 | 1_002 = header.ssrc.0 {
                    seen.sequence_numbers[header.ssrc.0 as usize & 1] = header.sequence_number;
                }
            }
            first => panic!("a datagram that begins with {first}"),
        }
    }
    core.egress().clear();
}

fuzz_target!(|data: &[u8]| {
    let mut now = Instant(1_000_000_000);
    let mut core = call(now);
    let mut seen = Seen::default();
    run_until(&mut core, now, &mut seen);
    let mut rest = data;
    while let [kind, later, length, behind @ ..] = rest {
        let (bytes, behind) = behind.split_at(behind.len().min((*length).into()));
        rest = behind;
        now = now.after_ns(i64::from(*later).pow(3) * 1_000); // from a microsecond to 16 s
        run_until(&mut core, now, &mut seen);
        let mut datagram = bytes.to_vec();
        match kind % 8 {
            0..=3 => core.handle_datagram(now, address(port_of(PUBLISHER)), &mut datagram),
            4 | 5 => {
                seen.adjust(&mut datagram);
                core.handle_datagram(now, address(port_of(SUBSCRIBER)), &mut datagram);
            }
            6 if kind & 0x40 == 0 => core.handle_datagram(now, address(9_999), &mut datagram),
            6 => {
                let by_own_port = address(9_999).carried_by(AddressKind::Own(DIALLED));
                core.handle_datagram(now, by_own_port, &mut datagram);
            }
            _ => steer(&mut core, now, bytes),
        }
        if kind & 0x80 == 0 {
            core.flush(now);
        }
    }
    run_until(&mut core, now, &mut seen);
    core.stats(now);
});
