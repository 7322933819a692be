//! RTCP packets and compounds (RFC 3550 section 6, RFC 4585, RFC 5104, REMB, transport-wide feedback).

use focus_units::Ssrc;

use crate::twcc::TransportFeedback;

mod reader;
mod writer;

pub use reader::parse_compound;
pub use writer::serialise;

/// Packet type of a sender report.
pub const SENDER_REPORT: u8 = 200;
/// Packet type of a receiver report.
pub const RECEIVER_REPORT: u8 = 201;
/// Packet type of a source description.
pub const SDES: u8 = 202;
/// Packet type of a goodbye.
pub const BYE: u8 = 203;
/// Packet type of transport layer feedback.
pub const TRANSPORT_LAYER: u8 = 205;
/// Packet type of payload-specific feedback.
pub const PAYLOAD_SPECIFIC: u8 = 206;

/// Report blocks, SDES chunks or BYE sources of one packet: five bits count them. More go into another one.
pub const MAX_BLOCKS: usize = 31;
/// Streams that one REMB names.
pub const MAX_REMB_SSRCS: usize = 255;
/// Packets of one compound.
pub const MAX_PACKETS: usize = 64;

const NACK_FORMAT: u8 = 1;
const PLI_FORMAT: u8 = 1;
const FIR_FORMAT: u8 = 4;
const APPLICATION_LAYER_FORMAT: u8 = 15;
const REMB_ID: [u8; 4] = *b"REMB";
const CNAME_ITEM: u8 = 1;
const HAS_PADDING: u8 = 0x20;
const COUNT: u8 = 0x1F;

/// What a receiver says of one RTP stream (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// Of the stream.
    pub ssrc: Ssrc,
    /// Of 256.
    pub fraction_lost: u8,
    /// Signed; capped to 24 bits where it is written.
    pub packets_lost: i64,
    /// Extended by cycles: 32 bits.
    pub highest_sequence_number: u32,
    /// In units of the stream's clock.
    pub jitter: u32,
    /// Middle bits of the NTP timestamp of the last sender report; 0 before there was one.
    pub last_sender_report: u32,
    /// In units of 1/65536 s.
    pub delay_since_last_sender_report: u32,
}

/// RFC 3550 section 6.4.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderReport {
    /// Of the stream that is reported.
    pub ssrc: Ssrc,
    /// 32.32 fixed-point seconds.
    pub ntp_timestamp: u64,
    /// The same instant on the stream's clock.
    pub rtp_timestamp: u32,
    /// Packets sent, modulo 2³².
    pub packet_count: u32,
    /// Bytes of payload sent, modulo 2³².
    pub octet_count: u32,
    /// What the sender received.
    pub reports: Vec<ReportBlock>,
}

/// RFC 3550 section 6.4.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverReport {
    /// Of the receiver.
    pub ssrc: Ssrc,
    /// What it received.
    pub reports: Vec<ReportBlock>,
}

/// CNAMEs by SSRC (RFC 3550 section 6.5); other items are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sdes {
    /// In the order of the packet.
    pub cnames: Vec<(Ssrc, String)>,
}

/// RFC 3550 section 6.6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bye {
    /// Streams that end.
    pub ssrcs: Vec<Ssrc>,
    /// Empty where none is given.
    pub reason: String,
}

/// Generic NACK (RFC 4585 section 6.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nack {
    /// Who asks.
    pub sender_ssrc: Ssrc,
    /// Of the stream that lacks packets.
    pub media_ssrc: Ssrc,
    /// 16 bits each, in the order of asking.
    pub sequence_numbers: Vec<u16>,
}

/// Picture loss indication (RFC 4585 section 6.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pli {
    /// Who asks.
    pub sender_ssrc: Ssrc,
    /// Of the stream that shall start anew.
    pub media_ssrc: Ssrc,
}

/// The stream that shall start anew, and the number of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirEntry {
    /// Of the stream.
    pub ssrc: Ssrc,
    /// Another one is another command.
    pub command_number: u8,
}

/// Full intra request (RFC 5104 section 4.3.1): its entries name the streams, not its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fir {
    /// Who asks.
    pub sender_ssrc: Ssrc,
    /// One for each stream.
    pub entries: Vec<FirEntry>,
}

/// Receiver estimated maximum bitrate (draft-alvestrand-rmcat-remb-03).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remb {
    /// Who estimates.
    pub sender_ssrc: Ssrc,
    /// 18 bits, shifted by at most 63.
    pub bitrate_bps: u128,
    /// Streams that share it.
    pub ssrcs: Vec<Ssrc>,
}

/// A packet of a type or format that we don't read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRtcp {
    /// 8 bits.
    pub packet_type: u8,
    /// Count or format: 5 bits.
    pub count: u8,
    /// All after the first four bytes, without padding.
    pub body: Vec<u8>,
}

/// One packet of a compound.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each says what its value does
pub enum RtcpPacket {
    SenderReport(SenderReport),
    ReceiverReport(ReceiverReport),
    Sdes(Sdes),
    Bye(Bye),
    Nack(Nack),
    Pli(Pli),
    Fir(Fir),
    Remb(Remb),
    TransportFeedback(TransportFeedback),
    Raw(RawRtcp),
}

#[cfg(test)]
mod tests;
