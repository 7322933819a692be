use super::*;
use crate::twcc::REFERENCE_NS;
use focus_units::ParseError;
use proptest::prelude::*;

const REASONS: [&str; 13] = [
    "short",
    "version",
    "length",
    "padding",
    "sender_report",
    "receiver_report",
    "sdes",
    "bye",
    "feedback",
    "nack",
    "fir",
    "remb",
    "twcc",
];

fn ssrc() -> impl Strategy<Value = Ssrc> {
    any::<u32>().prop_map(Ssrc)
}

prop_compose! {
    fn block()(
        ssrc in ssrc(),
        fraction_lost: u8,
        packets_lost in -(1_i64 << 23)..1 << 23,
        words: [u32; 4],
    ) -> ReportBlock {
        let [highest_sequence_number, jitter, last_sender_report, delay_since_last_sender_report] = words;
        ReportBlock {
            ssrc,
            fraction_lost,
            packets_lost,
            highest_sequence_number,
            jitter,
            last_sender_report,
            delay_since_last_sender_report,
        }
    }
}

fn blocks() -> impl Strategy<Value = Vec<ReportBlock>> {
    prop::collection::vec(block(), 0..4)
}

fn sender_report() -> impl Strategy<Value = SenderReport> {
    (ssrc(), any::<u64>(), any::<[u32; 3]>(), blocks()).prop_map(|(ssrc, ntp_timestamp, words, reports)| {
        let [rtp_timestamp, packet_count, octet_count] = words;
        SenderReport { ssrc, ntp_timestamp, rtp_timestamp, packet_count, octet_count, reports }
    })
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<char>(), 0..60).prop_map(String::from_iter)
}

fn packet() -> impl Strategy<Value = RtcpPacket> {
    let nack = (ssrc(), ssrc(), prop::collection::vec(any::<u16>(), 1..30));
    let fir = (ssrc(), prop::collection::vec((ssrc(), any::<u8>()), 1..4));
    let remb = (ssrc(), 0_u128..1 << 18, 0_u32..64, prop::collection::vec(ssrc(), 0..5));
    let raw = (
        prop::sample::select(vec![192_u8, 204, 207, 255]),
        0_u8..32,
        prop::collection::vec(any::<u8>(), 0..40),
    );
    prop_oneof![
        sender_report().prop_map(RtcpPacket::SenderReport),
        (ssrc(), blocks())
            .prop_map(|(ssrc, reports)| RtcpPacket::ReceiverReport(ReceiverReport { ssrc, reports })),
        prop::collection::vec((ssrc(), text()), 0..4).prop_map(|cnames| RtcpPacket::Sdes(Sdes { cnames })),
        (prop::collection::vec(ssrc(), 0..4), text())
            .prop_map(|(ssrcs, reason)| RtcpPacket::Bye(Bye { ssrcs, reason })),
        nack.prop_map(|(sender_ssrc, media_ssrc, sequence_numbers)| {
            RtcpPacket::Nack(Nack { sender_ssrc, media_ssrc, sequence_numbers })
        }),
        (ssrc(), ssrc())
            .prop_map(|(sender_ssrc, media_ssrc)| RtcpPacket::Pli(Pli { sender_ssrc, media_ssrc })),
        fir.prop_map(|(sender_ssrc, entries)| {
            let entry = |(ssrc, command_number)| FirEntry { ssrc, command_number };
            RtcpPacket::Fir(Fir { sender_ssrc, entries: entries.into_iter().map(entry).collect() })
        }),
        remb.prop_map(|(sender_ssrc, mantissa, exponent, ssrcs)| {
            RtcpPacket::Remb(Remb { sender_ssrc, bitrate_bps: mantissa << exponent, ssrcs })
        }),
        raw.prop_map(|(packet_type, count, body)| RtcpPacket::Raw(RawRtcp { packet_type, count, body })),
    ]
}

fn bytes(packets: &[RtcpPacket]) -> Vec<u8> {
    let mut out = Vec::new();
    for packet in packets {
        serialise(packet, &mut out);
    }
    out
}

fn packet_of(first: u8, packet_type: u8, body: &[u8]) -> Vec<u8> {
    assert_eq!(body.len() % 4, 0);
    let [high, low] = ((body.len() / 4) as u16).to_be_bytes();
    [&[first, packet_type, high, low], body].concat()
}

