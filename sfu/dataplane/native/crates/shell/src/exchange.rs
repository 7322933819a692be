//! What passes between Python and a worker: commands down, answers and batches up. Nothing here is touched for a
//! packet that is forwarded.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

use focus_dataplane::{Batch, Stats};
use focus_plane::{LocalError, Operation, Pacing, Probe, Target};

use crate::event::EventFd;

/// What Python wants of a worker.
pub enum Command {
    /// Carry out operations, and say whether that went well.
    Apply(Vec<Operation>, Answer<Result<(), LocalError>>),
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
    batch: Mutex<Option<Batch>>,
    batch_signal: EventFd,
    failures: AtomicU64,
}

impl Exchange {
    /// With nothing in it.
    ///
    /// # Errors
    ///
    /// The system has no descriptor left.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            commands: Mutex::new(Some(Vec::new())),
            commands_signal: EventFd::new()?,
            batch: Mutex::default(),
            batch_signal: EventFd::new()?,
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

    /// Send a command that is answered; `None`: the worker has ended.
    pub fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Option<T> {
        let (give, take): (SyncSender<T>, Receiver<T>) = sync_channel(1);
        self.command(command(Answer(give)));
        take.recv().ok()
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
        locked(&self.batch).is_none()
    }

    /// Something came up.
    pub fn give_batch(&self, batch: Batch) {
        *locked(&self.batch) = Some(batch);
        self.batch_signal.signal();
    }

    /// What came up since the last call. The worker is woken: it may have more by now.
    pub fn take_batch(&self) -> Batch {
        let mut batch = locked(&self.batch);
        self.batch_signal.clear();
        let Some(taken) = batch.take() else { return Batch::default() };
        drop(batch);
        self.commands_signal.signal();
        taken
    }

    /// Readable while `take_batch` would return something.
    pub fn batch_fd(&self) -> RawFd {
        self.batch_signal.as_raw_fd()
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
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
