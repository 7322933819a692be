//! The lean receive path: what header-level checks and honest feedback need of a packet, and nothing more.
//!
//! str0m walks all its state for each packet and keeps a copy of it; a forwarder under test sees none of that. So
//! most receivers hand their media here: decrypt, count, note the arrival, and answer with the feedback that a
//! browser would send. str0m itself is the oracle: `tests/oracle.rs` gives both the same datagrams.

use crate::description::{Description, Format};
use crate::histogram::Histogram;
use crate::inbound::{Inbound, MediaPacket};
use crate::missing::Missing;
use crate::reception::Place;
use crate::rtcp::{Block, Compound, sender_reports};
use crate::rtp::{Header, is_rtcp, u16_at, unpad, unwrap};
use crate::srtp::{Keys, Opener, Sealer};
use crate::twcc::Arrivals;

/// RTP streams of one receiver. More: larger calls; fewer: a stranger who changes SSRCs makes us remember less.
pub const MAX_STREAMS: usize = 1_024;

/// Between two reports of arrivals. Shorter: the sender's estimate is fresher; longer: less to send. What browsers
/// and str0m do lies around it.
pub const FEEDBACK_NS: i64 = 50_000_000;

/// Between two receiver reports (RFC 3550 section 6.2 at these rates, as browsers do).
pub const REPORT_NS: i64 = 1_000_000_000;

/// Blocks that fit a receiver report.
const MAX_BLOCKS: usize = 31;

/// A datagram that can't be made sense of: not authentic, mangled or of an unknown format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

/// The media of one receiver.
pub struct Lean {
    opener: Opener,
    sealer: Sealer,
    ssrc: u32,
    description: Description,
    streams: Vec<Stream>,
    repairs: Vec<Repair>,
    arrivals: Arrivals,
    feedback_at_ns: i64,
    report_at_ns: i64,
}

/// What an RTP packet is.
enum Kind {
    Media(Format),
    /// A resend, padding or a probe.
    Repair,
}

struct Stream {
    inbound: Inbound,
    missing: Missing,
    reported: Reported,
    sender_report: Option<(u32, i64)>,
}

/// What the last receiver report said of a stream.
#[derive(Default)]
struct Reported {
    expected: u64,
    received: i64,
}

/// An RTX stream or one of probes: only its numbers are followed, as decryption needs them.
struct Repair {
    ssrc: u32,
    newest: u64,
}

impl Lean {
    /// Receive with these keys what the other side's description announces; our RTCP comes from `ssrc`.
    pub fn new(keys: &Keys, description: Description, ssrc: u32, now_ns: i64) -> Self {
        Self {
            opener: keys.opener(),
            sealer: keys.sealer(),
            ssrc,
            description,
            streams: Vec::new(),
            repairs: Vec::new(),
            arrivals: Arrivals::default(),
            // Apart by SSRC, or all receivers of a swarm would speak at once.
            feedback_at_ns: now_ns + i64::from(ssrc) % FEEDBACK_NS,
            report_at_ns: now_ns + i64::from(ssrc) % REPORT_NS,
        }
    }

    /// Take over what a later description says.
    pub fn renegotiate(&mut self, description: Description) {
        self.description = description;
    }

    /// The streams so far.
    pub fn streams(&self) -> impl Iterator<Item = &Inbound> {
        self.streams.iter().map(|stream| &stream.inbound)
    }

    /// Take one SRTP or SRTCP datagram; it is decrypted in place.
    ///
    /// # Errors
    ///
    /// Where it can't be read; nothing has changed then.
    pub fn receive(
        &mut self,
        datagram: &mut [u8],
        arrived_at_ns: i64,
        delays: &mut Histogram,
    ) -> Result<(), Unreadable> {
        if is_rtcp(datagram) {
            let compound = self.opener.open_rtcp(datagram).ok_or(Unreadable)?;
            for (ssrc, middle) in sender_reports(&compound) {
                if let Some(stream) = self.streams.iter_mut().find(|stream| stream.inbound.ssrc == ssrc) {
                    stream.sender_report = Some((middle, arrived_at_ns));
                }
            }
            return Ok(());
        }
        let header = Header::parse(datagram).ok_or(Unreadable)?;
        let number = self.description.transport_wide_id();
        let number = number.and_then(|id| u16_at(header.extension(datagram, id)?, 0));
        let known = self.streams.iter().position(|stream| stream.inbound.ssrc == header.ssrc);
        match self.kind(&header, known.is_some())? {
            Kind::Media(format) => {
                self.receive_media(datagram, &header, known, format, arrived_at_ns, delays)?;
            }
            Kind::Repair => self.receive_repair(datagram, &header, arrived_at_ns, delays)?,
        }
        if let Some(number) = number {
            self.arrivals.add(number, arrived_at_ns);
        }
        Ok(())
    }

