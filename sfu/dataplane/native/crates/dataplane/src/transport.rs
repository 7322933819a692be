//! The bytes of one peer: its keys, what is sent to it and what comes from it, counted.

use std::collections::VecDeque;

use focus_ice::Address;
use focus_plane::DropReason;
use focus_rtp::extensions::abs_send_time;
use focus_rtp::packet::{HEADER_BYTES, HeaderWriter, RtpHeader, pad};
use focus_rtp::rtcp::{RtcpPacket, parse_compound};
use focus_rtp::twcc::TransportFeedback;
use focus_rtp::vp8::write_vp8_head;
use focus_srtp::Srtp;
use focus_streams::pacer::Pacer;
use focus_streams::resend::ResendBudget;
use focus_streams::rewriter::Vp8Numbers;
use focus_streams::twcc_sender::{Reported, TwccSender};
use focus_units::{Instant, PayloadType, Ssrc, TransportId};
use rustc_hash::FxHashSet;

use crate::agenda::Agenda;
use crate::egress::Egress;
use crate::packet::Packet;
use crate::reports::ReportSchedule;
use crate::translation::Translation;
use crate::wire::{MAX_PACKET_BYTES, TAG_BYTES, WireProtocol, protocol_of};

/// Packets kept that came before the keys. Lower: where Python takes long to install them, the first key frame
/// is lost. Higher: more memory (192 kB a peer) for who never finishes its handshake.
pub const MAX_EARLY: usize = 128;

/// SSRCs that one peer may use under one set of keys, each with a context. Lower: a call of many screen shares
/// runs out of them. Higher: a hostile peer costs more.
pub const MAX_SSRCS: usize = 1_024;

/// A peer may move when its address has been silent for this long. Lower: a packet that was copied on its way
/// takes the peer along in any pause. Higher: after a NAT has changed a port, the picture stands for longer.
pub const QUIET_MS: i64 = 100;

/// What a packet carries.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// A publisher's payload.
    Media {
        /// The publisher's packet.
        packet: &'a Packet,
        /// What goes in its VP8 descriptor.
        vp8: Vp8Numbers,
        /// Its dependency descriptor; empty for none.
        descriptor: &'a [u8],
        /// Of RTX: the number that it repairs (RFC 4588 section 4).
        original: Option<u16>,
    },
    /// Nothing: it is sent for its size.
    Padding {
        /// Bytes of padding.
        bytes: u8,
        /// It belongs to a section, and says so.
        is_placed: bool,
    },
}

/// One RTP packet to be made.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Outgoing<'a> {
    pub payload_type: PayloadType,
    pub sequence_number: u16,
    pub timestamp: u32,
    pub ssrc: Ssrc,
    pub content: Content<'a>,
}

/// What became of a packet that was sent: its place in the egress, and how long it was before encryption.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Made {
    pub start: usize,
    pub size_bytes: usize,
    pub payload_bytes: usize,
    /// Its transport-wide number, unwrapped; `None` where it has none.
    pub transport_seq: Option<i64>,
}

/// What is sent and received of one peer, encrypted.
#[allow(missing_docs)]
pub struct Transport {
    pub id: TransportId,
    pub reports: ReportSchedule,
    pub resends: ResendBudget,
    pub packets_received: u64,
    pub bytes_received: u64,
    pub packets_sent: u64,
    pub bytes_sent: u64,
    pub last_received_at: Option<Instant>,
    /// As last measured by a receiver report.
    pub round_trip_ns: Option<i64>,
    pub remb_bps: f64,
    pub padding_bytes_sent: u64,
    /// Rows of its feedback that nobody took in time.
    pub feedback_lost: u64,
    pub numbered_packets_sent: u64,
    session: Option<Srtp>,
    early: VecDeque<(Instant, Box<[u8]>)>,
    ssrcs: FxHashSet<u32>,
    numbers: TwccSender,
    next_blank: u16,
}

impl Transport {
    /// Of this peer, without keys.
    pub fn new(id: TransportId) -> Self {
        Self {
            id,
            reports: ReportSchedule::new(id),
            resends: ResendBudget::default(),
            packets_received: 0,
            bytes_received: 0,
            packets_sent: 0,
            bytes_sent: 0,
            last_received_at: None,
            round_trip_ns: None,
            remb_bps: 0.0,
            padding_bytes_sent: 0,
            feedback_lost: 0,
            numbered_packets_sent: 0,
            next_blank: 0,
            session: None,
            early: VecDeque::new(),
            ssrcs: FxHashSet::default(),
            numbers: TwccSender::default(),
        }
    }

    /// There are keys.
    pub fn is_secured(&self) -> bool {
        self.session.is_some()
    }

    /// Count a datagram of this peer.
    pub fn received(&mut self, now: Instant, size_bytes: usize) {
        self.packets_received += 1;
        self.bytes_received += size_bytes as u64;
        self.last_received_at = Some(now);
    }

