//! One track on its way to one subscriber: decides and rewrites each packet, and remembers what it sent.

use std::collections::VecDeque;

use focus_plane::{ALL_TEMPORAL, DropReason, PAUSED, SetRoute, SetTrack};
use focus_rtp::ntp::{compact_to_ns, middle_bits};
use focus_rtp::rtcp::{ReportBlock, RtcpPacket, Sdes, SenderReport};
use focus_streams::clock::StreamClock;
use focus_streams::descriptor_rewriter::DescriptorRewriter;
use focus_streams::rewriter::{ClockId, SequenceRewriter, TimestampMapper, Vp8Numbers, Vp8Rewriter};
use focus_streams::selector::{EncodingSelector, SelectorState};
use focus_units::{Instant, Kind, PayloadType};

use crate::departures::Rewriting;
use crate::packet::{Packet, ReceptionId};
use crate::random::Random;
use crate::reports::Unit;
use crate::resending::{Caches, RepeatResender, RtxResender};
use crate::translation::Translation;

/// Sender reports that a receiver report may answer.
pub const MAX_REPORTS: usize = 4;

/// Of packets that are no VP8.
const NO_VP8: Vp8Numbers = Vp8Numbers { picture_id: 0, tl0_pic_idx: 0, key_idx: 0 };

/// What a packet that is forwarded goes out as.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Numbers {
    /// Unwrapped.
    pub seq: i64,
    pub timestamp: u32,
    pub vp8: Vp8Numbers,
    pub payload_type: PayloadType,
    /// What is made of its dependency descriptor.
    pub rewriting: Rewriting,
}

/// Why a packet is not forwarded, and whether a key frame would help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Refused {
    pub reason: DropReason,
    pub wants_keyframe: bool,
}

impl From<DropReason> for Refused {
    fn from(reason: DropReason) -> Self {
        Self { reason, wants_keyframe: false }
    }
}

/// Rewrites what is said of pictures.
#[derive(Debug, Default)]
struct PictureRewriter {
    vp8: Vp8Rewriter,
    descriptors: DescriptorRewriter,
}

/// One subscriber's view of a track: one RTP stream, whatever it is made of.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Route {
    pub spec: Box<SetRoute>,
    /// Where it comes from and goes to, as the program numbers them.
    pub track: usize,
    pub peer: usize,
    pub translation: Translation,
    /// First sendings; RTX and repetitions are in `retransmitted_packets_sent`.
    pub packets_sent: u64,
    pub bytes_sent: u64,
    pub retransmitted_packets_sent: u64,
    pub nack_count: u64,
    pub pli_count: u64,
    pub last_sent_at: Option<Instant>,
    /// The subscriber's last word on it.
    pub reported: Option<ReportBlock>,
    /// Boxed, as sound has none.
    pub over_rtx: Option<Box<RtxResender>>,
    /// From the first packet on that was kept.
    pub repeating: Option<Box<RepeatResender>>,
    kind: Kind,
    wanted: (i8, i8),
    selector: EncodingSelector,
    sequence: SequenceRewriter,
    timestamps: TimestampMapper,
    /// From the first packet on that has a descriptor: sound has none.
    pictures: Option<Box<PictureRewriter>>,
    /// What waited was cut: nothing can be shown before the next key frame of what flows.
    is_cut: bool,
    payload_bytes_sent: u64,
    packets_reported: u64,
    reports: VecDeque<(u32, Instant)>,
    has_rtx: bool,
}

