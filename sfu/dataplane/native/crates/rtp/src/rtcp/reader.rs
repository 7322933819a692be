//! Reading RTCP.

use focus_units::{ParseError, Ssrc};

use super::{
    APPLICATION_LAYER_FORMAT, BYE, Bye, CNAME_ITEM, COUNT, FIR_FORMAT, Fir, FirEntry, HAS_PADDING,
    MAX_PACKETS, NACK_FORMAT, Nack, PAYLOAD_SPECIFIC, PLI_FORMAT, Pli, RECEIVER_REPORT, REMB_ID, RawRtcp,
    ReceiverReport, Remb, ReportBlock, RtcpPacket, SDES, SENDER_REPORT, Sdes, SenderReport, TRANSPORT_LAYER,
};
use crate::twcc::{TWCC_FORMAT, parse_feedback};

const LENGTH: ParseError = ParseError("length");
const SDES_MALFORMED: ParseError = ParseError("sdes");

const SENDER_INFO_BYTES: usize = 24;
const BLOCK_BYTES: usize = 24;
const SSRC_BYTES: usize = 4;
const FEEDBACK_HEAD_BYTES: usize = 8;

/// Read a compound or a reduced-size packet (RFC 5506).
///
/// # Errors
///
/// `short`, `version`, `length`, `padding`, or the name of the packet that is malformed.
pub fn parse_compound(data: &[u8]) -> Result<Vec<RtcpPacket>, ParseError> {
    let mut packets = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        let (head, behind) = rest.split_first_chunk::<4>().ok_or(ParseError("short"))?;
        if packets.len() == MAX_PACKETS {
            return Err(LENGTH);
        }
        let [first, packet_type, ..] = *head;
        if first >> 6 != 2 {
            return Err(ParseError("version"));
        }
        let length = 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (mut body, behind) = behind.split_at_checked(length).ok_or(LENGTH)?;
        if first & HAS_PADDING != 0 {
            body = without_padding(body).ok_or(ParseError("padding"))?;
        }
        packets.push(parse_packet(packet_type, first & COUNT, body)?);
        rest = behind;
    }
    if packets.is_empty() { Err(ParseError("short")) } else { Ok(packets) }
}

fn without_padding(body: &[u8]) -> Option<&[u8]> {
    let padding = usize::from(*body.last()?);
    if padding == 0 { None } else { body.get(..body.len().checked_sub(padding)?) }
}

fn parse_packet(packet_type: u8, count: u8, body: &[u8]) -> Result<RtcpPacket, ParseError> {
    match (packet_type, count) {
        (SENDER_REPORT, _) => parse_sender_report(count, body),
        (RECEIVER_REPORT, _) => parse_receiver_report(count, body),
        (SDES, _) => parse_sdes(count, body),
        (BYE, _) => parse_bye(count, body),
        (TRANSPORT_LAYER, NACK_FORMAT | TWCC_FORMAT)
        | (PAYLOAD_SPECIFIC, PLI_FORMAT | FIR_FORMAT | APPLICATION_LAYER_FORMAT) => {
            parse_feedback_packet(packet_type, count, body)
        }
        _ => Ok(raw(packet_type, count, body)),
    }
}

fn raw(packet_type: u8, count: u8, body: &[u8]) -> RtcpPacket {
    RtcpPacket::Raw(RawRtcp { packet_type, count, body: body.to_vec() })
}

fn parse_feedback_packet(packet_type: u8, format: u8, body: &[u8]) -> Result<RtcpPacket, ParseError> {
    if body.len() < FEEDBACK_HEAD_BYTES {
        return Err(ParseError("feedback"));
    }
    let (sender_ssrc, media_ssrc) = (ssrc(body), ssrc(&body[4..]));
    match (packet_type, format) {
        (TRANSPORT_LAYER, NACK_FORMAT) => parse_nack(sender_ssrc, media_ssrc, body),
        (TRANSPORT_LAYER, _) => {
            parse_feedback(sender_ssrc, media_ssrc, body).map(RtcpPacket::TransportFeedback)
        }
        (_, PLI_FORMAT) => Ok(RtcpPacket::Pli(Pli { sender_ssrc, media_ssrc })),
        (_, FIR_FORMAT) => parse_fir(sender_ssrc, body),
        _ => parse_application_layer(sender_ssrc, body),
    }
}

fn parse_sender_report(count: u8, body: &[u8]) -> Result<RtcpPacket, ParseError> {
    let (info, blocks) = body.split_first_chunk::<SENDER_INFO_BYTES>().ok_or(ParseError("sender_report"))?;
    Ok(RtcpPacket::SenderReport(SenderReport {
        ssrc: ssrc(info),
        ntp_timestamp: u64::from(word(&info[4..])) << 32 | u64::from(word(&info[8..])),
        rtp_timestamp: word(&info[12..]),
        packet_count: word(&info[16..]),
        octet_count: word(&info[20..]),
        reports: parse_blocks(count, blocks).ok_or(ParseError("sender_report"))?,
    }))
}

fn parse_receiver_report(count: u8, body: &[u8]) -> Result<RtcpPacket, ParseError> {
    let (head, blocks) = body.split_first_chunk::<SSRC_BYTES>().ok_or(ParseError("receiver_report"))?;
    let reports = parse_blocks(count, blocks).ok_or(ParseError("receiver_report"))?;
    Ok(RtcpPacket::ReceiverReport(ReceiverReport { ssrc: ssrc(head), reports }))
}

