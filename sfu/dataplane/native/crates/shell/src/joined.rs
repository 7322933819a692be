//! Several cores on the caller's thread, joined as the workers of a plane are: for tests and simulations.

use focus_dataplane::{Batch, Config, Crossing, Egress, Link, PlaneCore, Random, Stats};
use focus_ice::{Address, AddressKind};
use focus_plane::{LocalError, Operation, Pacing, Probe, SetTrack, Target};
use focus_units::{Instant, TrackHandle, earliest};

use crate::directory::Directory;
use crate::dispatch::{Workers, dispatch};
use crate::exchange::Refused;
use crate::trunks::RING_PLACES;

/// A plane without sockets and threads. What its cores say to each other passes at once, unless one is stalled.
pub struct Joined {
    cores: Vec<PlaneCore>,
    directory: Directory,
    /// By who speaks, then by who is to hear.
    trunks: Vec<Vec<Trunk>>,
    stalled: Vec<bool>,
}

impl Joined {
    /// So many cores, at least one.
    pub fn new(config: Config, seed: [u8; 32], workers: usize) -> Self {
        let config = Config { packet_cache_bytes: config.packet_cache_bytes / workers.max(1), ..config };
        let first = PlaneCore::new(config, Random::from_seed(seed));
        let others = (1..workers).map(|_| first.beside(config)).collect::<Vec<_>>();
        let cores: Vec<_> = std::iter::once(first).chain(others).collect();
        let trunks = (0..workers).map(|_| (0..workers).map(|_| Trunk::default()).collect()).collect();
        Self { directory: Directory::new(cores.len()), stalled: vec![false; cores.len()], trunks, cores }
    }

    /// A worker hears nothing of the others for a while, or hears them again.
    pub fn stall(&mut self, now: Instant, worker: usize, is_stalled: bool) {
        self.stalled[worker] = is_stalled;
        self.settle(now);
    }

    /// Carry out operations in order, and what is due.
    ///
    /// # Errors
    ///
    /// An operation contradicts an earlier one; those behind it are not carried out.
    pub fn apply(&mut self, now: Instant, operations: Vec<Operation>) -> Result<(), LocalError> {
        let outcome = dispatch(&mut self.directory, operations, &mut Here { now, cores: &mut self.cores });
        if outcome.is_ok() {
            self.poll(now);
        }
        outcome
    }

    /// Layer choices.
    pub fn set_targets(&mut self, now: Instant, targets: impl IntoIterator<Item = Target>) {
        let targets: Vec<Target> = targets.into_iter().collect();
        for (worker, core) in self.cores.iter_mut().enumerate() {
            let of_worker =
                targets.iter().filter(|target| self.directory.of_route(target.route) == Some(worker));
            core.set_targets(now, of_worker.copied());
        }
        self.settle(now);
    }

    /// How transports are sent to.
    pub fn set_pacing(&mut self, now: Instant, pacing: impl IntoIterator<Item = Pacing>) {
        for row in pacing {
            if let Some(worker) = self.directory.of_transport(row.transport) {
                self.cores[worker].set_pacing(now, [row]);
            }
        }
    }

    /// Measure what paths carry.
    pub fn probe(&mut self, now: Instant, probes: impl IntoIterator<Item = Probe>) {
        for row in probes {
            if let Some(worker) = self.directory.of_transport(row.transport) {
                self.cores[worker].probe(now, [row]);
            }
        }
    }

    /// What subscribers have said of packets since the last call, as rows of `FEEDBACK_DTYPE`.
    pub fn feedback(&mut self) -> Vec<u8> {
        self.cores.iter_mut().flat_map(PlaneCore::feedback).collect()
    }

    /// Take a datagram on the port of a worker; `None`: on that which its peer was told of, as far as can be told.
    pub fn handle_datagram(&mut self, now: Instant, from: Address, data: &mut [u8], worker: Option<usize>) {
        let worker = worker.unwrap_or_else(|| self.worker_of(now, from, data));
        if let Some(core) = self.cores.get_mut(worker) {
            core.handle_datagram(now, from, data);
        }
        self.settle(now);
    }

