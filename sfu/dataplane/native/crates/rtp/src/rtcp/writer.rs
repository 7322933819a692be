//! Writing RTCP.

use focus_units::Ssrc;

use super::{
    APPLICATION_LAYER_FORMAT, BYE, Bye, CNAME_ITEM, COUNT, FIR_FORMAT, HAS_PADDING, MAX_BLOCKS,
    MAX_REMB_SSRCS, NACK_FORMAT, PAYLOAD_SPECIFIC, PLI_FORMAT, RECEIVER_REPORT, REMB_ID, Remb, ReportBlock,
    RtcpPacket, SDES, SENDER_REPORT, Sdes, SenderReport, TRANSPORT_LAYER,
};
use crate::twcc::{TWCC_FORMAT, serialise_feedback};

const VERSION: u8 = 0x80;
const LONGEST_TEXT: usize = 255;
const MOST_PACKETS_LOST: i64 = (1 << 23) - 1;
const LONGEST_EXPONENT: u32 = 63;

/// Write a packet behind what a buffer holds; a compound is several, one behind the other.
///
/// What one packet can't count is told in further ones of its type.
pub fn serialise(packet: &RtcpPacket, out: &mut Vec<u8>) {
    match packet {
        RtcpPacket::SenderReport(report) => write_sender_report(report, out),
        RtcpPacket::ReceiverReport(report) => write_receiver_reports(report.ssrc, &report.reports, out),
        RtcpPacket::Sdes(sdes) => write_sdes(sdes, out),
        RtcpPacket::Bye(bye) => write_bye(bye, out),
        RtcpPacket::Nack(nack) => frame(TRANSPORT_LAYER, NACK_FORMAT, out, |out| {
            put_ssrcs(&[nack.sender_ssrc, nack.media_ssrc], out);
            put_nack_items(&nack.sequence_numbers, out);
        }),
        RtcpPacket::Pli(pli) => frame(PAYLOAD_SPECIFIC, PLI_FORMAT, out, |out| {
            put_ssrcs(&[pli.sender_ssrc, pli.media_ssrc], out);
        }),
        RtcpPacket::Fir(fir) => frame(PAYLOAD_SPECIFIC, FIR_FORMAT, out, |out| {
            put_ssrcs(&[fir.sender_ssrc, Ssrc(0)], out);
            for entry in &fir.entries {
                put_ssrcs(&[entry.ssrc], out);
                out.extend_from_slice(&[entry.command_number, 0, 0, 0]);
            }
        }),
        RtcpPacket::Remb(remb) => {
            frame(PAYLOAD_SPECIFIC, APPLICATION_LAYER_FORMAT, out, |out| put_remb(remb, out));
        }
        RtcpPacket::TransportFeedback(feedback) => {
            frame(TRANSPORT_LAYER, TWCC_FORMAT, out, |out| serialise_feedback(feedback, out));
        }
        RtcpPacket::Raw(raw) => {
            frame(raw.packet_type, raw.count, out, |out| out.extend_from_slice(&raw.body));
        }
    }
}

/// Write a packet's first four bytes around a body, which is padded to a word.
fn frame(packet_type: u8, count: u8, out: &mut Vec<u8>, put_body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[VERSION | count & COUNT, packet_type, 0, 0]);
    put_body(out);
    let padding = (out.len() - start).wrapping_neg() % 4;
    if padding > 0 {
        out[start] |= HAS_PADDING;
        out.resize(out.len() + padding - 1, 0);
        out.push(padding as u8);
    }
    let words = ((out.len() - start) / 4 - 1) as u16;
    out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
}

/// As many as one packet's count can tell, with their count; one portion at least.
fn portions<T>(items: &[T]) -> impl Iterator<Item = (u8, &[T])> {
    let none = items.is_empty().then_some(items);
    none.into_iter().chain(items.chunks(MAX_BLOCKS)).map(|portion| (portion.len() as u8, portion))
}