fn one(data: &[u8]) -> RtcpPacket {
    let mut packets = parse_compound(data).expect("a compound");
    assert_eq!(packets.len(), 1);
    packets.remove(0)
}

fn block_of(number: u32) -> ReportBlock {
    ReportBlock {
        ssrc: Ssrc(number),
        fraction_lost: 1,
        packets_lost: 2,
        highest_sequence_number: 3,
        jitter: 4,
        ..ReportBlock::default()
    }
}

/// The packet with the numbers of a NACK in ascending order, once each: their order is not the wire's.
fn in_order(mut packet: RtcpPacket) -> RtcpPacket {
    if let RtcpPacket::Nack(nack) = &mut packet {
        nack.sequence_numbers.sort_unstable();
        nack.sequence_numbers.dedup();
    }
    packet
}

proptest! {
    #[test]
    fn a_compound_survives_the_wire(compound in prop::collection::vec(packet(), 1..6)) {
        let data = bytes(&compound);
        prop_assert_eq!(data.len() % 4, 0);
        let read: Vec<RtcpPacket> =
            parse_compound(&data).expect("a compound").into_iter().map(in_order).collect();
        let compound: Vec<RtcpPacket> = compound.into_iter().map(in_order).collect();
        prop_assert_eq!(read, compound);
    }

    #[test]
    fn every_beginning_of_a_compound_is_read_or_refused(compound in prop::collection::vec(packet(), 1..3)) {
        let data = bytes(&compound);
        let ends: Vec<usize> = (1..=compound.len()).map(|count| bytes(&compound[..count]).len()).collect();
        for end in 0..data.len() {
            match parse_compound(&data[..end]) {
                Ok(_) => prop_assert!(ends.contains(&end)),
                Err(error) => prop_assert!(REASONS.contains(&error.0) && !ends.contains(&end)),
            }
        }
    }

    #[test]
    fn any_bytes_are_a_compound_or_refused(
        noise in prop::collection::vec(any::<u8>(), 0..80),
        likely in prop::collection::vec((0_u8..64, 200_u8..208, prop::collection::vec(any::<u8>(), 0..60)), 0..3),
    ) {
        let likely: Vec<u8> = likely
            .iter()
            .flat_map(|(first, kind, body)| packet_of(0x80 | first, *kind, &body[..body.len() & !3]))
            .collect();
        for data in [noise, likely] {
            match parse_compound(&data) {
                Ok(packets) => {
                    let again = parse_compound(&bytes(&packets)).expect("what was read can be written");
                    prop_assert_eq!(again.len(), packets.len());
                }
                Err(error) => prop_assert!(REASONS.contains(&error.0)),
            }
        }
    }

    #[test]
    fn a_nack_asks_for_the_same_packets_over_the_wrap(
        base in prop::sample::select(vec![0_u16, 1 << 15, u16::MAX - 16, u16::MAX]),
        steps in prop::collection::btree_set(0_u16..=60, 1..61),
    ) {
        let sequence_numbers: Vec<u16> = steps.iter().map(|step| base.wrapping_add(*step)).collect();
        let nack = RtcpPacket::Nack(Nack { sender_ssrc: Ssrc(1), media_ssrc: Ssrc(2), sequence_numbers });
        let data = bytes(std::slice::from_ref(&nack));
        prop_assert_eq!(one(&data), nack);
        prop_assert!(data.len() <= 12 + 4 * 61_usize.div_ceil(17));
    }
}

#[test]
fn a_report_is_where_the_rfc_puts_it() {
    let mut data = vec![0x81, 0xC8, 0, 0x0C, 0, 0, 0xCA, 0xFE, 0x83, 0xAA, 0x7E, 0x80, 0x80, 0, 0, 0];
    data.extend([0, 1, 0x5F, 0x90, 0, 0, 0, 0x64, 0, 0, 0xC3, 0x50]);
    data.extend([0, 0, 0xBA, 0xBE, 0x40, 0xFF, 0xFF, 0xFF, 0, 1, 2, 3, 0, 0, 0, 0x18]);
    data.extend([0x7E, 0x80, 0x80, 0, 0, 0, 0x80, 0]);
    let report = RtcpPacket::SenderReport(SenderReport {
        ssrc: Ssrc(0xCAFE),
        ntp_timestamp: 0x83AA_7E80_8000_0000,
        rtp_timestamp: 90_000,
        packet_count: 100,
        octet_count: 50_000,
        reports: vec![ReportBlock {
            ssrc: Ssrc(0xBABE),
            fraction_lost: 64,
            packets_lost: -1,
            highest_sequence_number: 0x1_0203,
            jitter: 24,
            last_sender_report: 0x7E80_8000,
            delay_since_last_sender_report: 32_768,
        }],
    });
    assert_eq!(one(&data), report);
    assert_eq!(bytes(&[report]), data);
}

