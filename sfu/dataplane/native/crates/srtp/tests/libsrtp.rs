//! What libsrtp said to packets in and out of order, this says, too: byte for byte and reason for reason.
//!
//! `tests/unit/dataplane/test_srtp_transcript.py` wrote the transcript and says what is in it.

use focus_plane::{DropReason, SrtpProfile};
use focus_srtp::{Srtp, rtp_header_len};

const TRANSCRIPT: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../../tests/vectors/srtp/libsrtp.txt");

#[test]
fn every_outcome_is_that_of_libsrtp() {
    let transcript = std::fs::read_to_string(TRANSCRIPT).expect("the transcript is there");
    let mut ends = None;
    let mut outcomes = 0;
    for (number, line) in transcript.lines().enumerate() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["session", profile, here, there] => {
                let profile = profile_of(profile);
                let (here, there) = (bytes_of(here), bytes_of(there));
                let end = |receive, send| Srtp::new(profile, receive, send).expect("keys have their length");
                ends = Some((end(&there, &here), end(&here, &there)));
            }
            [end, operation, input, expected] => {
                let (here, there) = ends.as_mut().expect("a session comes first");
                let session = if end == "here" { here } else { there };
                let outcome = carry_out(session, operation, &bytes_of(input));
                assert_eq!(outcome, expected_of(expected), "line {}: {line}", number + 1);
                outcomes += 1;
            }
            _ => panic!("line {}: {line}", number + 1),
        }
    }
    assert!(outcomes > 1_000);
}

fn carry_out(session: &mut Srtp, operation: &str, input: &[u8]) -> Result<Vec<u8>, DropReason> {
    let mut packet = input.to_vec();
    match operation {
        "protect" => {
            let header_len = rtp_header_len(&packet).expect("what is sent has a header");
            session.protect_rtp(&mut packet, 0, header_len)?;
        }
        "unprotect" => {
            let len = session.unprotect_rtp(&mut packet)?;
            packet.truncate(len);
        }
        "protect_rtcp" => session.protect_rtcp(&mut packet, 0)?,
        "unprotect_rtcp" => {
            let len = session.unprotect_rtcp(&mut packet)?;
            packet.truncate(len);
        }
        _ => panic!("{operation}"),
    }
    Ok(packet)
}

fn expected_of(told: &str) -> Result<Vec<u8>, DropReason> {
    let reason = DropReason::ALL.iter().find(|(_, name)| *name == told);
    reason.map_or_else(|| Ok(bytes_of(told)), |(reason, _)| Err(*reason))
}

fn profile_of(name: &str) -> SrtpProfile {
    match name {
        "SRTP_AEAD_AES_128_GCM" => SrtpProfile::AeadAes128Gcm,
        "SRTP_AES128_CM_SHA1_80" => SrtpProfile::Aes128CmSha1_80,
        "SRTP_AEAD_AES_256_GCM" => SrtpProfile::AeadAes256Gcm,
        _ => panic!("{name}"),
    }
}

fn bytes_of(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        digits.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