fn write_sender_report(report: &SenderReport, out: &mut Vec<u8>) {
    let (blocks, more) = report.reports.split_at(report.reports.len().min(MAX_BLOCKS));
    frame(SENDER_REPORT, blocks.len() as u8, out, |out| {
        put_ssrcs(&[report.ssrc], out);
        out.extend_from_slice(&report.ntp_timestamp.to_be_bytes());
        put_words(&[report.rtp_timestamp, report.packet_count, report.octet_count], out);
        put_blocks(blocks, out);
    });
    if !more.is_empty() {
        write_receiver_reports(report.ssrc, more, out);
    }
}

fn write_receiver_reports(ssrc: Ssrc, reports: &[ReportBlock], out: &mut Vec<u8>) {
    for (count, blocks) in portions(reports) {
        frame(RECEIVER_REPORT, count, out, |out| {
            put_ssrcs(&[ssrc], out);
            put_blocks(blocks, out);
        });
    }
}

fn put_blocks(blocks: &[ReportBlock], out: &mut Vec<u8>) {
    for block in blocks {
        let lost = block.packets_lost.clamp(-MOST_PACKETS_LOST - 1, MOST_PACKETS_LOST) as u32;
        put_words(
            &[
                block.ssrc.0,
                u32::from(block.fraction_lost) << 24 | lost & 0xFF_FFFF,
                block.highest_sequence_number,
                block.jitter,
                block.last_sender_report,
                block.delay_since_last_sender_report,
            ],
            out,
        );
    }
}

fn write_sdes(sdes: &Sdes, out: &mut Vec<u8>) {
    for (count, cnames) in portions(&sdes.cnames) {
        frame(SDES, count, out, |out| {
            for (ssrc, cname) in cnames {
                let start = out.len();
                put_ssrcs(&[*ssrc], out);
                out.push(CNAME_ITEM);
                put_text(cname, out);
                let chunk = out.len() - start;
                out.resize(start + (chunk + 1).next_multiple_of(4), 0); // one zero at least ends the items
            }
        });
    }
}

fn write_bye(bye: &Bye, out: &mut Vec<u8>) {
    for (count, ssrcs) in portions(&bye.ssrcs) {
        frame(BYE, count, out, |out| {
            put_ssrcs(ssrcs, out);
            if !bye.reason.is_empty() {
                let start = out.len();
                put_text(&bye.reason, out);
                let text = out.len() - start;
                out.resize(start + text.next_multiple_of(4), 0);
            }
        });
    }
}

fn put_nack_items(numbers: &[u16], out: &mut Vec<u8>) {
    let mut rest = numbers;
    while let [first, behind @ ..] = rest {
        let bit = |number: &u16| number.wrapping_sub(*first).wrapping_sub(1);
        let told = behind.iter().take_while(|number| bit(number) < 16).count();
        let mask = behind[..told].iter().fold(0_u16, |mask, number| mask | 1 << bit(number));
        out.extend_from_slice(&first.to_be_bytes());
        out.extend_from_slice(&mask.to_be_bytes());
        rest = &behind[told..];
    }
}

fn put_remb(remb: &Remb, out: &mut Vec<u8>) {
    let ssrcs = &remb.ssrcs[..remb.ssrcs.len().min(MAX_REMB_SSRCS)];
    let bits = u128::BITS - remb.bitrate_bps.leading_zeros();
    let exponent = bits.saturating_sub(18).min(LONGEST_EXPONENT);
    let mantissa = (remb.bitrate_bps >> exponent).min(0x3_FFFF) as u32;
    put_ssrcs(&[remb.sender_ssrc, Ssrc(0)], out);
    out.extend_from_slice(&REMB_ID);
    put_words(&[(ssrcs.len() as u32) << 24 | exponent << 18 | mantissa], out);
    put_ssrcs(ssrcs, out);
}

/// A text behind its length, cut to what a byte can tell.
fn put_text(text: &str, out: &mut Vec<u8>) {
    let text = &text.as_bytes()[..text.len().min(LONGEST_TEXT)];
    out.push(text.len() as u8);
    out.extend_from_slice(text);
}

fn put_ssrcs(ssrcs: &[Ssrc], out: &mut Vec<u8>) {
    for ssrc in ssrcs {
        out.extend_from_slice(&ssrc.0.to_be_bytes());
    }
}

fn put_words(words: &[u32], out: &mut Vec<u8>) {
    for word in words {
        out.extend_from_slice(&word.to_be_bytes());
    }
}
