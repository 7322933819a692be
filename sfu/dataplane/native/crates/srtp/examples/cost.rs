//! What a packet of 1,100 bytes costs under each profile: `cargo run --release -p focus-srtp --example cost`.
//!
//! Twenty contexts take turns, as for twenty subscribers; the median of many short runs is told.

use std::hint::black_box;
use std::time::Instant;

use focus_plane::{LocalError, SrtpProfile};
use focus_srtp::{Srtp, TAG_BYTES};

const PACKET_BYTES: usize = 1_100;
const HEADER_BYTES: usize = 20;
const CONTEXTS: u32 = 20;
const RUNS: usize = 41;
const ROUNDS: u32 = 100;

fn main() -> Result<(), LocalError> {
    for (profile, key_bytes) in [
        (SrtpProfile::AeadAes128Gcm, 28),
        (SrtpProfile::AeadAes256Gcm, 44),
        (SrtpProfile::Aes128CmSha1_80, 30),
        (SrtpProfile::Null, 0),
    ] {
        let key = vec![7; key_bytes];
        let mut sessions = Vec::new();
        for _ in 0..CONTEXTS {
            sessions.push(Srtp::new(profile, &key, &key)?);
        }
        let (protect, unprotect) = measure(&mut sessions);
        println!("{profile:?}: protect {protect} ns, unprotect {unprotect} ns");
    }
    Ok(())
}

fn measure(sessions: &mut [Srtp]) -> (u128, u128) {
    let (mut protects, mut unprotects) = (Vec::new(), Vec::new());
    let mut number = 0_u16;
    let mut packets: Vec<Vec<u8>> =
        (0..sessions.len() * ROUNDS as usize).map(|_| Vec::with_capacity(PACKET_BYTES + TAG_BYTES)).collect();
    for _ in 0..RUNS {
        for batch in packets.chunks_mut(sessions.len()) {
            for packet in batch {
                packet.clear();
                packet.resize(PACKET_BYTES, 1);
                packet[..HEADER_BYTES].copy_from_slice(&header(number));
            }
            number = number.wrapping_add(1);
        }
        let before = Instant::now();
        for batch in packets.chunks_mut(sessions.len()) {
            for (packet, session) in batch.iter_mut().zip(&mut *sessions) {
                session.protect_rtp(packet, 0, HEADER_BYTES).expect("its number is new");
            }
        }
        protects.push(before.elapsed().as_nanos());
        let before = Instant::now();
        for batch in packets.chunks_mut(sessions.len()) {
            for (packet, session) in batch.iter_mut().zip(&mut *sessions) {
                black_box(session.unprotect_rtp(packet)).expect("it is authentic");
            }
        }
        unprotects.push(before.elapsed().as_nanos());
    }
    let per_packet = |mut runs: Vec<u128>| {
        runs.sort_unstable();
        runs[RUNS / 2] / packets.len() as u128
    };
    (per_packet(protects), per_packet(unprotects))
}

fn header(number: u16) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[0] = 0x90;
    header[2..4].copy_from_slice(&number.to_be_bytes());
    header[11] = 9;
    header[12..16].copy_from_slice(&[0xbe, 0xde, 0, 1]);
    header
}