    /// Whether an SRTP or SRTCP packet from an unknown address may be this peer's, gone to another port.
    ///
    /// It names an SSRC of the peer, and from where the peer was, nothing comes any more: who can copy its
    /// packets, but not stop them, moves nobody.
    pub fn may_have_sent(&self, now: Instant, data: &[u8]) -> bool {
        let is_quiet = self.last_received_at.is_some_and(|last| now >= last.after_ms(QUIET_MS));
        let start = if protocol_of(data) == WireProtocol::Rtcp { 4 } else { 8 };
        is_quiet && number_at(data, start).is_some_and(|ssrc| self.ssrcs.contains(&ssrc))
    }

    /// Keep a packet until there are keys; false where too many are kept.
    pub fn hold(&mut self, now: Instant, data: &[u8]) -> bool {
        if self.early.len() >= MAX_EARLY {
            return false;
        }
        self.early.push_back((now, data.into()));
        true
    }

    /// Use these keys from now on. Returns what was held, in order of arrival.
    pub fn secure(&mut self, session: Srtp) -> VecDeque<(Instant, Box<[u8]>)> {
        self.session = Some(session);
        self.ssrcs.clear();
        std::mem::take(&mut self.early)
    }

    /// Decrypt and read an RTP packet in place; its plain length comes along.
    ///
    /// # Errors
    ///
    /// Why it is none of this peer's.
    pub fn open_rtp(&mut self, data: &mut [u8]) -> Result<(RtpHeader, usize), DropReason> {
        let ssrc = number_at(data, 8).ok_or(DropReason::RtpMalformed)?;
        debug_assert!(data.len() >= HEADER_BYTES);
        self.admit(ssrc, DropReason::RtpMalformed)?;
        let session = self.session.as_mut().ok_or(DropReason::RtpMalformed)?;
        let len = session.unprotect_rtp(data)?;
        self.ssrcs.insert(ssrc);
        let header = RtpHeader::parse(&data[..len]).map_err(|_| DropReason::RtpMalformed)?;
        Ok((header, len))
    }

    /// Decrypt and read a compound in place.
    ///
    /// # Errors
    ///
    /// Why it is none of this peer's.
    pub fn open_rtcp(&mut self, data: &mut [u8]) -> Result<Vec<RtcpPacket>, DropReason> {
        let ssrc = number_at(data, 4).ok_or(DropReason::RtcpMalformed)?;
        self.admit(ssrc, DropReason::RtcpMalformed)?;
        let session = self.session.as_mut().ok_or(DropReason::RtcpMalformed)?;
        let len = session.unprotect_rtcp(data)?;
        self.ssrcs.insert(ssrc);
        parse_compound(&data[..len]).map_err(|_| DropReason::RtcpMalformed)
    }

    /// Stamp, encrypt and address a packet. A transport-wide number is used up only where it is sent.
    ///
    /// # Errors
    ///
    /// Why it is not sent.
    pub fn send_rtp<M, R>(
        &mut self,
        now: Instant,
        to: Option<Address>,
        outgoing: &Outgoing<'_>,
        translation: &Translation,
        (egress, charged, agenda): (&mut Egress, &mut Pacer<M, R>, &mut Agenda),
    ) -> Result<Made, DropReason> {
        let (Some(to), Some(session)) = (to, self.session.as_mut()) else {
            return Err(DropReason::NoSelectedPair);
        };
        let out = egress.buffer();
        let start = out.len();
        let header_end = write_header(now, outgoing, translation, self.numbers.next_number(), out);
        write_payload(outgoing.content, out);
        let payload_bytes = out.len() - header_end;
        if let Content::Padding { bytes, .. } = outgoing.content {
            pad(out, start, bytes);
        }
        if out.len() - start + TAG_BYTES > MAX_PACKET_BYTES {
            egress.discard(start);
            return Err(DropReason::TooLarge);
        }
        if let Err(drop) = session.protect_rtp(out, start, header_end - start) {
            egress.discard(start);
            return Err(drop);
        }
        let size_bytes = egress.buffer().len() - start;
        egress.push(to, start);
        let transport_seq =
            translation.transport_cc.map(|_| self.numbers.stamp(now, size_bytes, charged.cluster()));
        self.numbered_packets_sent += u64::from(transport_seq.is_some());
        charged.sent(now, size_bytes);
        self.reports.active(now, agenda);
        self.count_sent(size_bytes);
        Ok(Made { start, size_bytes, payload_bytes, transport_seq })
    }