#[test]
fn cumulative_loss_is_capped_at_its_24_bits() {
    let most = (1 << 23) - 1;
    for (lost, wire) in [(most + 1, most), (1_000_000_000, most), (-most - 2, -most - 1), (-1, -1)] {
        let report = |packets_lost| {
            let reports = vec![ReportBlock { packets_lost, ..block_of(1) }];
            RtcpPacket::ReceiverReport(ReceiverReport { ssrc: Ssrc(1), reports })
        };
        assert_eq!(one(&bytes(&[report(lost)])), report(wire));
    }
}

#[test]
fn more_blocks_than_fit_go_into_further_reports() {
    for count in [MAX_BLOCKS, MAX_BLOCKS + 1, 2 * MAX_BLOCKS + 1] {
        let reports: Vec<ReportBlock> = (0..count as u32).map(block_of).collect();
        let sender = SenderReport {
            ssrc: Ssrc(9),
            ntp_timestamp: 1,
            rtp_timestamp: 2,
            packet_count: 3,
            octet_count: 4,
            reports: reports.clone(),
        };
        let receiver = ReceiverReport { ssrc: Ssrc(9), reports: reports.clone() };
        for report in [RtcpPacket::SenderReport(sender), RtcpPacket::ReceiverReport(receiver)] {
            let read = parse_compound(&bytes(std::slice::from_ref(&report))).expect("a compound");
            assert_eq!(std::mem::discriminant(&read[0]), std::mem::discriminant(&report));
            assert_eq!(read.len(), count.div_ceil(MAX_BLOCKS));
            let told = read.iter().flat_map(|part| match part {
                RtcpPacket::SenderReport(part) => &part.reports[..],
                RtcpPacket::ReceiverReport(part) => &part.reports,
                other => panic!("{other:?}"),
            });
            assert!(told.eq(&reports));
        }
    }
}

#[test]
fn more_sources_than_fit_go_into_further_packets() {
    let sdes = |numbers: std::ops::Range<u32>| {
        RtcpPacket::Sdes(Sdes { cnames: numbers.map(|number| (Ssrc(number), "c".into())).collect() })
    };
    let bye = |numbers: std::ops::Range<u32>| {
        RtcpPacket::Bye(Bye { ssrcs: numbers.map(Ssrc).collect(), reason: "gone".into() })
    };
    assert_eq!(parse_compound(&bytes(&[sdes(0..32)])), Ok(vec![sdes(0..31), sdes(31..32)]));
    assert_eq!(parse_compound(&bytes(&[bye(0..32)])), Ok(vec![bye(0..31), bye(31..32)]));
}

#[test]
fn a_goodbye_may_name_nobody() {
    let nobody = RtcpPacket::Bye(Bye { ssrcs: vec![], reason: String::new() });
    assert_eq!(one(&packet_of(0x80, 203, &[])), nobody);
    assert_eq!(bytes(&[nobody]), packet_of(0x80, 203, &[]));
}

#[test]
fn a_reason_that_is_no_text_is_read_all_the_same() {
    let data = packet_of(0x81, 203, &[0, 0, 0, 1, 2, 0xFF, 0xFE, 0]);
    assert_eq!(one(&data), RtcpPacket::Bye(Bye { ssrcs: vec![Ssrc(1)], reason: "\u{FFFD}\u{FFFD}".into() }));
}

#[test]
fn long_words_are_cut() {
    let bye = |length| RtcpPacket::Bye(Bye { ssrcs: vec![Ssrc(1)], reason: "x".repeat(length) });
    let sdes = |length| RtcpPacket::Sdes(Sdes { cnames: vec![(Ssrc(1), "x".repeat(length))] });
    assert_eq!(one(&bytes(&[bye(300)])), bye(255));
    assert_eq!(one(&bytes(&[sdes(300)])), sdes(255));
}

