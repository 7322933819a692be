//! A track on a worker that is not its publisher's: encodings and caches, fed over a trunk.

use std::cell::RefCell;
use std::rc::Rc;

use focus_ice::Allowance;
use focus_plane::{LocalError, PAUSED, SetTrack};
use focus_streams::cache::CacheId;
use focus_streams::selector::PacketFacts;
use focus_units::{Instant, Kind, Ssrc};

use crate::encoding::EncodingId;
use crate::packet::{Packet, ReceptionId, SharedClock};
use crate::program::Program;
use crate::resending::{Caches, Kept};
use crate::route::Route;
use crate::track::{Origin, Track};
use crate::trunk::{Asker, Carried, Crossing, Streaming, Wants, Way, bit};

/// Packets that subscribers' NACKs may have a mirror ask home for, in a second. Lower: a burst that was lost is not
/// repaired where the cache is small. Higher: who asks for the same again and again has more of it cross.
pub const MAX_ASKED_PER_S: u32 = 500;

/// An encoding's stream, as home told of it.
#[derive(Debug)]
struct MirrorStream {
    encoding: EncodingId,
    /// As home numbers it.
    reception: ReceptionId,
    ssrc: Ssrc,
    clock: SharedClock,
    cache: CacheId,
}

/// What a mirror has instead of a publisher.
#[derive(Debug)]
pub struct Mirror {
    /// The worker of the publisher.
    pub home: usize,
    streams: Vec<MirrorStream>,
    /// What home was told that somebody takes; `None`: nothing yet.
    told: Option<Wants>,
    is_rethinking: bool,
    /// Encodings of which somebody needs a key frame, a bit for each: home is asked at the end of the turn.
    wanting: u8,
    again: Allowance,
    /// Routes that have begun with a key frame's late first packet, which was the last that came.
    begun: Vec<usize>,
}

impl Mirror {
    /// Of a track of that worker.
    fn new(home: usize) -> Self {
        Self {
            home,
            streams: Vec::new(),
            told: None,
            is_rethinking: false,
            wanting: 0,
            again: Allowance::new(MAX_ASKED_PER_S),
            begun: Vec::new(),
        }
    }

    /// The track is gone.
    pub fn close(self, caches: &mut Caches) {
        for stream in self.streams {
            caches.close(stream.cache, &mut drop);
        }
    }

    /// A route has begun with a key frame's late first packet.
    pub fn begun(&mut self, route: usize) {
        self.begun.push(route);
    }

    /// A route is gone.
    pub fn forget_route(&mut self, route: usize) {
        self.begun.retain(|begun| *begun != route);
    }

    /// An encoding is gone, or comes in another stream.
    fn forget(&mut self, encoding: EncodingId, caches: &mut Caches) {
        self.streams.retain(|stream| {
            let stays = stream.encoding != encoding;
            if !stays {
                caches.close(stream.cache, &mut drop);
            }
            stays
        });
    }
}

impl Program {
    /// Have a mirror of a track that lives on another worker, or take up how it is described now.
    ///
    /// # Errors
    ///
    /// It contradicts what was said before.
    pub fn set_mirror(&mut self, spec: Box<SetTrack>, home: usize) -> Result<(), LocalError> {
        let Some(&track) = self.track_of.get(&spec.track) else {
            let handle = spec.track;
            let mirror = Origin::Mirror(Box::new(Mirror::new(home)));
            let track = self.tracks.insert(Track::new(spec, mirror));
            self.track_of.insert(handle, track);
            return Ok(());
        };
        self.tracks[track].check(&spec)?;
        let change = self.tracks[track].update(spec);
        self.renumber(track, &change);
        if let Origin::Mirror(mirror) = &mut self.tracks[track].origin {
            change.gone.iter().for_each(|gone| mirror.forget(gone.id, &mut self.caches));
        }
        Ok(())
    }

    /// Home says what an encoding of a mirror comes in.
    pub fn take_stream(&mut self, now: Instant, told: &Streaming) {
        let Some(&track) = self.track_of.get(&told.track) else { return };
        let known = &mut self.tracks[track];
        let Origin::Mirror(mirror) = &mut known.origin else { return };
        let Some(encoding) = known.encodings.iter().rfind(|encoding| *encoding.rid == *told.rid) else {
            return;
        };
        let stream = mirror.streams.iter().find(|stream| stream.encoding == encoding.id);
        if let Some(stream) = stream.filter(|stream| stream.reception == told.reception) {
            let is_first = !stream.clock.replace(told.clock).has_report() && told.clock.has_report();
            let of = (told.reception, encoding.index);
            return self.clock_reported(now, track, of, &told.clock, is_first);
        }
        mirror.forget(encoding.id, &mut self.caches);
        mirror.streams.push(MirrorStream {
            encoding: encoding.id,
            reception: told.reception,
            ssrc: told.ssrc,
            clock: Rc::new(RefCell::new(told.clock)),
            cache: self.caches.open(),
        });
        for route in &known.routes {
            self.routes[*route].source_changed(encoding.index);
        }
    }