    /// Send the bytes of a packet again, encrypted as they are.
    ///
    /// # Errors
    ///
    /// There is nowhere to send to.
    pub fn repeat<M, R>(
        &mut self,
        now: Instant,
        to: Option<Address>,
        data: &[u8],
        transport_seq: Option<i64>,
        (egress, charged): (&mut Egress, &mut Pacer<M, R>),
    ) -> Result<(), DropReason> {
        let to = to.ok_or(DropReason::NoSelectedPair)?;
        if let Some(seq) = transport_seq {
            self.numbers.forget(seq);
        }
        charged.sent(now, data.len());
        egress.push_datagram(to, data);
        self.count_sent(data.len());
        Ok(())
    }

    /// A sequence number for a packet that belongs to no route. Each is given once.
    pub fn next_blank_number(&mut self) -> u16 {
        let number = self.next_blank;
        self.next_blank = number.wrapping_add(1);
        number
    }

    /// Append what is new in what the peer says of packets that were sent to it.
    pub fn report(&mut self, now: Instant, feedback: &TransportFeedback, reported: &mut Vec<Reported>) {
        self.numbers.report(now, feedback, reported);
    }

    /// Encrypt and address a compound.
    ///
    /// # Errors
    ///
    /// Why it is not sent.
    pub fn send_rtcp(
        &mut self,
        to: Option<Address>,
        compound: &[u8],
        egress: &mut Egress,
    ) -> Result<(), DropReason> {
        let (Some(to), Some(session)) = (to, self.session.as_mut()) else {
            return Err(DropReason::NoSelectedPair);
        };
        let out = egress.buffer();
        let start = out.len();
        out.extend_from_slice(compound);
        if let Err(drop) = session.protect_rtcp(out, start) {
            egress.discard(start);
            return Err(drop);
        }
        let size_bytes = egress.buffer().len() - start;
        egress.push(to, start);
        self.count_sent(size_bytes);
        Ok(())
    }

    /// Address bytes that are encrypted already.
    ///
    /// # Errors
    ///
    /// There is nowhere to send to.
    pub fn send_datagram(
        &mut self,
        to: Option<Address>,
        data: &[u8],
        egress: &mut Egress,
    ) -> Result<(), DropReason> {
        let to = to.ok_or(DropReason::NoSelectedPair)?;
        egress.push_datagram(to, data);
        self.count_sent(data.len());
        Ok(())
    }

    /// Refuse what would begin one SSRC too many.
    fn admit(&self, ssrc: u32, malformed: DropReason) -> Result<(), DropReason> {
        if self.session.is_none() {
            return Err(malformed);
        }
        if self.ssrcs.len() >= MAX_SSRCS && !self.ssrcs.contains(&ssrc) {
            return Err(DropReason::TooManySsrcs);
        }
        Ok(())
    }

    fn count_sent(&mut self, size_bytes: usize) {
        self.packets_sent += 1;
        self.bytes_sent += size_bytes as u64;
    }
}

/// Header and extensions; where they end.
fn write_header(
    now: Instant,
    outgoing: &Outgoing<'_>,
    translation: &Translation,
    transport_number: u16,
    out: &mut Vec<u8>,
) -> usize {
    let sent_at = abs_send_time(now);
    let number = transport_number.to_be_bytes();
    let (packet, descriptor, is_placed) = match outgoing.content {
        Content::Media { packet, descriptor, .. } => (Some(packet), descriptor, true),
        Content::Padding { is_placed, .. } => (None, &[][..], is_placed),
    };
    let received = || {
        let elements = packet.into_iter().flat_map(|packet| packet.header.elements(&packet.data));
        translation.elements(elements, descriptor).filter(move |_| is_placed)
    };
    let stamps = || {
        let sent_at = translation.abs_send_time.filter(|_| is_placed).map(|id| (id, &sent_at[..]));
        let number = translation.transport_cc.map(|id| (id, &number[..]));
        sent_at.into_iter().chain(number)
    };
    let mut writer = HeaderWriter::start(
        out,
        outgoing.payload_type,
        packet.is_some_and(|packet| packet.marker),
        outgoing.sequence_number,
        outgoing.timestamp,
        outgoing.ssrc,
        translation.two_bytes,
    );
    for (id, value) in received().chain(stamps()) {
        writer.element(id, value);
    }
    writer.finish();
    out.len()
}

fn write_payload(content: Content<'_>, out: &mut Vec<u8>) {
    let Content::Media { packet, vp8, original, .. } = content else { return };
    if let Some(original) = original {
        out.extend_from_slice(&original.to_be_bytes());
    }
    let payload = packet.payload();
    let rest = match packet.vp8 {
        Some(descriptor) => {
            write_vp8_head(payload, descriptor, vp8.picture_id, vp8.tl0_pic_idx, vp8.key_idx, out);
            &payload[descriptor.size_bytes()..]
        }
        None => payload,
    };
    out.extend_from_slice(rest);
}

fn number_at(data: &[u8], start: usize) -> Option<u32> {
    let bytes = data.get(start..start + 4)?;
    Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}