fn parse_blocks(count: u8, blocks: &[u8]) -> Option<Vec<ReportBlock>> {
    let blocks = blocks.get(..BLOCK_BYTES * usize::from(count))?;
    Some(blocks.chunks_exact(BLOCK_BYTES).map(parse_block).collect())
}

fn parse_block(block: &[u8]) -> ReportBlock {
    let lost = word(&block[4..]);
    ReportBlock {
        ssrc: ssrc(block),
        fraction_lost: (lost >> 24) as u8,
        packets_lost: i64::from((lost << 8) as i32 >> 8), // signed, 24 bits
        highest_sequence_number: word(&block[8..]),
        jitter: word(&block[12..]),
        last_sender_report: word(&block[16..]),
        delay_since_last_sender_report: word(&block[20..]),
    }
}

fn parse_sdes(count: u8, body: &[u8]) -> Result<RtcpPacket, ParseError> {
    let mut cnames = Vec::new();
    let mut position = 0;
    for _ in 0..count {
        let source =
            body.get(position..).and_then(<[u8]>::first_chunk::<SSRC_BYTES>).ok_or(SDES_MALFORMED)?;
        let (cname, end) = parse_sdes_items(body, position + SSRC_BYTES)?;
        cnames.extend(cname.map(|cname| (ssrc(source), cname.to_owned())));
        position = end;
    }
    Ok(RtcpPacket::Sdes(Sdes { cnames }))
}

/// The CNAME among the items at a position, and where the chunk ends.
fn parse_sdes_items(body: &[u8], mut position: usize) -> Result<(Option<&str>, usize), ParseError> {
    let mut cname = None;
    loop {
        match body.get(position..).unwrap_or_default() {
            [0, ..] => return Ok((cname, position + 4 - position % 4)),
            [item, length, rest @ ..] => {
                let value = rest.get(..usize::from(*length)).ok_or(SDES_MALFORMED)?;
                if *item == CNAME_ITEM {
                    cname = Some(str::from_utf8(value).map_err(|_| SDES_MALFORMED)?);
                }
                position += 2 + value.len();
            }
            _ => return Err(SDES_MALFORMED),
        }
    }
}

fn parse_bye(count: u8, body: &[u8]) -> Result<RtcpPacket, ParseError> {
    let (sources, rest) = body.split_at_checked(SSRC_BYTES * usize::from(count)).ok_or(ParseError("bye"))?;
    let reason = match rest {
        [] => &[],
        [length, text @ ..] => text.get(..usize::from(*length)).ok_or(ParseError("bye"))?,
    };
    Ok(RtcpPacket::Bye(Bye { ssrcs: ssrcs(sources), reason: String::from_utf8_lossy(reason).into_owned() }))
}

fn parse_nack(sender_ssrc: Ssrc, media_ssrc: Ssrc, body: &[u8]) -> Result<RtcpPacket, ParseError> {
    let items = &body[FEEDBACK_HEAD_BYTES..];
    if items.is_empty() || !items.len().is_multiple_of(4) {
        return Err(ParseError("nack"));
    }
    let mut sequence_numbers = Vec::new();
    for item in items.chunks_exact(4) {
        let (first, mask) = (u16::from_be_bytes([item[0], item[1]]), u16::from_be_bytes([item[2], item[3]]));
        sequence_numbers.push(first);
        let following = (0..16).filter(|bit| mask >> bit & 1 != 0);
        sequence_numbers.extend(following.map(|bit| first.wrapping_add(1 + bit)));
    }
    Ok(RtcpPacket::Nack(Nack { sender_ssrc, media_ssrc, sequence_numbers }))
}

fn parse_fir(sender_ssrc: Ssrc, body: &[u8]) -> Result<RtcpPacket, ParseError> {
    let entries = &body[FEEDBACK_HEAD_BYTES..];
    if entries.is_empty() || !entries.len().is_multiple_of(8) {
        return Err(ParseError("fir"));
    }
    let entry = |entry: &[u8]| FirEntry { ssrc: ssrc(entry), command_number: entry[4] };
    Ok(RtcpPacket::Fir(Fir { sender_ssrc, entries: entries.chunks_exact(8).map(entry).collect() }))
}

fn parse_application_layer(sender_ssrc: Ssrc, body: &[u8]) -> Result<RtcpPacket, ParseError> {
    let Some(rest) = body[FEEDBACK_HEAD_BYTES..].strip_prefix(&REMB_ID) else {
        return Ok(raw(PAYLOAD_SPECIFIC, APPLICATION_LAYER_FORMAT, body));
    };
    let ([count, high, middle, low], rest) = rest.split_first_chunk::<4>().ok_or(ParseError("remb"))?;
    let sources = rest.get(..SSRC_BYTES * usize::from(*count)).ok_or(ParseError("remb"))?;
    let mantissa = u32::from_be_bytes([0, high & 3, *middle, *low]);
    let bitrate_bps = u128::from(mantissa) << (high >> 2);
    Ok(RtcpPacket::Remb(Remb { sender_ssrc, bitrate_bps, ssrcs: ssrcs(sources) }))
}

fn ssrcs(data: &[u8]) -> Vec<Ssrc> {
    data.chunks_exact(SSRC_BYTES).map(ssrc).collect()
}

/// The SSRC that bytes begin with; there are four at least.
fn ssrc(data: &[u8]) -> Ssrc {
    Ssrc(word(data))
}

fn word(data: &[u8]) -> u32 {
    u32::from_be_bytes([data[0], data[1], data[2], data[3]])
}