    /// The SRTCP datagrams that are due.
    pub fn poll(&mut self, now_ns: i64) -> Vec<Vec<u8>> {
        let mut blocks = Vec::new();
        if now_ns >= self.report_at_ns {
            self.report_at_ns = now_ns + REPORT_NS;
            blocks = self.streams.iter_mut().take(MAX_BLOCKS).map(|stream| stream.block(now_ns)).collect();
        }
        let mut reports = Vec::new();
        if now_ns >= self.feedback_at_ns {
            self.feedback_at_ns = now_ns + FEEDBACK_NS;
            reports = self.arrivals.reports();
        }
        let mut compound = (!blocks.is_empty()).then(|| Compound::new(self.ssrc, &blocks));
        for Stream { inbound, missing, .. } in &mut self.streams {
            let numbers = missing.due(now_ns);
            if !numbers.is_empty() {
                inbound.nacks_sent += 1;
                begun(&mut compound, self.ssrc).nack(inbound.ssrc, &numbers);
            }
            if inbound.asks_for_key_frame(now_ns) {
                begun(&mut compound, self.ssrc).pli(inbound.ssrc);
            }
        }
        let media = self.streams.first().map_or(0, |stream| stream.inbound.ssrc);
        let mut datagrams = Vec::new();
        for report in &reports {
            begun(&mut compound, self.ssrc).transport_feedback(media, report);
            let full = compound.take().map(Compound::finish);
            datagrams.extend(full.map(|bytes| self.sealer.seal_rtcp(bytes)));
        }
        let rest = compound.map(Compound::finish);
        datagrams.extend(rest.map(|bytes| self.sealer.seal_rtcp(bytes)));
        datagrams
    }

    /// What a packet is, by its header.
    fn kind(&self, header: &Header, is_known: bool) -> Result<Kind, Unreadable> {
        // Probes come on SSRC 0 under whatever payload type suits their sender.
        if header.ssrc == 0 {
            return Ok(Kind::Repair);
        }
        let format = self.description.format(header.payload_type).ok_or(Unreadable)?;
        // Padding of an RTX stream may carry the payload type of what it repairs: where SSRCs are announced, they tell.
        let is_repair = matches!(format, Format::Rtx(_))
            || !is_known && self.description.repaired_by(header.ssrc).is_some();
        Ok(if is_repair { Kind::Repair } else { Kind::Media(format) })
    }

    fn receive_media(
        &mut self,
        datagram: &mut [u8],
        header: &Header,
        index: Option<usize>,
        format: Format,
        arrived_at_ns: i64,
        delays: &mut Histogram,
    ) -> Result<(), Unreadable> {
        let newest = index.and_then(|index| self.streams[index].inbound.reception().newest());
        let seq = unwrap(header.sequence_number, newest).ok_or(Unreadable)?;
        let payload = self.opener.open_rtp(datagram, header.length, seq).ok_or(Unreadable)?;
        let payload = if header.has_padding { unpad(payload).ok_or(Unreadable)? } else { payload };
        let index = match index {
            Some(index) => index,
            None if self.streams.len() == MAX_STREAMS => return Err(Unreadable),
            None => {
                self.streams.push(Stream::new(header, format));
                self.streams.len() - 1
            }
        };
        let is_resent = self.description.is_resent(header.payload_type);
        let packet =
            MediaPacket { payload_type: header.payload_type, seq, timestamp: header.timestamp, payload };
        self.streams[index].take(&packet, is_resent, arrived_at_ns, delays);
        Ok(())
    }

