//! What the parsers make of the bytes in `tests/vectors/rtp`, against what their Python twins do: a line is
//! `data TAB outcome TAB written`, as `tests/vectors/rtp/text.py` says.

use std::fmt::Display;
use std::path::Path;

use focus_rtp::dependency_descriptor::{
    FrameDependencies, NewNumbers, Structure, parse_dependency_descriptor, rewrite_dependency_descriptor,
};
use focus_rtp::extensions::{parse_audio_level, parse_name, parse_transport_sequence_number};
use focus_rtp::packet::{HeaderWriter, RtpHeader, pad};
use focus_rtp::rtcp::{ReportBlock, RtcpPacket, parse_compound, serialise};
use focus_rtp::vp8::{frame_size, parse_vp8, write_vp8_head};
use focus_rtp::{av1, h264, vp9};
use focus_units::{ParseError, Ssrc};

const STAMPS: [(u8, &[u8]); 2] = [(5, &[1, 2, 3]), (14, &[0xFE, 0xFF])];
const PICTURE_ID: u16 = 0x1234;
const TL0_PIC_IDX: u8 = 0x56;
const KEY_IDX: u8 = 0x17;
const NUMBERS: NewNumbers = NewNumbers { frame_number: 0xABCD, template_shift: 5, active: Some(1) };

/// The value as text, and what writing it gives.
type Outcome = Result<(String, Vec<u8>), ParseError>;

fn compare(parser: &str, outcome_of: impl Fn(&[Vec<u8>]) -> Outcome) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../../tests/vectors/rtp");
    let text = std::fs::read_to_string(folder.join(parser).with_extension("tsv")).expect("vectors");
    assert!(text.lines().count() > 50);
    for (number, line) in text.lines().enumerate() {
        let data = line.split('\t').next().expect("data");
        let parts: Vec<Vec<u8>> = data.split('/').map(bytes).collect();
        let ours = match outcome_of(&parts) {
            Ok((value, written)) => format!("{data}\t{value}\t{}", hex(&written)),
            Err(ParseError(reason)) => format!("{data}\t!{reason}"),
        };
        assert_eq!(ours.trim_end_matches('\t'), line, "{parser} line {}", number + 1);
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("hex"))
        .collect()
}

