use proptest::prelude::*;

use super::*;

const PROFILES: [(SrtpProfile, usize); 3] =
    [(SrtpProfile::AeadAes128Gcm, 28), (SrtpProfile::Aes128CmSha1_80, 30), (SrtpProfile::AeadAes256Gcm, 44)];
/// An empty receiver report of SSRC 1.
const RTCP: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 1];

/// Both ends of a transport.
fn pair(profile: SrtpProfile) -> (Srtp, Srtp) {
    let bytes = PROFILES.iter().find(|(one, _)| *one == profile).map_or(0, |(_, bytes)| *bytes);
    let one: Vec<u8> = (0..bytes as u8).collect();
    let other: Vec<u8> = (100..100 + bytes as u8).collect();
    let end = |receive: &[u8], send: &[u8]| Srtp::new(profile, receive, send).expect("lengths are right");
    (end(&one, &other), end(&other, &one))
}

fn rtp_of(sequence_number: u16, ssrc: u32, size: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend(sequence_number.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend(ssrc.to_be_bytes());
    packet.resize(12 + size, 0);
    packet
}

fn rtp(sequence_number: u16) -> Vec<u8> {
    rtp_of(sequence_number, 7, 20)
}

fn protected(session: &mut Srtp, packet: &[u8]) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    let header_len = rtp_header_len(packet).expect("it has a header");
    session.protect_rtp(&mut buffer, 0, header_len).expect("its number is new");
    buffer
}

fn unprotected(session: &mut Srtp, data: &[u8]) -> Result<Vec<u8>, DropReason> {
    let mut packet = data.to_vec();
    let length = session.unprotect_rtp(&mut packet)?;
    packet.truncate(length);
    Ok(packet)
}

fn protected_rtcp(session: &mut Srtp) -> Vec<u8> {
    let mut buffer = RTCP.to_vec();
    session.protect_rtcp(&mut buffer, 0).expect("there are numbers left");
    buffer
}

fn unprotected_rtcp(session: &mut Srtp, data: &[u8]) -> Result<Vec<u8>, DropReason> {
    let mut packet = data.to_vec();
    let length = session.unprotect_rtcp(&mut packet)?;
    packet.truncate(length);
    Ok(packet)
}

#[test]
fn what_one_end_protects_the_other_reads() {
    for (profile, _) in PROFILES {
        let (mut here, mut there) = pair(profile);
        let data = protected(&mut here, &rtp(1));
        assert_ne!(data[..32], rtp(1)[..]);
        assert!(data.len() <= rtp(1).len() + TAG_BYTES);
        assert_eq!(unprotected(&mut there, &data), Ok(rtp(1)));
        let encrypted = protected_rtcp(&mut here);
        assert_eq!(unprotected_rtcp(&mut there, &encrypted), Ok(RTCP.to_vec()));
        let data = protected(&mut there, &rtp(1));
        assert_eq!(unprotected(&mut here, &data), Ok(rtp(1)));
    }
}

#[test]
fn packets_lie_one_behind_another_in_one_buffer() {
    for (profile, _) in PROFILES {
        let (mut here, mut there) = pair(profile);
        let mut buffer = Vec::new();
        let mut ends = vec![0];
        for number in 1..5 {
            let start = buffer.len();
            buffer.extend(rtp_of(number, 7, usize::from(number) * 10));
            here.protect_rtp(&mut buffer, start, 12).expect("its number is new");
            ends.push(buffer.len());
        }
        let start = buffer.len();
        buffer.extend(RTCP);
        here.protect_rtcp(&mut buffer, start).expect("there are numbers left");
        for (number, range) in (1..5).zip(ends.windows(2)) {
            let plain = rtp_of(number, 7, usize::from(number) * 10);
            assert_eq!(unprotected(&mut there, &buffer[range[0]..range[1]]), Ok(plain));
        }
        assert_eq!(unprotected_rtcp(&mut there, &buffer[start..]), Ok(RTCP.to_vec()));
    }
}

#[test]
fn csrcs_and_extensions_stay_in_the_clear() {
    for (profile, _) in PROFILES {
        let (mut here, mut there) = pair(profile);
        let mut packet = rtp_of(1, 7, 0);
        packet[0] = 0x92;
        packet.extend([1; 8]); // two CSRCs
        packet.extend([0xbe, 0xde, 0, 1, 0x10, 5, 0, 0]);
        packet.extend([9; 30]);
        assert_eq!(rtp_header_len(&packet), Some(28));
        let data = protected(&mut here, &packet);
        assert_eq!(data[..28], packet[..28]);
        assert_ne!(data[28..58], packet[28..58]);
        assert_eq!(unprotected(&mut there, &data), Ok(packet));
    }
}

