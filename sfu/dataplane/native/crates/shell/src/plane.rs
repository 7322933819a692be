//! A plane on threads of its own, as Python holds it.

use std::io;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex};

use focus_dataplane::{Batch, Config, Random, Stats};
use focus_plane::{LocalError, Operation, Pacing, Probe, SetTrack, Target};
use focus_units::TrackHandle;
use rustc_hash::FxHashSet;

use crate::arrivals::Arrivals;
use crate::directory::Directory;
use crate::dispatch::{Workers, dispatch};
use crate::exchange::{Answer, Command, Exchange, Refused, locked};
use crate::thread::{Sockets, WorkerThread};
use crate::trunks::TrunkEnds;

/// Where a plane listens, and what its cores are told.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // as in sfu/config.py
pub struct Settings {
    pub host: IpAddr,
    pub port: u16,
    /// At least one; they listen on UDP ports behind one another.
    pub workers: u16,
    pub receive_buffer_bytes: usize,
    /// Where peers without UDP connect to, whoever their worker is; `None`: nowhere.
    pub tcp_port: Option<u16>,
    /// `packet_cache_bytes` is of all workers together.
    pub core: Config,
}

/// Workers with their sockets. Every call returns as soon as those that it is for have taken notice.
///
/// A transport lives on one worker, with the tracks that it publishes and the routes to it. Workers whose transports
/// take each other's tracks have trunks: what is here is touched by operations, targets and the like, never by a
/// packet.
pub struct Plane {
    workers: Vec<WorkerThread>,
    arrivals: Arc<Arrivals>,
    programmed: Mutex<Programmed>,
}

/// What lives where, and which workers have trunks to each other.
struct Programmed {
    directory: Directory,
    /// Lower numbers first.
    joined: FxHashSet<(usize, usize)>,
}

impl Plane {
    /// Listen, on all ports or none.
    ///
    /// # Errors
    ///
    /// An address can't be bound, or the system has no thread or descriptor left.
    pub fn start(settings: Settings, seed: [u8; 32]) -> io::Result<Self> {
        let mut sockets: Vec<_> = (0..settings.workers)
            .map(|number| Sockets::bind(&settings, number))
            .collect::<io::Result<_>>()?;
        let packet_cache_bytes = settings.core.packet_cache_bytes / sockets.len().max(1);
        let core = Config { packet_cache_bytes, ..settings.core };
        let arrivals = Arc::new(Arrivals::new()?);
        let exchanges = (0..sockets.len())
            .map(|_| Ok(Arc::new(Exchange::new(Arc::clone(&arrivals))?)))
            .collect::<io::Result<Arc<[_]>>>()?;
        let directory = Directory::new(sockets.len());
        if let [first, _, ..] = &mut sockets[..] {
            first.tcp.share(directory.ufrags(), 0);
        }
        let mut random = Random::from_seed(seed);
        let workers = (0..)
            .zip(sockets)
            .map(|(number, sockets)| {
                WorkerThread::start(number, sockets, core, random.fork(), Arc::clone(&exchanges))
            })
            .collect::<io::Result<_>>()?;
        let programmed = Mutex::new(Programmed { directory, joined: FxHashSet::default() });
        Ok(Self { workers, arrivals, programmed })
    }

    /// The UDP port of each worker.
    pub fn ports(&self) -> Vec<u16> {
        self.workers.iter().map(|worker| worker.port).collect()
    }

    /// The one TCP port of all workers, where peers can connect.
    pub fn tcp_port(&self) -> Option<u16> {
        self.workers.iter().find_map(|worker| worker.tcp_port)
    }

    /// Carry out operations in order.
    ///
    /// # Errors
    ///
    /// An operation contradicts an earlier one, or names a worker that is not there.
    pub fn apply(&self, operations: Vec<Operation>) -> Result<(), LocalError> {
        let mut programmed = locked(&self.programmed);
        let Programmed { directory, joined } = &mut *programmed;
        dispatch(directory, operations, &mut Threads { workers: &self.workers, joined })
    }

    /// Layer choices. Workers without any are told as well: Python is alive.
    pub fn set_targets(&self, targets: Vec<Target>) {
        let shares = self.shared(targets, |directory, row| directory.of_route(row.route));
        for (worker, share) in self.workers.iter().zip(shares) {
            worker.exchange.command(Command::Targets(share));
        }
    }

    /// How transports are sent to.
    pub fn set_pacing(&self, pacing: Vec<Pacing>) {
        let shares = self.shared(pacing, |directory, row| directory.of_transport(row.transport));
        self.command_some(shares, Command::Pacing);
    }