    /// Do what is due.
    pub fn poll(&mut self, now: Instant) {
        // Before any sends: what one wants of another's publishers is merged with what that wants itself.
        self.cores.iter_mut().for_each(|core| core.fall_back(now));
        self.settle(now);
        loop {
            self.cores.iter_mut().for_each(|core| core.poll(now));
            self.settle(now);
            if self.next_timeout().is_none_or(|at| at > now) {
                return;
            }
        }
    }

    /// When `poll` next has something to do.
    pub fn next_timeout(&mut self) -> Option<Instant> {
        earliest(self.cores.iter_mut().map(PlaneCore::next_timeout))
    }

    /// What is to be sent, core by core. The caller clears it.
    pub fn egresses(&mut self) -> impl Iterator<Item = &mut Egress> {
        self.cores.iter_mut().map(PlaneCore::egress)
    }

    /// Whether `drain` would return something.
    pub fn has_output(&self) -> bool {
        self.cores.iter().any(PlaneCore::has_output)
    }

    /// Everything that came up since the last call.
    pub fn drain(&mut self) -> Batch {
        let mut all = Batch::default();
        self.cores.iter_mut().for_each(|core| all.append(core.drain()));
        all
    }

    /// All counters now.
    pub fn stats(&mut self, now: Instant) -> Stats {
        let mut all = Stats::default();
        self.cores.iter_mut().for_each(|core| all.join(&core.stats(now)));
        all
    }

    /// The worker whose port a datagram comes to: each peer knows one. A transport's own port is its worker's.
    fn worker_of(&self, now: Instant, from: Address, data: &[u8]) -> usize {
        if let AddressKind::Own(transport) = from.kind() {
            return self.directory.of_transport(transport).unwrap_or(0);
        }
        let awaited = self.cores.iter().position(|core| core.is_awaited(from, data));
        let known = || self.cores.iter().position(|core| core.is_known(from));
        let moved = || self.cores.iter().position(|core| core.may_be_moved(now, from, data));
        awaited.or_else(known).or_else(|| self.directory.ufrags().worker_of(data)).or_else(moved).unwrap_or(0)
    }

    /// Let cores hear each other and send, until none has anything left to say.
    fn settle(&mut self, now: Instant) {
        loop {
            self.cores.iter_mut().for_each(|core| core.flush(now));
            let mut is_quiet = true;
            for from in 0..self.cores.len() {
                for to in (0..self.cores.len()).filter(|to| *to != from) {
                    self.cores[from].hand_over(now, to, &mut self.trunks[from][to]);
                    if self.stalled[to] {
                        continue;
                    }
                    for crossing in std::mem::take(&mut self.trunks[from][to].0) {
                        is_quiet = false;
                        self.cores[to].take_crossing(now, from, crossing);
                    }
                }
            }
            if is_quiet {
                return;
            }
        }
    }
}

/// What one core has said to another that has not heard it yet.
#[derive(Default)]
struct Trunk(Vec<Crossing>);

impl Link for Trunk {
    fn places(&self) -> usize {
        RING_PLACES
    }

    fn free(&self) -> usize {
        RING_PLACES - self.0.len()
    }

    fn push(&mut self, crossing: Crossing) {
        self.0.push(crossing);
    }
}

/// Workers on this thread.
struct Here<'a> {
    now: Instant,
    cores: &'a mut [PlaneCore],
}

impl Workers for Here<'_> {
    fn apply(&mut self, worker: usize, operations: Vec<Operation>) -> Result<(), Refused> {
        let mut taken = 0;
        let operations = operations.into_iter().inspect(|_| taken += 1);
        // What is due waits for `Joined::poll`: what one wants of another's publishers is merged as in a single core.
        let outcome = self.cores[worker].carry_out(self.now, operations);
        outcome.map_err(|error| Refused { at: taken - 1, error })
    }

    fn describe(&mut self, worker: usize, track: TrackHandle) -> Option<Box<SetTrack>> {
        self.cores[worker].describe(track)
    }

    fn mirror(&mut self, worker: usize, spec: Box<SetTrack>, home: usize) -> Result<(), LocalError> {
        self.cores[worker].set_mirror(self.now, spec, home)
    }

    fn share(&mut self, worker: usize, track: TrackHandle, with: usize) {
        self.cores[worker].share(track, with);
    }

    fn unshare(&mut self, worker: usize, track: TrackHandle, with: usize) {
        self.cores[worker].unshare(track, with);
    }
}