fn hex(data: &[u8]) -> String {
    data.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn list(items: impl IntoIterator<Item: Display>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    format!("[{}]", items.join(","))
}

fn or_none(value: Option<impl Display>) -> String {
    value.map_or("-".to_owned(), |value| value.to_string())
}

fn numbers(ssrcs: &[Ssrc]) -> String {
    list(ssrcs.iter().map(|ssrc| ssrc.0))
}

fn packet(parts: &[Vec<u8>]) -> Outcome {
    let data = &parts[0];
    let header = RtpHeader::parse(data)?;
    let elements: Vec<String> =
        header.elements(data).map(|(id, value)| format!("{id}:{}", hex(value))).collect();
    let value = format!(
        "payload_type={} marker={} sequence_number={} timestamp={} ssrc={} csrcs={} elements={} payload={} padding={}",
        header.payload_type,
        u8::from(header.marker),
        header.sequence_number,
        header.timestamp,
        header.ssrc.0,
        header.csrc_count(),
        elements.join(","),
        hex(header.payload(data)),
        header.padding_bytes,
    );
    let mut written = Vec::new();
    if header.csrc_count() == 0 {
        let mut writer = HeaderWriter::start(
            &mut written,
            header.payload_type,
            header.marker,
            header.sequence_number,
            header.timestamp,
            header.ssrc,
            false,
        );
        for (id, value) in header.elements(data).chain(STAMPS) {
            writer.element(id, value);
        }
        writer.finish();
        written.extend_from_slice(header.payload(data));
        pad(&mut written, 0, header.padding_bytes);
    }
    Ok((value, written))
}

fn vp8(parts: &[Vec<u8>]) -> Outcome {
    let payload = &parts[0];
    let read = parse_vp8(payload)?;
    let size = frame_size(payload, read).map(|(width, height)| format!("{width}x{height}"));
    let value = format!(
        "size={} start={} partition={} non_reference={} picture_id={}/{} tl0={} temporal={} sync={} key_idx={} \
         key_frame={} frame={}",
        read.size_bytes(),
        u8::from(read.start_of_partition()),
        read.partition(),
        u8::from(read.non_reference()),
        or_none(read.picture_id()),
        read.picture_id_bits(),
        or_none(read.tl0_pic_idx()),
        or_none(read.temporal_id()),
        u8::from(read.layer_sync()),
        or_none(read.key_idx()),
        u8::from(read.starts_key_frame()),
        or_none(size),
    );
    let mut written = Vec::new();
    write_vp8_head(payload, read, PICTURE_ID, TL0_PIC_IDX, KEY_IDX, &mut written);
    written.extend_from_slice(&payload[read.size_bytes()..]);
    Ok((value, written))
}

fn vp9(parts: &[Vec<u8>]) -> Outcome {
    let read = vp9::parse_vp9(&parts[0])?;
    let value = format!(
        "start={} end={} inter={} picture_id={} temporal={} spatial={} switching={} inter_layer={} key_frame={}",
        u8::from(read.starts_frame()),
        u8::from(read.ends_frame()),
        u8::from(read.is_inter_predicted()),
        or_none(read.picture_id()),
        or_none(read.temporal_id()),
        or_none(read.spatial_id()),
        u8::from(read.switching_point()),
        u8::from(read.inter_layer_predicted()),
        u8::from(read.starts_key_frame()),
    );
    Ok((value, Vec::new()))
}

fn extensions(parts: &[Vec<u8>]) -> String {
    let value = &parts[0];
    let or_reason = |read: Result<String, ParseError>| read.unwrap_or_else(|error| format!("!{}", error.0));
    let name = or_reason(parse_name(value).map(|name| hex(name.as_bytes())));
    let level = parse_audio_level(value).map(|read| format!("{}/{}", read.level, u8::from(read.voice)));
    let number = or_reason(parse_transport_sequence_number(value).map(|number| number.to_string()));
    format!("{name} {} {number}", or_reason(level))
}

fn rtcp(parts: &[Vec<u8>]) -> Outcome {
    let packets = parse_compound(&parts[0])?;
    let mut written = Vec::new();
    for packet in &packets {
        serialise(packet, &mut written);
    }
    let texts: Vec<String> = packets.iter().map(rtcp_packet).collect();
    Ok((texts.join("; "), written))
}

fn rtcp_packet(packet: &RtcpPacket) -> String {
    match packet {
        RtcpPacket::SenderReport(report) => format!(
            "sr {} {} {} {} {} {}",
            report.ssrc.0,
            report.ntp_timestamp,
            report.rtp_timestamp,
            report.packet_count,
            report.octet_count,
            list(report.reports.iter().map(block)),
        ),
        RtcpPacket::ReceiverReport(report) => {
            format!("rr {} {}", report.ssrc.0, list(report.reports.iter().map(block)))
        }
        RtcpPacket::Sdes(sdes) => {
            let cname = |(ssrc, cname): &(Ssrc, String)| format!("{}={}", ssrc.0, hex(cname.as_bytes()));
            format!("sdes {}", list(sdes.cnames.iter().map(cname)))
        }
        RtcpPacket::Bye(bye) => format!("bye {} {}", numbers(&bye.ssrcs), hex(bye.reason.as_bytes())),
        RtcpPacket::Nack(nack) => {
            format!("nack {} {} {}", nack.sender_ssrc.0, nack.media_ssrc.0, list(&nack.sequence_numbers))
        }
        RtcpPacket::Pli(pli) => format!("pli {} {}", pli.sender_ssrc.0, pli.media_ssrc.0),
        RtcpPacket::Fir(fir) => {
            let entries =
                fir.entries.iter().map(|entry| format!("{}/{}", entry.ssrc.0, entry.command_number));
            format!("fir {} {}", fir.sender_ssrc.0, list(entries))
        }
        RtcpPacket::Remb(remb) => {
            format!("remb {} {} {}", remb.sender_ssrc.0, remb.bitrate_bps, numbers(&remb.ssrcs))
        }
        RtcpPacket::TransportFeedback(feedback) => {
            let arrivals = feedback.arrivals.iter().map(|(number, at)| format!("{number}@{}", or_none(*at)));
            format!(
                "twcc {} {} {} {}",
                feedback.sender_ssrc.0,
                feedback.media_ssrc.0,
                feedback.feedback_count,
                list(arrivals)
            )
        }
        RtcpPacket::Raw(raw) => format!("raw {} {} {}", raw.packet_type, raw.count, hex(&raw.body)),
    }
}

fn block(block: &ReportBlock) -> String {
    format!(
        "{}/{}/{}/{}/{}/{}/{}",
        block.ssrc.0,
        block.fraction_lost,
        block.packets_lost,
        block.highest_sequence_number,
        block.jitter,
        block.last_sender_report,
        block.delay_since_last_sender_report,
    )
}

fn dependency_descriptor(parts: &[Vec<u8>]) -> Outcome {
    let (packet, before) = parts.split_last().expect("a packet");
    let known = match before {
        [key_frame, ..] => parse_dependency_descriptor(key_frame, None)?.structure,
        [] => None,
    };
    let read = parse_dependency_descriptor(packet, known.as_ref())?;
    let mask =
        read.mask.map(|it| format!("{}/{}/{}/{}", it.at_bit, it.width, u8::from(it.is_there), it.used_bits));
    let value = format!(
        "start={} end={} template={} number={} active={} mask={} frame={} structure={}",
        u8::from(read.start_of_frame),
        u8::from(read.end_of_frame),
        read.template_id,
        read.frame_number,
        or_none(read.active_decode_targets),
        or_none(mask),
        or_none(read.dependencies.as_ref().map(frame)),
        or_none(read.structure.as_ref().map(structure)),
    );
    let mut written = Vec::new();
    rewrite_dependency_descriptor(packet, &read, NUMBERS, &mut written);
    Ok((value, written))
}

fn structure(structure: &Structure) -> String {
    format!(
        "{}/{}/{}/{}/{}/{}",
        structure.template_id_offset,
        structure.decode_target_count,
        list(structure.templates.iter().map(frame)),
        list(&*structure.decode_target_protected_by),
        list(structure.resolutions.iter().map(|(width, height)| format!("{width}x{height}"))),
        list(structure.temporal_ids()),
    )
}

fn frame(frame: &FrameDependencies) -> String {
    format!(
        "{}.{}.{}.{}.{}.{}.{}",
        frame.spatial_id,
        frame.temporal_id,
        list(frame.indications.iter().map(|indication| indication as u8)),
        list(&*frame.frame_diffs),
        list(&*frame.chain_diffs),
        frame.targets(),
        frame.switch_targets(),
    )
}

#[test]
fn packets_are_those_of_the_twin() {
    compare("packet", packet);
}

#[test]
fn vp8_descriptors_are_those_of_the_twin() {
    compare("vp8", vp8);
}

#[test]
fn vp9_descriptors_are_those_of_the_twin() {
    compare("vp9", vp9);
}

#[test]
fn key_frames_of_h264_start_where_the_twin_sees_them() {
    let starts = |parts: &[Vec<u8>]| h264::starts_h264_key_frame(&parts[0]);
    compare("h264", |parts| Ok((format!("key_frame={}", u8::from(starts(parts))), Vec::new())));
}

#[test]
fn key_frames_of_av1_start_where_the_twin_sees_them() {
    let starts = |parts: &[Vec<u8>]| av1::starts_av1_key_frame(&parts[0]);
    compare("av1", |parts| Ok((format!("key_frame={}", u8::from(starts(parts))), Vec::new())));
}

#[test]
fn values_of_extensions_are_those_of_the_twin() {
    compare("extensions", |parts| Ok((extensions(parts), Vec::new())));
}

#[test]
fn compounds_are_those_of_the_twin() {
    compare("rtcp", rtcp);
}

#[test]
fn dependency_descriptors_are_those_of_the_twin() {
    compare("dependency_descriptor", dependency_descriptor);
}
