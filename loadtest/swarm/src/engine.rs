//! The thread: it waits, reads sockets in batches, gives participants their datagrams and times, and sends.
//!
//! Sockets are read at a timer's beat and not as datagrams come: state of hundreds of participants doesn't fit a
//! cache, so what counts is many datagrams per visit. The kernel's stamps keep arrival times exact all the same.
//! Requests and frames that are due end the wait at once.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};

use str0m::config::CryptoProvider;

use crate::clock::Clock;
use crate::effects::{Effects, Event};
use crate::error::Error;
use crate::keytap;
use crate::participant::{Participant, Role};
use crate::schedule::Schedule;
use crate::socket::{Batch, Bell, Poller, Udp, clock, monotonic_ns, thread_cpu_ns, wall_offset};
use crate::stats::{participant_row, stream_row};

/// Events that wait to be read. More: a reader may pause longer; fewer: one that never reads costs less. The oldest
/// go first.
pub const MAX_EVENTS: usize = 65_536;

/// How a swarm runs.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Where sockets are bound, and what the candidates say.
    pub address: Ipv4Addr,
    /// Of the receivers, the part whose media str0m carries.
    pub full_share: f64,
    /// Between two readings of the sockets. Shorter: feedback and answers are prompter; longer: cheaper per packet.
    pub tick_ns: i64,
}

/// Something to do on the swarm's thread.
pub type Request = Box<dyn FnOnce(&mut Engine) + Send>;

/// What waits to be read from outside, and the bell that says so.
pub struct Outside {
    /// (participant, what it tells), oldest first.
    pub events: Mutex<VecDeque<(u32, Event)>>,
    /// Rings while there are any.
    pub bell: Bell,
}

impl Outside {
    /// Let events of a participant be read.
    fn tell(&self, id: u32, told: impl Iterator<Item = Event>) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.extend(told.map(|event| (id, event)));
        let excess = events.len().saturating_sub(MAX_EVENTS);
        events.drain(..excess);
        self.bell.ring();
    }
}

/// Counters of everything.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Rows of `PARTICIPANT_FIELDS`.
    pub participants: Vec<i64>,
    /// Rows of `STREAM_FIELDS`.
    pub streams: Vec<i64>,
    /// Counts of delays, bucket by bucket.
    pub delays: Vec<u64>,
    /// By how much the latest beat missed its time since this was last asked.
    pub lateness_max_ns: i64,
    /// Receivers whose media str0m carries.
    pub full_receivers: u64,
    /// Receivers of the lean path, or on their way to it.
    pub lean_receivers: u64,
    /// What the thread has used of a core.
    pub cpu_ns: i64,
}

struct Seat {
    participant: Participant,
    socket: Udp,
    kernel_drops: u32,
}

/// All participants of a swarm.
pub struct Engine {
    settings: Settings,
    outside: Arc<Outside>,
    provider: Arc<CryptoProvider>,
    clock: Clock,
    poller: Poller,
    batch: Batch,
    effects: Effects,
    seats: Vec<Option<Seat>>,
    receivers: u64,
    is_sending: bool,
    lateness_max_ns: i64,
}

impl Engine {
    /// An engine without participants.
    ///
    /// # Errors
    ///
    /// Where the system has no descriptor left.
    pub fn new(settings: Settings, outside: Arc<Outside>) -> Result<Self, Error> {
        Ok(Self {
            settings,
            outside,
            provider: Arc::new(keytap::provider()),
            clock: clock(),
            poller: Poller::new()?,
            batch: Batch::default(),
            effects: Effects::default(),
            seats: Vec::new(),
            receivers: 0,
            is_sending: false,
            lateness_max_ns: 0,
        })
    }