#[test]
fn other_items_of_a_source_are_left_out() {
    let chunks = [&b"\0\0\0\x01\x02\x03abc\x01\x02cn\0\0\0"[..], b"\0\0\0\x02\x06\x04tool\0\0"].concat();
    assert_eq!(
        one(&packet_of(0x82, 202, &chunks)),
        RtcpPacket::Sdes(Sdes { cnames: vec![(Ssrc(1), "cn".into())] })
    );
}

#[test]
fn a_nack_is_written_as_pid_and_following_bits() {
    let sequence_numbers = vec![65_535, 0, 15, 16];
    let nack = RtcpPacket::Nack(Nack { sender_ssrc: Ssrc(1), media_ssrc: Ssrc(2), sequence_numbers });
    let body = [0, 0, 0, 1, 0, 0, 0, 2, 0xFF, 0xFF, 0x80, 0x01, 0, 0x10, 0, 0];
    assert_eq!(bytes(&[nack]), packet_of(0x81, 205, &body));
}

#[test]
fn a_fir_names_its_streams_in_its_entries() {
    let body = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xCA, 0xFE, 7, 0, 0, 0, 0, 0, 0xBA, 0xBE, 255, 0, 0, 0];
    let entry = |ssrc, command_number| FirEntry { ssrc: Ssrc(ssrc), command_number };
    let fir =
        RtcpPacket::Fir(Fir { sender_ssrc: Ssrc(1), entries: vec![entry(0xCAFE, 7), entry(0xBABE, 255)] });
    assert_eq!(one(&packet_of(0x84, 206, &body)), fir);
    assert_eq!(bytes(&[fir]), packet_of(0x84, 206, &body));
}

#[test]
fn a_bitrate_is_a_mantissa_and_an_exponent() {
    let body = [&[0, 0, 0, 1, 0, 0, 0, 0][..], b"REMB", &[1, 0x0B, 0xD0, 0x90, 0, 0, 0xCA, 0xFE]].concat();
    let remb = Remb { sender_ssrc: Ssrc(1), bitrate_bps: 0x3_D090 << 2, ssrcs: vec![Ssrc(0xCAFE)] };
    assert_eq!(one(&packet_of(0x8F, 206, &body)), RtcpPacket::Remb(remb.clone()));
    assert_eq!(bytes(&[RtcpPacket::Remb(remb)]), packet_of(0x8F, 206, &body));
}

#[test]
fn no_more_is_told_than_a_remb_can() {
    let remb = |bitrate_bps, count| {
        RtcpPacket::Remb(Remb { sender_ssrc: Ssrc(1), bitrate_bps, ssrcs: (0..count).map(Ssrc).collect() })
    };
    assert_eq!(one(&bytes(&[remb(1_000, 300)])), remb(1_000, 255));
    assert_eq!(one(&bytes(&[remb(u128::MAX, 1)])), remb(0x3_FFFF << 63, 1));
}

#[test]
fn what_is_not_read_is_kept() {
    let application = packet_of(0x8F, 206, b"\0\0\0\x01\0\0\0\x02ABCD");
    let extended = packet_of(0x80, 207, b"\0\0\0\x01\x04\0\0\x02\x83\xAA\x7E\x80\x80\0\0\0");
    let unknown_format = packet_of(0x83, 205, b"\0\0\0\x01");
    for data in [application, extended, unknown_format] {
        let raw = RawRtcp { packet_type: data[1], count: data[0] & 31, body: data[4..].to_vec() };
        assert_eq!(one(&data), RtcpPacket::Raw(raw.clone()));
        assert_eq!(bytes(&[RtcpPacket::Raw(raw)]), data);
    }
}

#[test]
fn a_padded_packet_of_a_type_we_do_not_know_is_kept_without_its_padding() {
    for padding in [&b"\x01"[..], b"\0\x02", b"\0\0\x03", b"\0\0\0\x04"] {
        let body = [b"\0\0\0\x01", &b"body"[..4 - padding.len()]].concat();
        let raw = one(&packet_of(0xA3, 204, &[&body, padding].concat()));
        assert_eq!(raw, RtcpPacket::Raw(RawRtcp { packet_type: 204, count: 3, body }));
        assert_eq!(one(&bytes(std::slice::from_ref(&raw))), raw);
    }
}