impl Route {
    /// Of a track, numbered by the subscriber's SDP; nothing is sent before a target chooses.
    pub fn new(
        spec: Box<SetRoute>,
        (track, track_spec): (usize, &SetTrack),
        peer: usize,
        random: &mut Random,
    ) -> Self {
        let sequence = SequenceRewriter::new(random.first_sequence_number());
        let timestamps = TimestampMapper::new(i64::from(random.next_u32()));
        let resender = |ssrc| Box::new(RtxResender::new(ssrc, random.first_sequence_number()));
        let over_rtx = spec.rtx_ssrc.map(resender);
        Self {
            translation: Translation::new(track_spec, &spec),
            track,
            peer,
            packets_sent: 0,
            bytes_sent: 0,
            retransmitted_packets_sent: 0,
            nack_count: 0,
            pli_count: 0,
            last_sent_at: None,
            reported: None,
            over_rtx,
            repeating: None,
            kind: track_spec.kind,
            wanted: (PAUSED, ALL_TEMPORAL),
            selector: EncodingSelector::new(track_spec.kind),
            sequence,
            timestamps,
            pictures: None,
            is_cut: false,
            payload_bytes_sent: 0,
            packets_reported: 0,
            reports: VecDeque::new(),
            has_rtx: has_rtx(&spec),
            spec,
        }
    }

    /// The encoding that flows, or `PAUSED`.
    pub fn current(&self) -> i8 {
        self.selector.current().unwrap_or(PAUSED)
    }

    /// The encoding that is wanted, or `PAUSED`.
    pub fn target(&self) -> i8 {
        self.selector.target()
    }

    /// The highest temporal layer that flows.
    pub fn temporal(&self) -> i8 {
        self.selector.temporal()
    }

    /// How often one encoding followed another.
    pub fn switches(&self) -> u32 {
        self.selector.switches()
    }

    /// The outgoing number after the highest so far, unwrapped.
    pub fn next_seq(&self) -> i64 {
        self.sequence.next_seq()
    }

    /// Interarrival jitter as the subscriber reports it.
    pub fn jitter_ms(&self) -> f64 {
        match (&self.reported, self.timestamps.clock()) {
            (Some(reported), Some((_, clock))) => {
                f64::from(reported.jitter) * 1_000.0 / f64::from(clock.clock_rate())
            }
            _ => 0.0,
        }
    }

    /// An encoding is wanted, and does not flow before its next key frame.
    pub fn waits_for(&self, encoding: i8) -> bool {
        (self.is_cut && self.selector.current() == Some(encoding))
            || matches!(self.selector.state(), SelectorState::Switching { target, .. } if target == encoding)
    }

    /// Packets that are not sent over RTX are kept as they are. Sound is not: no section has NACK for it.
    pub fn repeats(&self) -> bool {
        self.kind == Kind::Video && !self.resends_over_rtx()
    }

    /// Resends go over RTX. What was sent before a change can't be sent again after it.
    pub fn resends_over_rtx(&self) -> bool {
        self.has_rtx && self.over_rtx.is_some()
    }

    /// Take up what the subscriber's SDP says now: numbers may be others, the stream goes on.
    pub fn update(&mut self, spec: Box<SetRoute>, track: &SetTrack, caches: &mut Caches) {
        self.has_rtx = has_rtx(&spec);
        self.spec = spec;
        if self.resends_over_rtx()
            && let Some(mut repeating) = self.repeating.take()
        {
            repeating.close(caches);
        }
        self.retranslate(track);
    }

    /// The publisher's SDP is another.
    pub fn retranslate(&mut self, track: &SetTrack) {
        self.translation = Translation::new(track, &self.spec);
    }

    /// The track's encodings stand under other numbers now: where each went, `None` for one that is gone.
    pub fn renumber(&mut self, numbers: &[(i8, i8)]) {
        let after =
            |encoding| numbers.iter().find(|(before, _)| *before == encoding).map(|(_, after)| *after);
        let (encoding, temporal) = self.wanted;
        self.wanted = (after(encoding).unwrap_or(PAUSED), temporal);
        self.selector.renumber(after);
    }

    /// An encoding comes from another SSRC.
    pub fn source_changed(&mut self, encoding: i8) {
        self.selector.source_changed(encoding);
    }

    /// Want an encoding (or `PAUSED`), up to a temporal layer. Returns the encoding whose key frame is needed.
    pub fn set_target(&mut self, encoding: i8, temporal: i8) -> Option<i8> {
        self.wanted = (encoding, temporal);
        self.aim(encoding, temporal)
    }

