//! One published track: its encodings, and which routes take it to subscribers.

use focus_plane::{Event, LocalError, SetTrack};
use focus_units::{Instant, Kind, PayloadType, TrackHandle, TransportId};

use crate::encoding::{Encoding, EncodingId};
use crate::mirror::Mirror;
use crate::reception::Form;
use crate::sharing::Share;

/// An encoding without packets for this long does not flow: nobody falls back to it.
pub const FLOWS_WITHIN_S: i64 = 2;

/// What changed with a new description of a track.
#[derive(Debug)]
pub struct Change {
    /// Encodings that are gone.
    pub gone: Vec<Encoding>,
    /// Where each encoding that stays stood, and stands; `None`: all stand where they stood.
    pub renumbered: Option<Vec<(i8, i8)>>,
    /// Encodings are others than before, by the description.
    pub are_changed: bool,
}

/// Where the packets of a track come from.
#[derive(Debug)]
pub enum Origin {
    /// The publisher, as the program numbers it.
    Peer(usize),
    /// The publisher's worker, over a trunk.
    Mirror(Box<Mirror>),
}

/// One section of a publisher.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Track {
    pub origin: Origin,
    /// The workers that have a mirror of it, and what they want.
    pub shares: Vec<Share>,
    /// The routes that take it on, as the program numbers them, in the order in which they were set.
    pub routes: Vec<usize>,
    pub encodings: Vec<Encoding>,
    pub spec: Box<SetTrack>,
    forms: Vec<(PayloadType, Form)>,
    repaired_forms: Vec<(PayloadType, Form)>,
    next_encoding: u32,
}

impl Track {
    /// As the SDP describes it.
    pub fn new(spec: Box<SetTrack>, origin: Origin) -> Self {
        let mut track = Self {
            origin,
            shares: Vec::new(),
            routes: Vec::new(),
            encodings: Vec::new(),
            forms: Vec::new(),
            repaired_forms: Vec::new(),
            next_encoding: 0,
            spec: spec.clone(),
        };
        track.update(spec);
        track
    }

    /// Its id in Python.
    pub fn handle(&self) -> TrackHandle {
        self.spec.track
    }

    /// Whose it is.
    pub fn transport(&self) -> TransportId {
        self.spec.transport
    }

    /// What it carries.
    pub fn kind(&self) -> Kind {
        self.spec.kind
    }

    /// Whether it can be described so from now on.
    ///
    /// # Errors
    ///
    /// It was another transport's, or sound instead of video.
    pub fn check(&self, spec: &SetTrack) -> Result<(), LocalError> {
        if (self.transport(), self.kind()) == (spec.transport, spec.kind) {
            return Ok(());
        }
        let (handle, kind, transport) = (spec.track.0, self.kind(), self.transport().0);
        Err(LocalError(format!("track {handle} was {kind:?} of transport {transport}")))
    }

    /// Take up what the SDP says now; encodings are known by their rids.
    pub fn update(&mut self, spec: Box<SetTrack>) -> Change {
        let mut before = std::mem::take(&mut self.encodings);
        let count_before = before.len();
        let mut numbers = Vec::new();
        for (index, wanted) in spec.encodings.iter().enumerate() {
            let index = index as i8;
            // Of two with one rid, the twin's table has the last.
            let found = before.iter().rposition(|encoding| encoding.rid == wanted.rid);
            let encoding = if let Some(found) = found {
                let mut encoding = before.remove(found);
                numbers.push((encoding.index, index));
                encoding.index = index;
                encoding
            } else {
                self.next_encoding += 1;
                Encoding::new(EncodingId(self.next_encoding), index, wanted.rid.clone(), spec.kind)
            };
            self.encodings.push(encoding);
        }
        let are_changed = spec.encodings != self.spec.encodings;
        let stay = numbers.len() == count_before && numbers.iter().all(|(before, after)| before == after);
        self.spec = spec;
        self.forms.clear();
        self.repaired_forms.clear();
        for format in &self.spec.formats {
            let form = Form {
                payload_type: format.payload_type,
                codec: format.codec,
                clock_rate: format.clock_rate,
            };
            set(&mut self.forms, format.payload_type, form);
            if let Some(rtx) = format.rtx_payload_type {
                set(&mut self.repaired_forms, rtx, form);
            }
        }
        Change { gone: before, renumbered: (!stay).then_some(numbers), are_changed }
    }

    /// The number of the encoding of a rid. A track without rids has one, whatever a packet says.
    pub fn encoding_named(&self, rid: &str) -> Option<usize> {
        if let [only] = &self.encodings[..]
            && (rid.is_empty() || only.rid.is_empty())
        {
            return Some(0);
        }
        self.encodings.iter().position(|encoding| encoding.rid == rid)
    }

    /// An encoding, wherever it stands now.
    pub fn encoding(&mut self, id: EncodingId) -> Option<&mut Encoding> {
        self.encodings.iter_mut().find(|encoding| encoding.id == id)
    }

    /// What a payload type is here.
    pub fn form_of(&self, payload_type: PayloadType) -> Option<Form> {
        find(&self.forms, payload_type)
    }

    /// What a payload type repairs here, where it is RTX.
    pub fn repaired_form_of(&self, payload_type: PayloadType) -> Option<Form> {
        find(&self.repaired_forms, payload_type)
    }

    /// Whether packets of this payload type may belong here.
    pub fn carries(&self, payload_type: PayloadType) -> bool {
        self.form_of(payload_type).is_some() || self.repaired_form_of(payload_type).is_some()
    }

    /// The lowest encoding that flows.
    pub fn lowest_flowing(&self, now: Instant) -> Option<i8> {
        self.encodings
            .iter()
            .find(|encoding| encoding.flows(now, FLOWS_WITHIN_S))
            .map(|flowing| flowing.index)
    }

    /// That an encoding is bound, where it is.
    pub fn bound(&self, encoding: &Encoding) -> Option<Event> {
        let reception = encoding.reception.as_ref()?;
        Some(Event::StreamBound {
            track: self.handle(),
            encoding: encoding.index as u8,
            ssrc: reception.ssrc,
        })
    }
}

fn find(forms: &[(PayloadType, Form)], payload_type: PayloadType) -> Option<Form> {
    forms.iter().find(|(number, _)| *number == payload_type).map(|(_, form)| *form)
}

fn set(forms: &mut Vec<(PayloadType, Form)>, payload_type: PayloadType, form: Form) {
    forms.retain(|(number, _)| *number != payload_type);
    forms.push((payload_type, form));
}
