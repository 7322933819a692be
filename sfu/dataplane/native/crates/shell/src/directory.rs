//! Which worker a transport, a track or a route lives on.
//!
//! It knows what the cores have confirmed. What a core has ended by itself (a track whose mid another took, the
//! routes of what was removed) is forgotten here by the same rules, so that it holds no more than the cores do.

use std::sync::Arc;

use focus_plane::{LocalError, Operation, SetRoute, SetTrack};
use focus_units::{RouteId, TrackHandle, TransportId};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::ufrags::Ufrags;

/// Fragments of one transport. Lower than 2: a peer that has not taken a restart in can't connect again. Higher: one
/// that restarts again and again takes more memory.
const MAX_UFRAGS: usize = 2;

#[derive(Debug)]
struct Transport {
    worker: usize,
    /// Ours, as its peer calls us: another with each restart of ICE.
    ufrags: Vec<String>,
    /// What it publishes, by mid.
    tracks: FxHashMap<String, TrackHandle>,
    /// What it receives.
    routes: FxHashSet<RouteId>,
}

#[derive(Debug)]
struct Track {
    transport: TransportId,
    mid: String,
    routes: FxHashSet<RouteId>,
}

#[derive(Debug)]
struct Route {
    track: TrackHandle,
    transport: TransportId,
}

/// What an operation that was carried out changes here.
#[derive(Debug)]
pub(crate) enum Change {
    Nothing,
    AddTransport(TransportId, usize, String),
    SetCredentials(TransportId, String),
    RemoveTransport(TransportId),
    SetTrack(TrackHandle, TransportId, String),
    RemoveTrack(TrackHandle),
    SetRoute(RouteId, TrackHandle, TransportId),
    RemoveRoute(RouteId),
}

impl Change {
    /// Of one operation.
    pub(crate) fn of(operation: &Operation) -> Self {
        match operation {
            Operation::AddTransport { transport, worker, credentials } => {
                Self::AddTransport(*transport, usize::from(*worker), credentials.ufrag.clone())
            }
            Operation::SetCredentials { transport, credentials } => {
                Self::SetCredentials(*transport, credentials.ufrag.clone())
            }
            Operation::RemoveTransport { transport } => Self::RemoveTransport(*transport),
            Operation::SetTrack(spec) => Self::SetTrack(spec.track, spec.transport, spec.mid.clone()),
            Operation::RemoveTrack { track } => Self::RemoveTrack(*track),
            Operation::SetRoute(spec) => Self::SetRoute(spec.route, spec.track, spec.transport),
            Operation::RemoveRoute { route } => Self::RemoveRoute(*route),
            Operation::InstallSrtp { .. }
            | Operation::RequestKeyframe { .. }
            | Operation::SendDatagram { .. } => Self::Nothing,
        }
    }
}

/// Everything that lives in a plane of several workers, by the ids that Python gave.
#[derive(Debug)]
pub(crate) struct Directory {
    workers: usize,
    transports: FxHashMap<TransportId, Transport>,
    tracks: FxHashMap<TrackHandle, Track>,
    routes: FxHashMap<RouteId, Route>,
    ufrags: Arc<Ufrags>,
}