    /// A resend (RFC 4588 section 4) or a probe; what is only padding counts as arrived and nothing else.
    fn receive_repair(
        &mut self,
        datagram: &mut [u8],
        header: &Header,
        arrived_at_ns: i64,
        delays: &mut Histogram,
    ) -> Result<(), Unreadable> {
        let index = self.repairs.iter().position(|repair| repair.ssrc == header.ssrc);
        let newest = index.map(|index| self.repairs[index].newest);
        let seq = unwrap(header.sequence_number, newest).ok_or(Unreadable)?;
        let payload = self.opener.open_rtp(datagram, header.length, seq).ok_or(Unreadable)?;
        let payload = if header.has_padding { unpad(payload).ok_or(Unreadable)? } else { payload };
        match index {
            Some(index) => self.repairs[index].newest = self.repairs[index].newest.max(seq),
            None if self.repairs.len() == MAX_STREAMS => return Err(Unreadable),
            None => self.repairs.push(Repair { ssrc: header.ssrc, newest: seq }),
        }
        let Some(original) = u16_at(payload, 0) else {
            return Ok(());
        };
        let Some(stream) = self.repaired(header) else {
            return Ok(()); // of a stream of which nothing has come: there is no telling its payload type
        };
        if let Some(seq) = unwrap(original, stream.inbound.reception().newest()) {
            let payload_type = stream.inbound.payload_type;
            let packet =
                MediaPacket { payload_type, seq, timestamp: header.timestamp, payload: &payload[2..] };
            stream.take(&packet, true, arrived_at_ns, delays);
        }
        Ok(())
    }

    /// The stream that a resend is of: as the description pairs them, else the only one of that payload type.
    fn repaired(&mut self, header: &Header) -> Option<&mut Stream> {
        if let Some(media) = self.description.repaired_by(header.ssrc) {
            return self.streams.iter_mut().find(|stream| stream.inbound.ssrc == media);
        }
        let Some(Format::Rtx(payload_type)) = self.description.format(header.payload_type) else {
            return None;
        };
        let mut candidates =
            self.streams.iter_mut().filter(|stream| stream.inbound.payload_type == payload_type);
        let only = candidates.next()?;
        candidates.next().is_none().then_some(only)
    }
}

impl Stream {
    fn new(header: &Header, format: Format) -> Self {
        Self {
            inbound: Inbound::new(header.ssrc, header.payload_type, format),
            missing: Missing::default(),
            reported: Reported::default(),
            sender_report: None,
        }
    }

    fn take(
        &mut self,
        packet: &MediaPacket<'_>,
        is_resent: bool,
        arrived_at_ns: i64,
        delays: &mut Histogram,
    ) {
        match self.inbound.take(packet, arrived_at_ns, delays) {
            Place::Ahead(count) if is_resent => self.missing.add(packet.seq, count, arrived_at_ns),
            Place::Late => self.missing.remove(packet.seq),
            Place::Ahead(_) | Place::Next | Place::Duplicate => {}
        }
    }

    fn block(&mut self, now_ns: i64) -> Block {
        let (expected, counts) = (self.inbound.reception().expected(), self.inbound.reception().counts());
        let due = (expected - self.reported.expected) as i64;
        let lost = due - (counts.packets_received - self.reported.received);
        self.reported = Reported { expected, received: counts.packets_received };
        let (last_sender_report, delay) = self.sender_report.map_or((0, 0), |(middle, at_ns)| {
            (middle, ((now_ns - at_ns).max(0) as i128 * 65_536 / 1_000_000_000) as u32)
        });
        Block {
            ssrc: self.inbound.ssrc,
            fraction_lost: (lost.max(0) * 256).checked_div(due).unwrap_or(0).min(255) as u8,
            packets_lost: counts.packets_lost,
            newest: self.inbound.reception().newest().unwrap_or(0) as u32,
            last_sender_report,
            delay,
        }
    }
}