    /// Nobody chooses any more: the lowest encoding that flows will do, until `recover`.
    pub fn fall_back(&mut self, lowest_flowing: Option<i8>) -> Option<i8> {
        let lowest = lowest_flowing?;
        if self.kind == Kind::Video && lowest < self.wanted.0 {
            return self.aim(lowest, ALL_TEMPORAL);
        }
        None
    }

    /// Somebody chooses again: what was wanted last holds.
    pub fn recover(&mut self) -> Option<i8> {
        let (encoding, temporal) = self.wanted;
        self.aim(encoding, temporal)
    }

    /// Decide on a packet of the track, in order of arrival.
    ///
    /// # Errors
    ///
    /// Why it is not forwarded.
    pub fn decide(&mut self, now: Instant, packet: &Packet, can_send: bool) -> Result<(), Refused> {
        if self.translation.format_of(packet.payload_type).is_none() {
            return Err(DropReason::CodecNotNegotiated.into());
        }
        if !can_send {
            return Err(DropReason::NoSelectedPair.into());
        }
        // Where nothing flows, a picture now is worth more than one that is exactly in time.
        let is_ready = self.selector.current().is_none()
            || self.timestamps.ready(now, ClockId(packet.reception.0), &packet.clock.borrow());
        match self.selector.decide(&packet.facts, is_ready) {
            None if self.is_cut && !packet.facts.starts_key_frame => {
                Err(Refused { reason: DropReason::SlowReceiver, wants_keyframe: true })
            }
            None => {
                self.is_cut = false;
                Ok(())
            }
            Some(DropReason::WaitingForKeyframe) => Err(Refused {
                reason: DropReason::WaitingForKeyframe,
                wants_keyframe: self.waits_for(packet.facts.encoding),
            }),
            Some(drop) => Err(drop.into()),
        }
    }

    /// The decode targets that a packet which was just decided on is to tell.
    pub fn active_targets(&self, packet: &Packet) -> Option<u32> {
        self.selector.active_targets(packet.facts.descriptor.as_ref()?)
    }

    /// Some of what waited has been dropped; whether that needs a key frame of what flows.
    pub fn was_cut(&mut self, limit: Option<i8>, needs_key_frame: bool) -> bool {
        if let Some(limit) = limit {
            self.selector.lower(limit);
            return false;
        }
        self.begin_anew();
        self.is_cut = needs_key_frame;
        needs_key_frame
    }

    /// Number a packet that is sent now.
    ///
    /// # Errors
    ///
    /// It is too late: what it belongs to was left out, or nobody knows any more where it belongs.
    pub fn number(
        &mut self,
        arrived_at: Instant,
        packet: &Packet,
        active: Option<u32>,
        can_send: bool,
    ) -> Result<Numbers, DropReason> {
        let Some(form) = self.translation.format_of(packet.payload_type) else {
            self.close_up(packet);
            return Err(DropReason::CodecNotNegotiated);
        };
        if !can_send {
            return Err(DropReason::NoSelectedPair);
        }
        let facts = &packet.facts;
        let pictures = &mut self.pictures;
        let rewrite =
            |descriptor| pictures.get_or_insert_default().vp8.rewrite(packet.ssrc, facts.seq, descriptor);
        let Some(vp8) = packet.vp8.map_or(Some(NO_VP8), rewrite) else {
            self.close_up(packet);
            return Err(DropReason::TooOld);
        };
        let seq = self.sequence.forward(packet.ssrc, facts.seq).ok_or(DropReason::TooOld)?;
        let pictures = &mut self.pictures;
        let rewriting = facts.descriptor.as_ref().map(|descriptor| {
            pictures.get_or_insert_default().descriptors.forward(packet.ssrc, descriptor, active)
        });
        let clock = packet.clock.borrow();
        let timestamp = self.timestamps.map(arrived_at, ClockId(packet.reception.0), &clock, facts.ts) as u32;
        Ok(Numbers { seq, timestamp, vp8, payload_type: form.payload_type, rewriting })
    }