impl Directory {
    /// Of a plane with so many workers; nothing lives yet.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            workers,
            transports: FxHashMap::default(),
            tracks: FxHashMap::default(),
            routes: FxHashMap::default(),
            ufrags: Arc::default(),
        }
    }

    /// The fragments of all transports that live.
    pub(crate) fn ufrags(&self) -> Arc<Ufrags> {
        Arc::clone(&self.ufrags)
    }

    /// The worker of a transport that lives.
    pub(crate) fn of_transport(&self, id: TransportId) -> Option<usize> {
        self.transports.get(&id).map(|transport| transport.worker)
    }

    /// The worker of a route that lives.
    pub(crate) fn of_route(&self, id: RouteId) -> Option<usize> {
        self.routes.get(&id).and_then(|route| self.of_transport(route.transport))
    }

    /// The worker that an operation is for; `None`: what it names does not live.
    ///
    /// # Errors
    ///
    /// There is no such worker, or it would join two.
    pub(crate) fn of_operation(&self, operation: &Operation) -> Result<Option<usize>, LocalError> {
        match operation {
            Operation::AddTransport { transport, worker, .. } => {
                self.of_new(*transport, usize::from(*worker)).map(Some)
            }
            Operation::SetCredentials { transport, .. }
            | Operation::InstallSrtp { transport, .. }
            | Operation::RemoveTransport { transport }
            | Operation::SendDatagram { transport, .. } => Ok(self.of_transport(*transport)),
            Operation::SetTrack(spec) => self.of_set_track(spec),
            Operation::RemoveTrack { track } | Operation::RequestKeyframe { track, .. } => {
                Ok(self.of_track(*track))
            }
            Operation::SetRoute(spec) => self.of_set_route(spec),
            Operation::RemoveRoute { route } => Ok(self.of_route(*route)),
        }
    }

    /// An operation was carried out.
    pub(crate) fn note(&mut self, change: Change) {
        match change {
            Change::Nothing => {}
            Change::AddTransport(id, worker, ufrag) => {
                self.transports.entry(id).or_insert_with(|| Transport {
                    worker,
                    ufrags: Vec::new(),
                    tracks: FxHashMap::default(),
                    routes: FxHashSet::default(),
                });
                self.note_ufrag(id, ufrag);
            }
            Change::SetCredentials(id, ufrag) => self.note_ufrag(id, ufrag),
            Change::RemoveTransport(id) => self.forget_transport(id),
            Change::SetTrack(track, transport, mid) => self.note_track(track, transport, &mid),
            Change::RemoveTrack(track) => self.forget_track(track),
            Change::SetRoute(route, track, transport) => self.note_route(route, track, transport),
            Change::RemoveRoute(route) => self.forget_route(route),
        }
    }

    /// How many transports, tracks and routes live.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> [usize; 3] {
        [self.transports.len(), self.tracks.len(), self.routes.len()]
    }

    fn of_track(&self, id: TrackHandle) -> Option<usize> {
        self.tracks.get(&id).and_then(|track| self.of_transport(track.transport))
    }

    fn of_new(&self, id: TransportId, worker: usize) -> Result<usize, LocalError> {
        if worker >= self.workers {
            let (id, workers) = (id.0, self.workers);
            return Err(LocalError(format!(
                "transport {id} on worker {worker} of {workers}, counted from 0"
            )));
        }
        match self.of_transport(id) {
            Some(known) if known != worker => {
                Err(LocalError(format!("transport {} is there already, on worker {known}", id.0)))
            }
            _ => Ok(worker),
        }
    }

    fn of_set_track(&self, spec: &SetTrack) -> Result<Option<usize>, LocalError> {
        let to = self.of_transport(spec.transport);
        match (to, self.of_track(spec.track)) {
            (Some(to), Some(known)) if to != known => {
                let (track, transport) = (spec.track.0, spec.transport.0);
                Err(LocalError(format!(
                    "track {track} was on worker {known}, transport {transport} is on {to}"
                )))
            }
            _ => Ok(to),
        }
    }

    fn of_set_route(&self, spec: &SetRoute) -> Result<Option<usize>, LocalError> {
        let (from, to) = (self.of_track(spec.track), self.of_transport(spec.transport));
        let route = spec.route.0;
        match (from, to) {
            (Some(from), Some(to)) if from != to => Err(LocalError(format!(
                "route {route} from track {} on worker {from} to transport {} on {to}",
                spec.track.0, spec.transport.0
            ))),
            _ => match (from.or(to), self.of_route(spec.route)) {
                (Some(worker), Some(known)) if worker != known => {
                    Err(LocalError(format!("route {route} was on worker {known}, its track is on {worker}")))
                }
                (worker, _) => Ok(worker),
            },
        }
    }

    fn note_ufrag(&mut self, id: TransportId, ufrag: String) {
        let Some(transport) = self.transports.get_mut(&id) else { return };
        if transport.ufrags.contains(&ufrag) {
            return;
        }
        self.ufrags.add(ufrag.clone(), transport.worker);
        transport.ufrags.push(ufrag);
        // A restart keeps those before until the new ones are used (packet rule 9).
        if transport.ufrags.len() > MAX_UFRAGS {
            self.ufrags.remove(&transport.ufrags.remove(0));
        }
    }

    fn note_track(&mut self, id: TrackHandle, of: TransportId, mid: &str) {
        let Some(transport) = self.transports.get_mut(&of) else { return };
        if self.tracks.get(&id).is_some_and(|track| track.transport != of) {
            return;
        }
        let replaced = transport.tracks.insert(mid.into(), id);
        let track = self.tracks.entry(id).or_insert_with(|| Track {
            transport: of,
            mid: mid.into(),
            routes: FxHashSet::default(),
        });
        if track.mid != mid {
            transport.tracks.remove(&track.mid);
            track.mid = mid.into();
        }
        if let Some(replaced) = replaced.filter(|replaced| *replaced != id) {
            self.forget_track(replaced);
        }
    }

    fn note_route(&mut self, id: RouteId, track: TrackHandle, to: TransportId) {
        if self.routes.contains_key(&id) {
            return;
        }
        let known = (self.tracks.get_mut(&track), self.transports.get_mut(&to));
        let (Some(from), Some(transport)) = known else { return };
        from.routes.insert(id);
        transport.routes.insert(id);
        self.routes.insert(id, Route { track, transport: to });
    }

    fn forget_transport(&mut self, id: TransportId) {
        let Some(transport) = self.transports.remove(&id) else { return };
        for ufrag in &transport.ufrags {
            self.ufrags.remove(ufrag);
        }
        for route in transport.routes {
            self.forget_route(route);
        }
        for track in transport.tracks.into_values() {
            self.forget_track(track);
        }
    }

    fn forget_track(&mut self, id: TrackHandle) {
        let Some(track) = self.tracks.remove(&id) else { return };
        for route in track.routes {
            self.forget_route(route);
        }
        if let Some(transport) = self.transports.get_mut(&track.transport)
            && transport.tracks.get(&track.mid) == Some(&id)
        {
            transport.tracks.remove(&track.mid);
        }
    }

    fn forget_route(&mut self, id: RouteId) {
        let Some(route) = self.routes.remove(&id) else { return };
        if let Some(track) = self.tracks.get_mut(&route.track) {
            track.routes.remove(&id);
        }
        if let Some(transport) = self.transports.get_mut(&route.transport) {
            transport.routes.remove(&id);
        }
    }
}