/// The compound packet in the making, which begins when there is something to say.
fn begun(compound: &mut Option<Compound>, ssrc: u32) -> &mut Compound {
    compound.get_or_insert_with(|| Compound::new(ssrc, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reception::Counts;
    use str0m::crypto::dtls::SrtpProfile;

    const SDP: &str = "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\n\
        a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=extmap:3 \
        http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n";
    const PAIRED: &str = "a=ssrc-group:FID 5 6\r\n";

    struct Rig {
        server: Keys,
        lean: Lean,
        delays: Histogram,
        number: u8,
    }

    impl Rig {
        fn new(sdp: &str) -> Self {
            let side = |is_client| {
                Keys::new(&[9; 56], SrtpProfile::AEAD_AES_128_GCM, is_client).expect("of its length")
            };
            let lean = Lean::new(&side(true), Description::parse(sdp), 0, 0);
            Self { server: side(false), lean, delays: Histogram::default(), number: 0 }
        }

        /// Receive a packet that carries the next transport-wide number.
        fn receive(&mut self, ssrc: u32, payload_type: u8, seq: u16, body: &[u8]) -> Result<(), Unreadable> {
            self.number = self.number.wrapping_add(1);
            let is_padded = body.last().is_some_and(|&last| usize::from(last) == body.len());
            let mut packet = vec![0x90 | u8::from(is_padded) << 5, payload_type];
            packet.extend(seq.to_be_bytes());
            packet.extend(0_u32.to_be_bytes());
            packet.extend(ssrc.to_be_bytes());
            packet.extend([0xbe, 0xde, 0, 1, 0x31, 0, self.number, 0]);
            packet.extend(body);
            let mut datagram = self.server.seal_rtp(&packet, 20, u64::from(seq));
            self.lean.receive(&mut datagram, 0, &mut self.delays)
        }

        fn counts(&self) -> Vec<Counts> {
            self.lean.streams().map(|stream| *stream.reception().counts()).collect()
        }

        /// How many packets the next feedback speaks of.
        fn told(&mut self) -> usize {
            let opener = self.server.opener();
            let compounds = self.lean.poll(FEEDBACK_NS);
            let compounds = compounds.iter().map(|datagram| opener.open_rtcp(datagram).expect("ours"));
            // Behind the receiver report: header, sender, media, base, and then the count.
            compounds.map(|compound| usize::from(u16_at(&compound[8..], 14).unwrap_or(0))).sum()
        }
    }

    #[test]
    fn where_nothing_came_nothing_is_said() {
        assert!(Rig::new(SDP).lean.poll(FEEDBACK_NS).is_empty());
    }

    #[test]
    fn probes_and_padding_are_told_of_and_counted_nowhere() {
        let mut rig = Rig::new(&[SDP, PAIRED].concat());
        for seq in 1..4 {
            rig.receive(0, 1, seq, &[0, 0, 3]).expect("a probe");
            rig.receive(6, 97, seq, &[0, 2]).expect("padding");
        }
        rig.receive(6, 96, 4, &[0, 2]).expect("padding under the payload type of what is repaired");
        assert_eq!((rig.counts(), rig.told()), (vec![], 7));
    }

    #[test]
    fn a_resend_fills_the_gap_of_its_stream_with_and_without_a_pairing() {
        for sdp in [[SDP, PAIRED].concat(), SDP.to_owned()] {
            let mut rig = Rig::new(&sdp);
            rig.receive(5, 96, 65_534, &[0x10, 0]).expect("media");
            rig.receive(5, 96, 65_535, &[0x10, 1]).expect("media");
            assert_eq!(rig.counts()[0].packets_lost, 0);
            rig.receive(5, 96, 2, &[0x10, 1])
                .expect_err("not authentic: the rollover counter is in the nonce");
            rig.receive(6, 97, 9, &[0xff, 0xfd, 0x10, 1]).expect("a resend of what came before the first");
            rig.receive(6, 97, 10, &[0xff, 0xff, 0x10, 1]).expect("a resend of what is here");
            let counts = rig.counts()[0];
            assert_eq!((counts.packets_received, counts.late, counts.duplicates), (3, 1, 1));
        }
    }

    #[test]
    fn a_resend_of_who_knows_what_counts_for_nobody() {
        let mut rig = Rig::new(SDP);
        rig.receive(6, 97, 1, &[0, 1, 0x10, 1]).expect("of a stream that never came");
        rig.receive(5, 96, 1, &[0x10, 0]).expect("media");
        rig.receive(7, 96, 1, &[0x10, 0]).expect("media");
        rig.receive(6, 97, 2, &[0, 2, 0x10, 1]).expect("of either");
        assert!(rig.counts().iter().all(|counts| counts.packets_received == 1));
    }

    #[test]
    fn unknown_formats_and_what_was_touched_are_unreadable_and_change_nothing() {
        let mut rig = Rig::new(SDP);
        assert_eq!(rig.receive(5, 100, 1, &[1]), Err(Unreadable));
        rig.server = Keys::new(&[8; 56], SrtpProfile::AEAD_AES_128_GCM, false).expect("of its length");
        assert_eq!(rig.receive(5, 96, 1, &[0x10, 0]), Err(Unreadable));
        assert_eq!(rig.receive(6, 97, 1, &[0, 1, 1]), Err(Unreadable));
        assert_eq!((rig.counts(), rig.lean.poll(FEEDBACK_NS).len()), (vec![], 0));
    }

    #[test]
    fn streams_of_a_stranger_are_bounded() {
        for payload_type in [96, 97] {
            let mut rig = Rig::new(SDP);
            let ssrcs = (1..).take(MAX_STREAMS + 1);
            let outcomes = ssrcs.map(|ssrc| rig.receive(ssrc, payload_type, 1, &[0x10, 0]).is_ok());
            assert_eq!(outcomes.filter(|is_ok| *is_ok).count(), MAX_STREAMS);
        }
    }
}