#[test]
fn a_header_that_is_longer_than_its_packet_has_no_length() {
    assert_eq!(rtp_header_len(&[]), None);
    assert_eq!(rtp_header_len(&rtp(1)[..11]), None);
    let mut packet = rtp_of(1, 7, 0);
    assert_eq!(rtp_header_len(&packet), Some(12));
    packet[0] = 0x81;
    assert_eq!(rtp_header_len(&packet), None);
    packet[0] = 0x90;
    assert_eq!(rtp_header_len(&packet), None);
    packet.extend([0xbe, 0xde, 0, 1]);
    assert_eq!(rtp_header_len(&packet), None);
    packet.extend([0; 4]);
    assert_eq!(rtp_header_len(&packet), Some(20));
}

#[test]
fn what_was_changed_or_is_short_fails_authentication() {
    for (profile, _) in PROFILES {
        let (mut here, mut there) = pair(profile);
        let data = protected(&mut here, &rtp(1));
        let mut changed = data.clone();
        *changed.last_mut().expect("it has bytes") ^= 1;
        for bad in [&changed[..], &data[..20], &data[..12], &data[..3], &[]] {
            assert_eq!(unprotected(&mut there, bad), Err(DropReason::SrtpAuthentication));
            assert_eq!(unprotected_rtcp(&mut there, bad), Err(DropReason::SrtpAuthentication));
        }
        assert_eq!(unprotected(&mut there, &data), Ok(rtp(1)));
        let compound = protected_rtcp(&mut here);
        for end in 0..compound.len() {
            assert_eq!(unprotected_rtcp(&mut there, &compound[..end]), Err(DropReason::SrtpAuthentication));
        }
        assert_eq!(unprotected_rtcp(&mut there, &compound), Ok(RTCP.to_vec()));
    }
}

#[test]
fn what_fails_authentication_leaves_no_state() {
    let (mut here, mut there) = pair(SrtpProfile::AeadAes128Gcm);
    let forged = rtp_of(40_000, 7, 40);
    assert_eq!(unprotected(&mut there, &forged), Err(DropReason::SrtpAuthentication));
    let data = protected(&mut here, &rtp(1));
    assert_eq!(unprotected(&mut there, &data), Ok(rtp(1)));
    assert_eq!(unprotected(&mut there, &forged), Err(DropReason::SrtpAuthentication));
    let data = protected(&mut here, &rtp(2));
    assert_eq!(unprotected(&mut there, &data), Ok(rtp(2)));
}

#[test]
fn what_comes_twice_is_a_replay() {
    for (profile, _) in PROFILES {
        let (mut here, mut there) = pair(profile);
        let data = protected(&mut here, &rtp(1));
        assert!(unprotected(&mut there, &data).is_ok());
        assert_eq!(unprotected(&mut there, &data), Err(DropReason::SrtpReplay));
        // The number is looked at before the tag, and the header before the number.
        assert_eq!(unprotected(&mut there, &data[..14]), Err(DropReason::SrtpReplay));
        let with_extension = [&[data[0] | 0x10], &data[1..14]].concat();
        assert_eq!(unprotected(&mut there, &with_extension), Err(DropReason::SrtpAuthentication));
        let encrypted = protected_rtcp(&mut here);
        assert!(unprotected_rtcp(&mut there, &encrypted).is_ok());
        assert_eq!(unprotected_rtcp(&mut there, &encrypted), Err(DropReason::SrtpReplay));
    }
}

#[test]
fn a_burst_out_of_order_is_within_the_window() {
    let (mut here, mut there) = pair(SrtpProfile::AeadAes128Gcm);
    let packets: Vec<_> =
        (0..REPLAY_WINDOW as u16).map(|number| protected(&mut here, &rtp(number))).collect();
    assert!(packets.iter().rev().all(|data| unprotected(&mut there, data).is_ok()));
}

