//! Which worker a transport, a track or a route lives on.
//!
//! It knows what the cores have confirmed. What a core has ended by itself (a track whose mid another took, the
//! routes of what was removed) is forgotten here by the same rules, so that it holds no more than the cores do.

use std::sync::Arc;

use focus_plane::{Credentials, LocalError, Operation, SetRoute, SetTrack};
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
    /// Workers that have a mirror of it, with how many routes each has of it.
    mirrors: Vec<(usize, usize)>,
}

#[derive(Debug)]
struct Route {
    track: TrackHandle,
    transport: TransportId,
    worker: usize,
}

/// A mirror that nobody needs any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Idle {
    pub(crate) track: TrackHandle,
    pub(crate) worker: usize,
    /// The worker of the track; `None`: it is gone as well.
    pub(crate) home: Option<usize>,
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
            Operation::AddTransport { transport, worker, credentials, .. } => {
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
            | Operation::SendDatagram { .. }
            | Operation::SendStun { .. }
            | Operation::SelectAddress { .. } => Self::Nothing,
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
    /// Mirrors that have lost a route, or have none yet, by track and worker.
    unrouted: Vec<(TrackHandle, usize)>,
    /// Mirrors whose track is gone.
    orphaned: Vec<Idle>,
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
            unrouted: Vec::new(),
            orphaned: Vec::new(),
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
        self.routes.get(&id).map(|route| route.worker)
    }

    /// The worker that an operation is for; `None`: what it names does not live.
    ///
    /// # Errors
    ///
    /// There is no such worker, or it lives on another.
    pub(crate) fn of_operation(&self, operation: &Operation) -> Result<Option<usize>, LocalError> {
        match operation {
            Operation::AddTransport { transport, worker, credentials, .. } => {
                let worker = self.of_new(*transport, usize::from(*worker))?;
                self.check(credentials, worker).map(|()| Some(worker))
            }
            Operation::SetCredentials { transport, credentials } => {
                let worker = self.of_transport(*transport);
                worker.map_or(Ok(()), |worker| self.check(credentials, worker)).map(|()| worker)
            }
            Operation::InstallSrtp { transport, .. }
            | Operation::RemoveTransport { transport }
            | Operation::SendDatagram { transport, .. }
            | Operation::SendStun { transport, .. }
            | Operation::SelectAddress { transport, .. } => Ok(self.of_transport(*transport)),
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

    /// The home of a route's track, where that is not the route's worker and no mirror is there yet.
    pub(crate) fn mirror_wanted(&self, spec: &SetRoute) -> Option<(usize, usize)> {
        let (home, to) = (self.of_track(spec.track)?, self.of_transport(spec.transport)?);
        let is_there = self.mirrors_of(spec.track).any(|worker| worker == to);
        (home != to && !is_there).then_some((home, to))
    }

    /// The workers that have a mirror of a track.
    pub(crate) fn mirrors_of(&self, track: TrackHandle) -> impl Iterator<Item = usize> {
        let mirrors = self.tracks.get(&track).map(|track| &track.mirrors[..]).unwrap_or_default();
        mirrors.iter().map(|(worker, _)| *worker)
    }

    /// A worker has a mirror of a track now.
    pub(crate) fn note_mirror(&mut self, track: TrackHandle, worker: usize) {
        if let Some(known) = self.tracks.get_mut(&track) {
            known.mirrors.push((worker, 0));
            self.unrouted.push((track, worker));
        }
    }

    /// Mirrors that have come to be of no use since the last call; they are forgotten here.
    pub(crate) fn take_idle(&mut self) -> Vec<Idle> {
        let mut idle = std::mem::take(&mut self.orphaned);
        for (track, worker) in std::mem::take(&mut self.unrouted) {
            let home = self.of_track(track);
            let Some(known) = self.tracks.get_mut(&track) else { continue };
            if let Some(place) = known.mirrors.iter().position(|mirror| *mirror == (worker, 0)) {
                known.mirrors.swap_remove(place);
                idle.push(Idle { track, worker, home });
            }
        }
        idle
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

    /// Within a worker its agent sees to it that no fragment is there twice.
    fn check(&self, credentials: &Credentials, worker: usize) -> Result<(), LocalError> {
        if self.ufrags.is_anothers(&credentials.ufrag, worker) {
            return Err(LocalError(format!("ufrag {} is on another worker", credentials.ufrag)));
        }
        Ok(())
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
        match (to, self.of_route(spec.route)) {
            (Some(to), Some(known)) if to != known => {
                let (route, transport) = (spec.route.0, spec.transport.0);
                Err(LocalError(format!(
                    "route {route} was on worker {known}, transport {transport} is on {to}"
                )))
            }
            // Without the transport nothing comes of it, unless that is made just before.
            _ => Ok(to.or(from)),
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
            mirrors: Vec::new(),
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
        let worker = transport.worker;
        from.routes.insert(id);
        if let Some((_, routes)) = from.mirrors.iter_mut().find(|(mirror, _)| *mirror == worker) {
            *routes += 1;
        }
        transport.routes.insert(id);
        self.routes.insert(id, Route { track, transport: to, worker });
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
        let orphaned =
            track.mirrors.iter().map(|(worker, _)| Idle { track: id, worker: *worker, home: None });
        self.orphaned.extend(orphaned);
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
            let mut mirrors = track.mirrors.iter_mut();
            if let Some((_, routes)) = mirrors.find(|(worker, _)| *worker == route.worker) {
                *routes -= 1;
                self.unrouted.push((route.track, route.worker));
            }
        }
        if let Some(transport) = self.transports.get_mut(&route.transport) {
            transport.routes.remove(&id);
        }
    }
}