    /// Run until nobody can make requests any more.
    pub fn run(mut self, requests: &Receiver<Request>, bell: &Bell) {
        let mut beat_ns = monotonic_ns();
        loop {
            bell.wait_until(self.next_frame_ns().map_or(beat_ns, |frame_ns| frame_ns.min(beat_ns)));
            bell.silence();
            loop {
                match requests.try_recv() {
                    Ok(request) => request(&mut self),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            let now_ns = monotonic_ns();
            self.publish(now_ns);
            if now_ns >= beat_ns {
                self.lateness_max_ns = self.lateness_max_ns.max(now_ns - beat_ns);
                self.read();
                self.poll();
                beat_ns = (beat_ns + self.settings.tick_ns).max(now_ns);
            }
        }
    }

    // --- requests ------------------------------------------------------------------------------------------------

    /// Add a receiver; its id and offer.
    ///
    /// # Errors
    ///
    /// Where there is no socket for it, or too much is asked for.
    pub fn add_receiver(&mut self, audio: u32, video: u32) -> Result<(u32, String), Error> {
        let is_full = is_full(self.receivers, self.settings.full_share);
        let added = self.add(Role::Receiver { audio, video, is_full })?;
        self.receivers += 1;
        Ok(added)
    }

    /// Add a publisher; its id and offer.
    ///
    /// # Errors
    ///
    /// Where there is no socket for it.
    pub fn add_publisher(&mut self, schedule: Schedule) -> Result<(u32, String), Error> {
        let (id, offer) = self.add(Role::Publisher(schedule))?;
        if self.is_sending {
            self.visit(id, |participant, _, _| participant.set_sending(true))?;
        }
        Ok((id, offer))
    }

    /// Have a participant do something now, and see to what comes of it.
    ///
    /// # Errors
    ///
    /// Where there is no such participant.
    pub fn visit<T>(
        &mut self,
        id: u32,
        act: impl FnOnce(&mut Participant, i64, &mut Effects) -> T,
    ) -> Result<T, Error> {
        let seat =
            self.seats.get_mut(id as usize).and_then(Option::as_mut).ok_or(Error::NoSuchParticipant(id))?;
        let outcome = act(&mut seat.participant, monotonic_ns(), &mut self.effects);
        perform(id, seat, &mut self.effects, &self.outside);
        Ok(outcome)
    }

    /// Begin or end the sending of all publishers, of later ones too.
    pub fn set_sending(&mut self, is_sending: bool) {
        self.is_sending = is_sending;
        for seat in self.seats.iter_mut().flatten() {
            seat.participant.set_sending(is_sending);
        }
    }

    /// Say goodbye for a participant and forget it.
    ///
    /// # Errors
    ///
    /// Where there is no such participant.
    pub fn remove(&mut self, id: u32) -> Result<(), Error> {
        self.visit(id, |participant, _, effects| participant.close(effects))?;
        self.seats[id as usize] = None;
        Ok(())
    }

    /// The counters.
    pub fn stats(&mut self) -> Stats {
        let mut stats = Stats {
            delays: self.effects.delays.counts().to_vec(),
            lateness_max_ns: std::mem::take(&mut self.lateness_max_ns),
            cpu_ns: thread_cpu_ns(),
            ..Stats::default()
        };
        for (id, seat) in (0..).zip(&self.seats) {
            let Some(Seat { participant, kernel_drops, .. }) = seat else {
                continue;
            };
            stats.participants.extend(participant_row(id, participant, *kernel_drops));
            stats.streams.extend(participant.streams().into_iter().flat_map(|stream| stream_row(id, stream)));
            if !participant.is_publisher() {
                stats.full_receivers += u64::from(participant.is_full());
                stats.lean_receivers += u64::from(!participant.is_full());
            }
        }
        stats
    }

    // --- the beat ------------------------------------------------------------------------------------------------

    fn add(&mut self, role: Role) -> Result<(u32, String), Error> {
        let id = self.seats.len() as u32;
        let socket = Udp::bind(self.settings.address)?;
        let ssrc = 0x5500_0000 | id.wrapping_mul(0x9_e377) & 0xff_ffff;
        let (participant, offer) =
            Participant::new(role, socket.local(), &self.provider, self.clock, ssrc, monotonic_ns())?;
        self.poller.watch(&socket, id)?;
        self.seats.push(Some(Seat { participant, socket, kernel_drops: 0 }));
        Ok((id, offer))
    }

    fn next_frame_ns(&self) -> Option<i64> {
        self.seats.iter().flatten().filter_map(|seat| seat.participant.next_frame_ns()).min()
    }

    fn publish(&mut self, now_ns: i64) {
        for (id, seat) in (0..).zip(&mut self.seats) {
            if let Some(seat) = seat
                && seat.participant.next_frame_ns().is_some_and(|due| due <= now_ns)
            {
                seat.participant.publish(monotonic_ns(), &mut self.effects);
                perform(id, seat, &mut self.effects, &self.outside);
            }
        }
    }

    /// Read all sockets that hold something, each until it is empty.
    fn read(&mut self) {
        let offset = wall_offset();
        loop {
            let ready = self.poller.ready();
            if ready.len() == 0 {
                return;
            }
            for id in ready {
                let Some(seat) = self.seats.get_mut(id as usize).and_then(Option::as_mut) else {
                    continue;
                };
                loop {
                    let has_more = self.batch.fill(&seat.socket);
                    let now_ns = monotonic_ns();
                    seat.kernel_drops = seat.kernel_drops.max(self.batch.drops());
                    for received in self.batch.datagrams() {
                        let arrived_at_ns = offset.arrival(received.stamp_ns, now_ns);
                        seat.participant.receive(
                            received.from,
                            received.bytes,
                            arrived_at_ns,
                            &mut self.effects,
                        );
                    }
                    if !has_more {
                        break;
                    }
                }
                perform(id, seat, &mut self.effects, &self.outside);
            }
        }
    }

    fn poll(&mut self) {
        let now_ns = monotonic_ns();
        for (id, seat) in (0..).zip(&mut self.seats) {
            if let Some(seat) = seat {
                seat.participant.poll(now_ns, &mut self.effects);
                perform(id, seat, &mut self.effects, &self.outside);
            }
        }
    }
}

/// Send what is to be sent and tell what is to be told.
fn perform(id: u32, seat: &Seat, effects: &mut Effects, outside: &Outside) {
    if !effects.datagrams.is_empty() {
        seat.socket.send(&effects.datagrams);
        effects.datagrams.clear();
    }
    if !effects.events.is_empty() {
        outside.tell(id, effects.events.drain(..));
    }
}

/// Whether the receiver of this number is one of the share, spread evenly.
fn is_full(number: u64, share: f64) -> bool {
    ((number + 1) as f64 * share).floor() > (number as f64 * share).floor()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_nobody_reads_are_bounded_and_the_oldest_go() {
        let bell = Bell::new().expect("descriptor");
        let outside = Outside { events: Mutex::default(), bell };
        outside.tell(7, std::iter::once(Event::Connected));
        outside.tell(8, std::iter::repeat_n(Event::KeyframeWanted, MAX_EVENTS));
        let events = outside.events.lock().expect("whole");
        assert_eq!((events.len(), events[0].0), (MAX_EVENTS, 8));
    }

    #[test]
    fn the_full_ones_are_spread_evenly() {
        let full = |share| (0..20).filter(|&number| is_full(number, share)).collect::<Vec<_>>();
        assert_eq!(full(0.1), [9, 19]);
        assert_eq!(full(0.0), Vec::<u64>::new());
        assert_eq!(full(1.0).len(), 20);
        assert_eq!(full(0.25), [3, 7, 11, 15, 19]);
    }
}