#[test]
fn transport_feedback_is_read_with_any_padding() {
    // Browsers pad it to a word by the padding bit, with less than a word.
    for padding in [&b""[..], b"\x01", b"\0\x02", b"\0\0\x03", b"\0\0\0\x04"] {
        let count = (6 - padding.len()) % 4 + 4;
        let head = [0, 0, 0, 1, 0, 0, 0, 2, 0, 7, 0, count as u8, 0, 0, 1, 5, 0x20, count as u8];
        let body = [&head, &vec![1; count][..], padding].concat();
        let packet = one(&packet_of(if padding.is_empty() { 0x8F } else { 0xAF }, 205, &body));
        let RtcpPacket::TransportFeedback(feedback) = &packet else { panic!("{packet:?}") };
        assert_eq!(
            (feedback.sender_ssrc, feedback.media_ssrc, feedback.feedback_count),
            (Ssrc(1), Ssrc(2), 5)
        );
        assert_eq!(feedback.arrivals[0], (7, Some(REFERENCE_NS + 250_000)));
        assert_eq!(feedback.arrivals.len(), count);
        assert_eq!(one(&bytes(std::slice::from_ref(&packet))), packet);
    }
}

#[test]
fn as_many_packets_as_are_allowed_are_read() {
    let packet = packet_of(0x80, 203, &[]);
    assert_eq!(parse_compound(&packet.repeat(MAX_PACKETS)).map(|packets| packets.len()), Ok(MAX_PACKETS));
    assert_eq!(parse_compound(&packet.repeat(MAX_PACKETS + 1)), Err(ParseError("length")));
}

#[test]
fn what_is_malformed_is_refused_with_its_reason() {
    let zeros = [0; 48];
    let chunk = |items: &[u8]| [&[0; 4], items].concat();
    let cases: [(Vec<u8>, &str); 29] = [
        (Vec::new(), "short"),
        (vec![0x80, 0xC9, 0], "short"),
        ([packet_of(0x80, 203, &[]), vec![0x80]].concat(), "short"),
        (vec![0x00, 0xC9, 0, 0], "version"),
        (vec![0xC0, 0xC9, 0, 0], "version"),
        (vec![0x80, 0xCB, 0, 1], "length"),
        (packet_of(0xA0, 203, &[]), "padding"),
        (packet_of(0xA0, 203, &zeros[..4]), "padding"),
        (packet_of(0xA0, 203, &[0, 0, 0, 5]), "padding"),
        (packet_of(0x80, 200, &zeros[..20]), "sender_report"),
        (packet_of(0x81, 200, &zeros[..44]), "sender_report"),
        (packet_of(0x80, 201, &[]), "receiver_report"),
        (packet_of(0x82, 201, &zeros), "receiver_report"),
        (packet_of(0x81, 202, &[]), "sdes"),
        (packet_of(0x81, 202, &zeros[..4]), "sdes"),
        (packet_of(0x81, 202, &chunk(b"\x01\x01a\x01")), "sdes"),
        (packet_of(0x81, 202, &chunk(b"\x01\x09ab")), "sdes"),
        (packet_of(0x81, 202, &chunk(b"\x01\x01\xFF\0")), "sdes"),
        (packet_of(0x82, 203, &zeros[..4]), "bye"),
        (packet_of(0x81, 203, &chunk(b"\x04abc")), "bye"),
        (packet_of(0x81, 205, &zeros[..4]), "feedback"),
        (packet_of(0x81, 206, &[]), "feedback"),
        (packet_of(0x81, 205, &zeros[..8]), "nack"),
        (packet_of(0xA1, 205, &[&zeros[..15], &[1]].concat()), "nack"),
        (packet_of(0x84, 206, &zeros[..8]), "fir"),
        (packet_of(0x84, 206, &zeros[..20]), "fir"),
        (packet_of(0x8F, 206, &[&zeros[..8], b"REMB"].concat()), "remb"),
        (packet_of(0x8F, 206, &[&zeros[..8], b"REMB\x01\0\0\0"].concat()), "remb"),
        (packet_of(0x8F, 205, &zeros[..16]), "twcc"),
    ];
    for (data, reason) in cases {
        assert_eq!(parse_compound(&data), Err(ParseError(reason)), "{data:x?}");
    }
}
