//! One simulcast encoding of a track, over all the SSRCs that it comes from in its time.

use std::rc::Rc;

use focus_plane::{DropReason, MAX_TEMPORAL};
use focus_rtp::packet::RtpHeader;
use focus_streams::audio_level::AudioLevelMeter;
use focus_units::{Instant, Kind, Ssrc};
use rustc_hash::FxHashSet;

use crate::packet::{Packet, ReceptionId};
use crate::reception::{Arrival, Reception, RepairReception, Surroundings};

/// An SSRC that another has replaced comes back when that one has been silent for this long. Lower: two
/// senders on one section replace each other all the time. Higher: one that does go back is dark for longer.
pub const RETURN_AFTER_S: i64 = 1;

/// From a BYE on, packets of its SSRC mean after this long that the stream goes on. Lower: packets that the BYE
/// overtook look like a new start. Higher: a start that follows at once is told late.
pub const RESUME_AFTER_MS: i64 = 100;

/// Counters of an encoding's streams, those of RTX apart. They only grow (packets lost may go back).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Totals {
    pub packets_received: u64,
    pub bytes_received: u64,
    pub packets_lost: i64,
    pub nack_count: u64,
}

/// What arrived of each temporal layer, repaired or not, without padding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Layers {
    pub bytes_received: [u64; MAX_TEMPORAL],
    pub frames_received: [u64; MAX_TEMPORAL],
}

/// An encoding, whatever its number is; another never has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodingId(pub u32);

/// What comes of one encoding, and what came of it so far.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Encoding {
    pub id: EncodingId,
    /// Its number in targets and statistics; a new SDP may change it.
    pub index: i8,
    pub rid: String,
    /// The stream that it comes in; `None` before the first.
    pub reception: Option<Reception>,
    pub repair: Option<RepairReception>,
    pub level: AudioLevelMeter,
    pub pli_count: u64,
    pub frames_received: u64,
    pub key_frames_received: u64,
    /// Of video alone: there are many microphones.
    pub layers: Option<Box<Layers>>,
    kind: Kind,
    replaced: FxHashSet<Ssrc>,
    ended_at: Option<Instant>,
    key_frame_ts: Option<i64>,
    earlier: Totals,
}

impl Encoding {
    /// One that nothing came of yet.
    pub fn new(id: EncodingId, index: i8, rid: String, kind: Kind) -> Self {
        Self {
            id,
            index,
            rid,
            reception: None,
            repair: None,
            level: AudioLevelMeter::default(),
            pli_count: 0,
            frames_received: 0,
            key_frames_received: 0,
            layers: (kind == Kind::Video).then(Box::default),
            kind,
            replaced: FxHashSet::default(),
            ended_at: None,
            key_frame_ts: None,
            earlier: Totals::default(),
        }
    }

    /// Counters over all its streams.
    pub fn totals(&self) -> Totals {
        let earlier = self.earlier;
        self.reception.as_ref().map_or(earlier, |reception| Totals {
            packets_received: earlier.packets_received + reception.statistics.packets_received(),
            bytes_received: earlier.bytes_received + reception.statistics.bytes_received(),
            packets_lost: earlier.packets_lost + reception.statistics.packets_lost(),
            nack_count: earlier.nack_count + reception.nacks.nack_count(),
        })
    }

    /// Its publisher said BYE, and nothing has come since.
    pub fn is_ended(&self) -> bool {
        self.ended_at.is_some()
    }

    /// A packet came lately, and no BYE.
    pub fn flows(&self, now: Instant, within_s: i64) -> bool {
        let last = self.reception.as_ref().and_then(|reception| reception.statistics.last_received_at());
        !self.is_ended() && last.is_some_and(|last| now <= last.after_s(within_s))
    }

    /// Whether the encoding may come from this SSRC from now on, or its repairs.
    pub fn admits(&self, now: Instant, ssrc: Ssrc) -> bool {
        !self.replaced.contains(&ssrc) || !self.flows(now, RETURN_AFTER_S)
    }

