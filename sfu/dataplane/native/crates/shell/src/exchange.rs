//! What passes between Python and one worker: commands down, answers and batches up. Nothing here that another
//! worker or Python may hold is touched for a packet that is forwarded.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use focus_dataplane::{Batch, Stats};
use focus_plane::{LocalError, Operation, Pacing, Probe, SetTrack, Target};
use focus_units::TrackHandle;

use crate::arrivals::Arrivals;
use crate::event::EventFd;
use crate::trunks::TrunkEnds;

/// An operation that contradicts an earlier one.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its index among those that were to be carried out; those before it were.
    pub at: usize,
    /// Why.
    pub error: LocalError,
}

/// What Python wants of a worker.
pub enum Command {
    /// Carry out operations, and say whether that went well.
    Apply(Vec<Operation>, Answer<Result<(), Refused>>),
    /// Choose layers.
    Targets(Vec<Target>),
    /// Send to transports so.
    Pacing(Vec<Pacing>),
    /// Measure what paths carry.
    Probes(Vec<Probe>),
    /// Say what subscribers said of packets.
    Feedback(Answer<Vec<u8>>),
    /// Say all counters.
    Stats(Answer<Stats>),
    /// Say what a mirror of a track must know of it.
    Describe(TrackHandle, Answer<Option<Box<SetTrack>>>),
    /// Have a mirror of a track of this worker, or take up how it is described now.
    Mirror(Box<SetTrack>, usize, Answer<Result<(), LocalError>>),
    /// A worker has a mirror of a track from now on.
    Share(TrackHandle, usize),
    /// A worker has no mirror of a track any more.
    Unshare(TrackHandle, usize),
    /// There are trunks to another worker from now on.
    Join(TrunkEnds),
    /// Take a TCP connection, whose peer names a transport of this worker.
    Adopt(TcpStream, SocketAddr),
    /// Come to an end.
    Close,
}

/// Where an answer goes.
pub struct Answer<T>(SyncSender<T>);

impl<T> Answer<T> {
    /// Somebody may wait for it.
    pub fn give(self, answer: T) {
        // Who asked may be gone: an interpreter that ends.
        let _ = self.0.try_send(answer);
    }
}

/// The two directions between Python's thread and a worker's.
pub struct Exchange {
    /// `None`: the worker has ended.
    commands: Mutex<Option<Vec<Command>>>,
    commands_signal: EventFd,
    arrivals: Arc<Arrivals>,
    /// The worker has given a batch that Python has not taken yet.
    has_given: AtomicBool,
    failures: AtomicU64,
}

impl Exchange {
    /// With nothing in it.
    ///
    /// # Errors
    ///
    /// The system has no descriptor left.
    pub fn new(arrivals: Arc<Arrivals>) -> std::io::Result<Self> {
        Ok(Self {
            commands: Mutex::new(Some(Vec::new())),
            commands_signal: EventFd::new()?,
            arrivals,
            has_given: AtomicBool::new(false),
            failures: AtomicU64::new(0),
        })
    }

    /// Send a command; nobody hears one after the worker's end.
    pub fn command(&self, command: Command) {
        if let Some(commands) = locked(&self.commands).as_mut() {
            commands.push(command);
            self.commands_signal.signal();
        }
    }

    /// Send a command, and wait for its answer; `None`: the worker has ended.
    pub fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Option<T> {
        self.begin(command).recv().ok()
    }

    /// Send a command whose answer is waited for elsewhere.
    pub fn begin<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Receiver<T> {
        let (give, take) = sync_channel(1);
        self.command(command(Answer(give)));
        take
    }

    /// Wake the worker: another has said something to it.
    pub fn wake(&self) {
        self.commands_signal.signal();
    }

    /// Readable while there are commands.
    pub fn commands_fd(&self) -> RawFd {
        self.commands_signal.as_raw_fd()
    }

    /// The worker will look for commands now.
    pub fn clear_commands(&self) {
        self.commands_signal.clear();
    }

    /// All commands since the last call, in order.
    pub fn take_commands(&self) -> Vec<Command> {
        locked(&self.commands).as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The worker has ended: who waits for an answer gets none.
    pub fn end(&self) {
        *locked(&self.commands) = None;
    }

    /// Whether Python has taken the last batch. Until it has, the core keeps what comes up, within its bounds.
    pub fn wants_batch(&self) -> bool {
        !self.has_given.load(Ordering::Acquire)
    }

    /// Something came up.
    pub fn give_batch(&self, batch: Batch) {
        // Said first: Python, which takes the batch and only then looks here, must not find that nothing was given.
        self.has_given.store(true, Ordering::Release);
        self.arrivals.give(batch);
    }

    /// Python has taken what was given. The worker is woken: it may have more by now.
    pub fn batch_taken(&self) {
        if self.has_given.swap(false, Ordering::AcqRel) {
            self.commands_signal.signal();
        }
    }

    /// A datagram or a timer ended in a panic: a mistake of ours, contained.
    pub fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// How many did.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

/// Who panicked with the lock left whole values behind.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