    /// A packet has come from home.
    pub fn take_carried(&mut self, now: Instant, carried: Carried) {
        let Some(&track) = self.track_of.get(&carried.track) else { return };
        let known = &mut self.tracks[track];
        let is_video = known.kind() == Kind::Video;
        let Origin::Mirror(mirror) = &mut known.origin else { return };
        let Some(stream) = mirror.streams.iter().find(|stream| stream.reception == carried.reception) else {
            return;
        };
        let Some(encoding) = known.encodings.iter().find(|encoding| encoding.id == stream.encoding) else {
            return;
        };
        let Carried { at, highest_seq, way, .. } = carried;
        let packet = Rc::new(Packet {
            reception: stream.reception,
            clock: Rc::clone(&stream.clock),
            cache: stream.cache,
            ssrc: stream.ssrc,
            payload_type: carried.payload_type,
            marker: carried.marker,
            facts: PacketFacts { encoding: encoding.index, ..carried.facts },
            vp8: carried.vp8,
            is_descriptor_unread: false,
            descriptor_id: carried.descriptor_id,
            header: carried.header,
            payload: carried.payload,
            data: carried.data,
        });
        if is_video && !packet.is_padding() {
            let kept = Kept::Received(Rc::clone(&packet));
            self.caches.store(at, packet.cache, packet.facts.seq, kept, packet.payload.len(), &mut drop);
        }
        if packet.facts.starts_key_frame && way == Way::Onward {
            mirror.wanting &= !bit(packet.facts.encoding);
        }
        match way {
            Way::Onward => {
                mirror.begun.clear();
                self.forward_to_routes(at, track, &packet, highest_seq);
            }
            Way::Behind => {
                for route in mirror.begun.clone() {
                    self.forward_to(at, route, &packet);
                }
            }
            Way::Again(Asker { route, seq }) => {
                if let Some(route) = self.route_of.get(&route) {
                    self.answer_nack(now, *route, &[seq]);
                }
            }
        }
    }

    /// Ask home for packets that a subscriber asks for and that are not kept here any more.
    pub fn ask_again(&mut self, now: Instant, route: usize, seqs: &[i64]) {
        let route = &self.routes[route];
        let known = &mut self.tracks[route.track];
        let (track, flow) = (known.handle(), route.spec.route);
        let Origin::Mirror(mirror) = &mut known.origin else { return };
        let Some(resender) = &route.over_rtx else { return };
        for (seq, cache, source_seq) in resender.missing(now, seqs, &self.caches) {
            let stream = mirror.streams.iter().find(|stream| stream.cache == cache);
            if let Some(stream) = stream
                && mirror.again.admit(now)
            {
                let asker = Asker { route: flow, seq };
                let reception = stream.reception;
                let question = Crossing::AskAgain { track, reception, seq: source_seq, asker };
                self.trunks.to(mirror.home).push(question);
            }
        }
    }

    /// A route of a track, or what it takes, may be another than before.
    pub fn routes_changed(&mut self, track: usize) {
        if let Some(Origin::Mirror(mirror)) = self.tracks.get_mut(track).map(|track| &mut track.origin)
            && !std::mem::replace(&mut mirror.is_rethinking, true)
        {
            self.rethinking.push(track);
        }
    }

    /// Tell homes what is wanted of their tracks now, where that has changed.
    pub fn tell_wants(&mut self) {
        for track in std::mem::take(&mut self.rethinking) {
            let Some(known) = self.tracks.get_mut(track) else { continue };
            let handle = known.handle();
            let Origin::Mirror(mirror) = &mut known.origin else { continue };
            let routes = known.routes.iter().map(|route| &self.routes[*route]);
            // Sound has one encoding: whatever it is called, who takes it is to see all of it.
            let taken = |route: &Route| match known.spec.kind {
                Kind::Audio if route.target() != PAUSED => u8::MAX,
                _ => bit(route.target()) | bit(route.current()),
            };
            let encodings = routes.fold(0, |mask, route| mask | taken(route));
            let wants = Wants { encodings, routes: known.routes.len() as u32 };
            mirror.is_rethinking = false;
            if mirror.told != Some(wants) {
                mirror.told = Some(wants);
                self.trunks.to(mirror.home).push(Crossing::Wants { track: handle, wants });
            }
            let wanting = std::mem::take(&mut mirror.wanting);
            for encoding in (0..).take(known.encodings.len()).filter(|encoding| bit(*encoding) & wanting != 0)
            {
                self.trunks.to(mirror.home).push(Crossing::KeyFrame { track: handle, encoding });
            }
        }
    }

    /// Ask home for a key frame, unless one begins before the turn is over.
    pub fn ask_keyframe(&mut self, track: usize, encoding: i8) {
        if let Origin::Mirror(mirror) = &mut self.tracks[track].origin {
            mirror.wanting |= bit(encoding);
            self.routes_changed(track);
        }
    }

    /// Ask homes which encodings flow of all mirrors that somebody takes.
    pub fn ask_lowest(&mut self) {
        for known in self.track_of.values().map(|track| &self.tracks[*track]) {
            if let Origin::Mirror(mirror) = &known.origin
                && known.kind() == Kind::Video
                && !known.routes.is_empty()
            {
                self.trunks.to(mirror.home).push(Crossing::AskLowest { track: known.handle() });
            }
        }
    }
}