    /// A packet is not sent, on purpose: those around it stand side by side.
    pub fn close_up(&mut self, packet: &Packet) {
        self.sequence.drop(packet.ssrc, packet.facts.seq);
        if let (Some(descriptor), Some(pictures)) = (packet.vp8, &mut self.pictures) {
            pictures.vp8.drop(packet.ssrc, packet.facts.seq, descriptor);
        }
    }

    /// A sender report of a stream has come: what was joined to its clock sees that.
    pub fn clock_reported(&mut self, reception: ReceptionId, clock: &StreamClock) {
        self.timestamps.sender_report(ClockId(reception.0), clock);
    }

    /// Count a first sending.
    pub fn sent(&mut self, now: Instant, size_bytes: usize, payload_bytes: usize) {
        self.packets_sent += 1;
        self.bytes_sent += size_bytes as u64;
        self.payload_bytes_sent += payload_bytes as u64;
        self.last_sent_at = Some(now);
    }

    /// The unwrapped numbers that a NACK means.
    pub fn unwrap_nack(&self, sequence_numbers: &[u16]) -> Vec<i64> {
        let newest = self.next_seq() - 1;
        let before_newest = |number: u16| newest - ((newest - i64::from(number)) & 0xFFFF);
        sequence_numbers.iter().map(|number| before_newest(*number)).collect()
    }

    /// The encoding of which a key frame helps a subscriber whose picture is lost.
    pub fn picture_lost(&mut self) -> i8 {
        self.pli_count += 1;
        let flowing = self.current();
        if flowing == PAUSED { self.target() } else { flowing }
    }

    /// The subscriber reports on it; the round trip where that tells it.
    pub fn receiver_report(&mut self, now: Instant, block: ReportBlock) -> Option<i64> {
        let answered = self.reports.iter().filter(|(compact, _)| *compact == block.last_sender_report);
        let round_trip_ns = answered
            .map(|(_, sent_at)| (now - *sent_at - compact_to_ns(block.delay_since_last_sender_report)).max(0))
            .next_back();
        self.reported = Some(block);
        round_trip_ns
    }

    /// What to tell the subscriber of the stream's clock; nothing where nothing new was sent.
    ///
    /// The clock told is the publisher's: sound and picture of one publisher share it (packet rule 6).
    pub fn sender_report(&mut self, now: Instant) -> Option<Unit> {
        let (_, clock) = self.timestamps.clock()?;
        if self.packets_sent == self.packets_reported {
            return None;
        }
        let ntp = clock.ntp_at(now)?;
        let ts = self.timestamps.sender_report_timestamp(ntp)?;
        self.packets_reported = self.packets_sent;
        if self.reports.len() == MAX_REPORTS {
            self.reports.pop_front();
        }
        self.reports.push_back((middle_bits(ntp), now));
        let ssrc = self.spec.ssrc;
        let report = SenderReport {
            ssrc,
            ntp_timestamp: ntp,
            rtp_timestamp: ts as u32,
            packet_count: self.packets_sent as u32,
            octet_count: self.payload_bytes_sent as u32,
            reports: Vec::new(),
        };
        let sdes = Sdes { cnames: vec![(ssrc, self.spec.cname.to_string())] };
        Some(vec![RtcpPacket::SenderReport(report), RtcpPacket::Sdes(sdes)])
    }

    fn aim(&mut self, encoding: i8, temporal: i8) -> Option<i8> {
        if encoding == PAUSED {
            self.begin_anew();
            self.is_cut = false;
        }
        self.selector.set_target(encoding, temporal);
        self.waits_for(encoding).then_some(encoding)
    }
}

impl Route {
    /// What is sent next is joined like another source.
    fn begin_anew(&mut self) {
        self.sequence.pause();
        if let Some(pictures) = &mut self.pictures {
            pictures.vp8.pause();
            pictures.descriptors.pause();
        }
    }
}

fn has_rtx(spec: &SetRoute) -> bool {
    spec.formats.iter().any(|form| form.rtx_payload_type.is_some())
}
