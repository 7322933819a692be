//! A swarm from outside: its thread, and requests to it.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use crate::effects::{Effects, Event};
use crate::engine::{Engine, Outside, Request, Settings, Stats};
use crate::error::Error;
use crate::participant::Participant;
use crate::schedule::Schedule;
use crate::socket::Bell;

/// A running swarm. Each request waits for its outcome; after `close` all of them are refused.
pub struct Swarm {
    running: Mutex<Option<Running>>,
    bell: Arc<Bell>,
    outside: Arc<Outside>,
}

struct Running {
    requests: Sender<Request>,
    thread: JoinHandle<()>,
}

impl Swarm {
    /// Start a swarm without participants.
    ///
    /// # Errors
    ///
    /// Where a setting is out of range or the system has no descriptor or thread left.
    pub fn start(settings: Settings) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&settings.full_share) {
            return Err(Error::Invalid(format!(
                "full_share is {}; 0 to 1 are possible",
                settings.full_share
            )));
        }
        if !(100_000..=1_000_000_000).contains(&settings.tick_ns) {
            return Err(Error::Invalid("tick_ms: 0.1 to 1,000 are possible".to_owned()));
        }
        let bell = Arc::new(Bell::new()?);
        let outside = Arc::new(Outside { events: Mutex::new(VecDeque::new()), bell: Bell::new()? });
        let engine = Engine::new(settings, Arc::clone(&outside))?;
        let (requests, receiver) = channel();
        let thread = Builder::new().name("swarm".to_owned()).spawn({
            let bell = Arc::clone(&bell);
            move || engine.run(&receiver, &bell)
        })?;
        Ok(Self { running: Mutex::new(Some(Running { requests, thread })), bell, outside })
    }

    /// What rings while there are events.
    pub fn event_fd(&self) -> RawFd {
        self.outside.bell.as_raw_fd()
    }

    /// What participants told since the last call.
    pub fn events(&self) -> Vec<(u32, Event)> {
        let mut events = self.outside.events.lock().unwrap_or_else(PoisonError::into_inner);
        self.outside.bell.silence();
        events.drain(..).collect()
    }

    /// Add a receiver of so many tracks; its id and offer.
    ///
    /// # Errors
    ///
    /// As `Engine::add_receiver`, or where the swarm is closed.
    pub fn add_receiver(&self, audio: u32, video: u32) -> Result<(u32, String), Error> {
        self.ask(move |engine| engine.add_receiver(audio, video))?
    }

    /// Add a publisher; its id and offer.
    ///
    /// # Errors
    ///
    /// As `Engine::add_publisher`, or where the swarm is closed.
    pub fn add_publisher(&self, schedule: Schedule) -> Result<(u32, String), Error> {
        self.ask(move |engine| engine.add_publisher(schedule))?
    }

    /// Have a participant do something that can fail.
    ///
    /// # Errors
    ///
    /// What the action refuses, or where there is no such participant or the swarm is closed.
    pub fn visit<T: Send + 'static>(
        &self,
        id: u32,
        act: impl FnOnce(&mut Participant, i64, &mut Effects) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.ask(move |engine| engine.visit(id, act))??
    }

    /// Begin or end the sending of all publishers.
    ///
    /// # Errors
    ///
    /// Where the swarm is closed.
    pub fn set_sending(&self, is_sending: bool) -> Result<(), Error> {
        self.ask(move |engine| engine.set_sending(is_sending))
    }

    /// Forget a participant.
    ///
    /// # Errors
    ///
    /// Where there is no such participant or the swarm is closed.
    pub fn remove(&self, id: u32) -> Result<(), Error> {
        self.ask(move |engine| engine.remove(id))?
    }

    /// The counters.
    ///
    /// # Errors
    ///
    /// Where the swarm is closed.
    pub fn stats(&self) -> Result<Stats, Error> {
        self.ask(Engine::stats)
    }

    /// End the thread and with it all sockets. Once is enough.
    pub fn close(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { requests, thread }) = running {
            drop(requests);
            self.bell.ring();
            // A thread that panicked has said so; there is nothing left to end.
            let _ = thread.join();
        }
    }

    fn ask<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Engine) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = channel();
        let request: Request = Box::new(move |engine| {
            // Nobody waits any more where this fails: the asker's thread was unwound.
            let _ = reply.send(act(engine));
        });
        {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            let running = running.as_ref().ok_or(Error::Closed)?;
            running.requests.send(request).map_err(|_| Error::Closed)?;
        }
        self.bell.ring();
        answer.recv().map_err(|_| Error::Closed)
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        self.close();
    }
}