    /// The encoding comes from this SSRC from now on; `first` is to be received yet.
    pub fn bind(
        &mut self,
        now: Instant,
        id: ReceptionId,
        first: &RtpHeader,
        clock_rate: u32,
        around: &mut Surroundings<'_>,
    ) {
        self.replaced.remove(&first.ssrc);
        if self.reception.is_some() {
            self.earlier = self.totals();
        }
        if let Some(mut before) = self.reception.take() {
            self.replaced.insert(before.ssrc);
            before.close(around.keyframes, around.caches);
        }
        self.ended_at = None;
        self.key_frame_ts = None;
        self.reception =
            Some(Reception::new(id, first.ssrc, self.kind, now, clock_rate, first, around.caches));
    }

    /// The encoding's packets are repaired by this SSRC from now on.
    pub fn bind_repair(&mut self, ssrc: Ssrc, clock_rate: u32) {
        self.replaced.remove(&ssrc);
        if let Some(before) = self.repair.replace(RepairReception::new(ssrc, clock_rate)) {
            self.replaced.insert(before.ssrc);
        }
    }

    /// Take a packet of the encoding's stream.
    ///
    /// # Errors
    ///
    /// Why it goes no further.
    pub fn receive(
        &mut self,
        now: Instant,
        arrival: Arrival<'_>,
        around: &mut Surroundings<'_>,
    ) -> Result<Rc<Packet>, DropReason> {
        let reception = self.reception.as_mut().ok_or(DropReason::UnknownSsrc)?;
        let size_bytes = arrival.size_bytes;
        let packet = reception.receive(now, arrival, around)?;
        self.count(&packet, size_bytes);
        Ok(packet)
    }

    /// Take a packet of the stream that repairs it.
    ///
    /// # Errors
    ///
    /// Why it goes no further.
    pub fn receive_repair(
        &mut self,
        now: Instant,
        arrival: Arrival<'_>,
        around: &mut Surroundings<'_>,
    ) -> Result<Rc<Packet>, DropReason> {
        let repair = self.repair.as_mut().ok_or(DropReason::UnknownSsrc)?;
        if let Some(drop) = repair.receive(now, arrival.header, arrival.size_bytes) {
            return Err(drop);
        }
        if arrival.header.payload_range().is_empty() {
            return Err(DropReason::PaddingOnly);
        }
        let reception = self.reception.as_mut().ok_or(DropReason::TooOld)?;
        let size_bytes = arrival.size_bytes;
        let packet = reception.repaired(now, arrival, around)?;
        self.count(&packet, size_bytes);
        Ok(packet)
    }

    /// Its publisher says BYE. False: it did already, and nothing came since.
    pub fn end(&mut self, now: Instant, around: &mut Surroundings<'_>) -> bool {
        let Some(reception) = self.reception.as_mut().filter(|_| self.ended_at.is_none()) else {
            return false;
        };
        self.ended_at = Some(now);
        around.keyframes.forget(reception.ssrc);
        reception.nacks.clear();
        true
    }

    /// A packet has come: whether that makes an encoding that had ended flow again.
    pub fn resumes(&mut self, now: Instant) -> bool {
        self.ended_at.take_if(|ended_at| now >= ended_at.after_ms(RESUME_AFTER_MS)).is_some()
    }

    /// The track is gone.
    pub fn close(&mut self, around: &mut Surroundings<'_>) {
        if let Some(reception) = self.reception.as_mut() {
            reception.close(around.keyframes, around.caches);
        }
    }

    fn count(&mut self, packet: &Packet, size_bytes: usize) {
        if !packet.is_padding() {
            let layer = packet.facts.layer().min(MAX_TEMPORAL - 1);
            self.frames_received += u64::from(packet.marker);
            if let Some(layers) = &mut self.layers {
                layers.bytes_received[layer] += size_bytes as u64;
                layers.frames_received[layer] += u64::from(packet.marker);
            }
        }
        if packet.facts.starts_key_frame && self.key_frame_ts != Some(packet.facts.ts) {
            self.key_frame_ts = Some(packet.facts.ts);
            self.key_frames_received += 1;
        }
    }
}