    /// Measure what paths carry.
    pub fn probe(&self, probes: Vec<Probe>) {
        let shares = self.shared(probes, |directory, row| directory.of_transport(row.transport));
        self.command_some(shares, Command::Probes);
    }

    /// What subscribers have said of packets since the last call, as rows of `FEEDBACK_DTYPE`; what one worker has
    /// heard is in its order.
    pub fn feedback(&self) -> Vec<u8> {
        self.ask_all(Command::Feedback).concat()
    }

    /// Everything that came up since the last call.
    pub fn drain(&self) -> Batch {
        let batch = self.arrivals.take();
        for worker in &self.workers {
            worker.exchange.batch_taken();
        }
        batch
    }

    /// All counters now.
    pub fn stats(&self) -> Stats {
        let mut all = Stats::default();
        for stats in self.ask_all(Command::Stats) {
            all.join(&stats);
        }
        all
    }

    /// Readable while `drain` would return something.
    pub fn batch_fd(&self) -> RawFd {
        self.arrivals.as_raw_fd()
    }

    /// Panics that were contained.
    pub fn failures(&self) -> u64 {
        self.workers.iter().map(|worker| worker.exchange.failures()).sum()
    }

    /// Stop, and release the sockets.
    pub fn close(&mut self) {
        self.workers.iter().for_each(WorkerThread::stop);
        self.workers.iter_mut().for_each(WorkerThread::end);
    }

    /// Each worker's rows; what no longer lives has none.
    fn shared<Row>(
        &self,
        rows: Vec<Row>,
        worker_of: impl Fn(&Directory, &Row) -> Option<usize>,
    ) -> Vec<Vec<Row>> {
        let programmed = locked(&self.programmed);
        let mut shares: Vec<Vec<Row>> = self.workers.iter().map(|_| Vec::new()).collect();
        for row in rows {
            if let Some(worker) = worker_of(&programmed.directory, &row) {
                shares[worker].push(row);
            }
        }
        shares
    }

    fn command_some<Row>(&self, shares: Vec<Vec<Row>>, command: impl Fn(Vec<Row>) -> Command) {
        for (worker, share) in self.workers.iter().zip(shares).filter(|(_, share)| !share.is_empty()) {
            worker.exchange.command(command(share));
        }
    }

    /// The answers of all workers that live. All are asked before the first is waited for.
    fn ask_all<T>(&self, command: impl Fn(Answer<T>) -> Command) -> Vec<T> {
        let asked: Vec<_> = self.workers.iter().map(|worker| worker.exchange.begin(&command)).collect();
        asked.into_iter().filter_map(|answer| answer.recv().ok()).collect()
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.close();
    }
}

/// Workers on threads of their own. One that has ended does nothing any more.
struct Threads<'a> {
    workers: &'a [WorkerThread],
    joined: &'a mut FxHashSet<(usize, usize)>,
}

impl Threads<'_> {
    /// See that there are trunks between two workers. They stay: another call will need them.
    fn join(&mut self, one: usize, other: usize) {
        if !self.joined.insert((one.min(other), one.max(other))) {
            return;
        }
        let exchanges = [one, other].map(|worker| (worker, &self.workers[worker].exchange));
        for ((_, exchange), ends) in exchanges.into_iter().zip(TrunkEnds::pair(exchanges)) {
            exchange.command(Command::Join(ends));
        }
    }
}

impl Workers for Threads<'_> {
    fn apply(&mut self, worker: usize, operations: Vec<Operation>) -> Result<(), Refused> {
        let ask = |answer| Command::Apply(operations, answer);
        self.workers[worker].exchange.ask(ask).unwrap_or(Ok(()))
    }

    fn describe(&mut self, worker: usize, track: TrackHandle) -> Option<Box<SetTrack>> {
        self.workers[worker].exchange.ask(|answer| Command::Describe(track, answer)).flatten()
    }

    fn mirror(&mut self, worker: usize, spec: Box<SetTrack>, home: usize) -> Result<(), LocalError> {
        self.join(worker, home);
        self.workers[worker].exchange.ask(|answer| Command::Mirror(spec, home, answer)).unwrap_or(Ok(()))
    }

    fn share(&mut self, worker: usize, track: TrackHandle, with: usize) {
        self.workers[worker].exchange.command(Command::Share(track, with));
    }

    fn unshare(&mut self, worker: usize, track: TrackHandle, with: usize) {
        self.workers[worker].exchange.command(Command::Unshare(track, with));
    }
}

#[cfg(test)]
mod tests;