#[test]
fn nothing_is_encrypted_twice_under_one_number() {
    let (mut here, _) = pair(SrtpProfile::AeadAes128Gcm);
    protected(&mut here, &rtp(1));
    let mut again = rtp_of(1, 7, 30);
    assert_eq!(here.protect_rtp(&mut again, 0, 12), Err(DropReason::TooOld));
    assert_eq!(again, rtp_of(1, 7, 30));
    protected(&mut here, &rtp(3));
    protected(&mut here, &rtp(2));
    protected(&mut here, &rtp_of(1, 8, 20));
    protected(&mut here, &rtp(2_000));
    assert_eq!(here.protect_rtp(&mut rtp(900), 0, 12), Err(DropReason::TooOld));
}

#[test]
fn the_roll_over_is_counted_on_both_ends() {
    for (profile, _) in PROFILES {
        let (mut here, mut there) = pair(profile);
        for number in (0..6).map(|step| 65_533_u16.wrapping_add(step)) {
            let data = protected(&mut here, &rtp(number));
            assert_eq!(unprotected(&mut there, &data), Ok(rtp(number)));
        }
    }
}

#[test]
fn rtcp_numbers_are_used_up_at_their_last() {
    let (mut here, mut there) = pair(SrtpProfile::AeadAes128Gcm);
    let keys = here.keys.as_mut().expect("there is a cipher");
    keys.send.streams.find_or_begin(1).rtcp_sent = LAST_RTCP_INDEX - 1;
    let last = protected_rtcp(&mut here);
    assert_eq!(unprotected_rtcp(&mut there, &last), Ok(RTCP.to_vec()));
    assert_eq!(here.protect_rtcp(&mut RTCP.to_vec(), 0), Err(DropReason::TooOld));
}

#[test]
fn a_key_of_the_wrong_length_is_our_mistake() {
    for (profile, bytes) in PROFILES {
        for (receive, send) in [(bytes, bytes - 1), (bytes + 1, bytes), (0, bytes)] {
            assert!(Srtp::new(profile, &vec![0; receive], &vec![0; send]).is_err());
        }
    }
}

#[test]
fn the_null_profile_changes_nothing() {
    let mut session = Srtp::new(SrtpProfile::Null, b"", b"").expect("it takes no key");
    for _ in 0..2 {
        let mut packet = b"packet".to_vec();
        assert_eq!(session.protect_rtp(&mut packet, 0, 0), Ok(()));
        assert_eq!(session.protect_rtcp(&mut packet, 0), Ok(()));
        assert_eq!(session.unprotect_rtp(&mut packet), Ok(6));
        assert_eq!(session.unprotect_rtcp(&mut packet), Ok(6));
        assert_eq!(packet, b"packet");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_and_leave_no_state(
        profile in prop::sample::select(PROFILES.map(|(profile, _)| profile).to_vec()),
        datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..8),
        has_a_known_ssrc: bool,
    ) {
        let (mut here, mut there) = pair(profile);
        let first = protected(&mut here, &rtp(1));
        prop_assert!(unprotected(&mut there, &first).is_ok());
        for mut data in datagrams {
            if has_a_known_ssrc && data.len() >= 12 {
                data[4..12].copy_from_slice(&[0, 0, 0, 7, 0, 0, 0, 7]);
            }
            prop_assert!(unprotected(&mut there, &data).is_err());
            prop_assert!(unprotected_rtcp(&mut there, &data).is_err());
        }
        let next = protected(&mut here, &rtp(2));
        prop_assert_eq!(unprotected(&mut there, &next), Ok(rtp(2)));
        let compound = protected_rtcp(&mut here);
        prop_assert_eq!(unprotected_rtcp(&mut there, &compound), Ok(RTCP.to_vec()));
    }

    #[test]
    fn streams_do_not_mix(numbers in prop::collection::vec((0_u32..5, 1_u16..200), 1..60)) {
        let (mut here, mut there) = pair(SrtpProfile::AeadAes128Gcm);
        let mut sent = std::collections::HashSet::new();
        for (ssrc, number) in numbers {
            let mut buffer = rtp_of(number, ssrc, 5);
            let outcome = here.protect_rtp(&mut buffer, 0, 12);
            prop_assert_eq!(outcome.is_ok(), sent.insert((ssrc, number)));
            if outcome.is_ok() {
                prop_assert_eq!(unprotected(&mut there, &buffer), Ok(rtp_of(number, ssrc, 5)));
                prop_assert_eq!(unprotected(&mut there, &buffer), Err(DropReason::SrtpReplay));
            }
        }
    }
}
