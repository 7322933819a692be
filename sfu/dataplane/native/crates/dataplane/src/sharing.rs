//! What home does for mirrors of its tracks: passes on what they want, and answers what they ask.

use std::rc::Rc;

use focus_plane::{DropReason, SetTrack};
use focus_units::{Instant, TrackHandle};

use crate::packet::{Packet, ReceptionId};
use crate::program::Program;
use crate::reception::Reception;
use crate::resending::Kept;
use crate::track::Track;
use crate::trunk::{Carried, Crossing, Link, Missed, RETRY_MS, Streaming, Urgency, Wants, Way, bit};

/// A worker that has a mirror of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Share {
    pub with: usize,
    /// As it has told.
    pub wants: Wants,
}

impl Share {
    /// Encodings stand under other numbers now.
    pub fn renumber(&mut self, numbers: &[(i8, i8)]) {
        let moved = numbers.iter().filter(|(before, _)| self.wants.contain(*before));
        self.wants.encodings = moved.fold(0, |mask, (_, after)| mask | bit(*after));
    }
}

impl Program {
    /// What a mirror of a track must know of it.
    pub fn describe(&self, handle: TrackHandle) -> Option<Box<SetTrack>> {
        self.track_of.get(&handle).map(|track| self.tracks[*track].spec.clone())
    }

    /// Another worker has a mirror of a track from now on.
    pub fn share(&mut self, handle: TrackHandle, with: usize) {
        let Some(&track) = self.track_of.get(&handle) else { return };
        let shares = &mut self.tracks[track].shares;
        if shares.iter().all(|share| share.with != with) {
            shares.push(Share { with, wants: Wants::default() });
        }
        self.tell_streams(track);
    }

    /// Another worker has no mirror of a track any more.
    pub fn unshare(&mut self, handle: TrackHandle, with: usize) {
        if let Some(track) = self.track_of.get(&handle) {
            self.tracks[*track].shares.retain(|share| share.with != with);
        }
    }

    /// Tell all mirrors of a track what its encodings come in.
    pub fn tell_streams(&mut self, track: usize) {
        for index in 0..self.tracks[track].encodings.len() {
            self.tell_stream(track, index);
        }
    }

    /// Tell all mirrors of a track what an encoding comes in: it is another stream, or its clock was reported.
    pub fn tell_stream(&mut self, track: usize, index: usize) {
        let known = &self.tracks[track];
        let Some(reception) = &known.encodings[index].reception else { return };
        for share in &known.shares {
            self.trunks.to(share.with).push(Crossing::Stream(Streaming {
                track: known.handle(),
                rid: known.encodings[index].rid.as_str().into(),
                reception: reception.id,
                ssrc: reception.ssrc,
                clock: *reception.clock.borrow(),
            }));
        }
    }

    /// Pass a packet on to the mirrors that want it.
    pub fn pass_on(&mut self, now: Instant, track: usize, packet: &Rc<Packet>, highest_seq: i64) {
        for place in 0..self.tracks[track].shares.len() {
            let share = self.tracks[track].shares[place];
            if share.wants.contain(packet.facts.encoding) {
                self.pass(now, track, share.with, packet, highest_seq);
            } else if !packet.is_padding() {
                // Each of its routes would have refused it.
                self.drops.add(DropReason::OtherLayer, share.wants.routes.into());
            }
        }
    }

    /// Pass a packet to one mirror. A key frame's first, where it is late, brings along what came before it.
    fn pass(&mut self, now: Instant, track: usize, to: usize, packet: &Packet, highest_seq: i64) {
        let known = &mut self.tracks[track];
        let handle = known.handle();
        let trunk = self.trunks.to(to);
        trunk.push(Carried::of(now, handle, packet, highest_seq, Way::Onward));
        if !packet.facts.starts_key_frame || packet.facts.seq >= highest_seq {
            return;
        }
        let Some(reception) = reception_of(known, packet.reception) else { return };
        for later in reception.after(now, packet.facts.seq, &self.caches) {
            // What is to pass yet would come to who gets it now for a second time.
            if !trunk.has_missed(later.reception, later.facts.seq) {
                trunk.push(Carried::of(now, handle, &later, highest_seq, Way::Behind));
            }
        }
    }

    /// Do what a mirror on another worker asks for.
    pub fn answer(&mut self, now: Instant, from: usize, asked: &Crossing) {
        match *asked {
            Crossing::Wants { track, wants } => {
                if let Some(track) = self.track_of.get(&track) {
                    let mut shares = self.tracks[*track].shares.iter_mut();
                    if let Some(share) = shares.find(|share| share.with == from) {
                        share.wants = wants;
                    }
                }
            }
            Crossing::KeyFrame { track, encoding } => {
                if let Some(track) = self.track_of.get(&track) {
                    self.request_keyframe(now, *track, encoding);
                }
            }
            Crossing::AskLowest { track } => {
                if let Some(known) = self.track_of.get(&track) {
                    let encoding = self.tracks[*known].lowest_flowing(now);
                    self.trunks.to(from).push(Crossing::Lowest { track, encoding });
                }
            }
            Crossing::AskAgain { track, reception, seq, asker } => {
                if let Some((track, packet, highest_seq)) = self.find(now, Missed { track, reception, seq }) {
                    let handle = self.tracks[track].handle();
                    let again = Carried::of(now, handle, &packet, highest_seq, Way::Again(asker));
                    self.trunks.to(from).push(again);
                }
            }
            Crossing::Stream(_) | Crossing::Packet(_) | Crossing::Lowest { .. } => {}
        }
    }

    /// Say to another worker what there is to say, as far as there is room.
    pub fn hand_over(&mut self, now: Instant, to: usize, link: &mut impl Link) {
        self.trunks.to(to).offer(link, &mut self.drops);
        while Urgency::Later.fits(link)
            && let Some(missed) = self.trunks.to(to).next_missed()
        {
            if let Some((track, packet, highest_seq)) = self.find(now, missed) {
                self.pass(now, track, to, &packet, highest_seq);
                self.trunks.to(to).offer(link, &mut self.drops);
            }
        }
        if !self.trunks.to(to).is_empty() {
            self.trunks.retry_at = Some(now.after_ms(RETRY_MS));
        }
    }

    /// A packet of one of our tracks, while it is kept, and the highest number of its stream.
    fn find(&mut self, now: Instant, missed: Missed) -> Option<(usize, Rc<Packet>, i64)> {
        let track = *self.track_of.get(&missed.track)?;
        let reception = reception_of(&mut self.tracks[track], missed.reception)?;
        let highest_seq = reception.statistics.highest_seq().unwrap_or(0);
        match self.caches.lookup(now, reception.cache, missed.seq) {
            Some(Kept::Received(packet)) => Some((track, Rc::clone(packet), highest_seq)),
            _ => None,
        }
    }
}

fn reception_of(track: &mut Track, id: ReceptionId) -> Option<&mut Reception> {
    let mut receptions = track.encodings.iter_mut().filter_map(|encoding| encoding.reception.as_mut());
    receptions.find(|reception| reception.id == id)
}

#[cfg(test)]
mod tests;
