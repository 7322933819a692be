//! One thread that owns a core and its socket: waits, feeds it, sends what it gives.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use focus_dataplane::{PlaneCore, WireProtocol, protocol_of};
use focus_ice::Address;
use focus_plane::{DropReason, Operation};
use focus_units::{Instant, earliest};

use crate::exchange::{Command, Exchange, Refused};
use crate::gathering::Gathering;
use crate::messages::MAX_MESSAGES;
use crate::own_ports::{OWN_PORTS, OwnPorts};
use crate::poller::Poller;
use crate::tcp::{HandedOver, LISTENER, TcpServer};
use crate::thread::Sockets;
use crate::time::now;
use crate::trunks::TrunkEnds;
use crate::udp::{Fetched, UdpSocket};

/// Reads of the socket in one turn. Lower: more turns. Higher: what was read first leaves later.
const MAX_READS: usize = 4;

/// Bytes written before they are handed to the system. Lower: more calls. Higher: what was written for the first is no
/// longer in the core's own cache when the system reads it, and its room is kept for ever.
const MAX_EGRESS_BYTES: usize = 128 << 10;

const SOCKET: u64 = 0;
const COMMANDS: u64 = 1;

/// A core, its sockets, and what Python says to them.
pub struct Worker {
    core: PlaneCore,
    socket: UdpSocket,
    own_ports: OwnPorts,
    fetched: Fetched,
    tcp: TcpServer,
    /// Tokens of TCP under which something has happened.
    ready: Vec<u64>,
    /// Tokens of own ports where something has come.
    ready_ports: Vec<u64>,
    exchange: Arc<Exchange>,
    /// Of all workers, by their numbers.
    exchanges: Arc<[Arc<Exchange>]>,
    poller: Poller,
    gathering: Gathering,
    trunks: Vec<TrunkEnds>,
}

impl Worker {
    /// Ready to run.
    ///
    /// # Errors
    ///
    /// The system has no descriptor left.
    pub fn new(
        core: PlaneCore,
        sockets: Sockets,
        exchanges: Arc<[Arc<Exchange>]>,
        number: usize,
    ) -> std::io::Result<Self> {
        let Sockets { udp: socket, own_ports, tcp } = sockets;
        let exchange = Arc::clone(&exchanges[number]);
        let poller = Poller::new()?;
        poller.add(socket.as_raw_fd(), SOCKET)?;
        poller.add(exchange.commands_fd(), COMMANDS)?;
        tcp.join(&poller)?;
        let gathering = Gathering::default();
        Ok(Self {
            core,
            socket,
            own_ports,
            fetched: Fetched::new(),
            tcp,
            ready: Vec::new(),
            ready_ports: Vec::new(),
            exchange,
            exchanges,
            poller,
            gathering,
            trunks: Vec::new(),
        })
    }

    /// Until Python says `Close`.
    pub fn run(mut self) {
        loop {
            self.wait();
            if !self.read() || !self.read_own_ports() || !self.obey() {
                return;
            }
            self.read_tcp();
            self.hear();
            self.settle();
        }
    }

    /// Until there is something to do: a packet, a command, a timer, or the end of gathering.
    fn wait(&mut self) {
        let now = now();
        if let Some(until) = self.gathering.until() {
            // Woken for every packet, gathering would gain nothing. Commands wait as well, for a millisecond.
            if let Some(left) = left(now, until) {
                std::thread::sleep(left);
            }
            return;
        }
        let due_at = earliest([self.core.next_timeout(), self.tcp.next_timeout()]);
        for token in self.poller.wait(due_at.map(|at| left(now, at).unwrap_or_default())) {
            match token {
                COMMANDS => self.exchange.clear_commands(),
                OWN_PORTS.. => self.ready_ports.push(token),
                LISTENER..OWN_PORTS => self.ready.push(token),
                _ => {}
            }
        }
    }

    /// Take what has come by UDP; false when Python wants an end.
    fn read(&mut self) -> bool {
        for _ in 0..MAX_READS {
            let messages = self.socket.fetch(&mut self.fetched);
            if messages == 0 {
                break;
            }
            if !self.take_fetched() {
                return false;
            }
            if messages < MAX_MESSAGES {
                break;
            }
        }
        true
    }

    /// Likewise by the ports that transports have for themselves. What is left there is told of by the next wait.
    fn read_own_ports(&mut self) -> bool {
        while let Some(token) = self.ready_ports.pop() {
            if self.own_ports.fetch(token, &mut self.fetched) > 0 && !self.take_fetched() {
                return false;
            }
        }
        true
    }

    /// Take what was read; false when Python wants an end.
    ///
    /// Commands are obeyed between reading and taking: what Python said before a datagram was sent holds for it.
    fn take_fetched(&mut self) -> bool {
        if !self.obey() {
            return false;
        }
        let (core, exchange, gathering) = (&mut self.core, &self.exchange, &mut self.gathering);
        self.fetched.give(&mut |at, from, data: &mut [u8]| {
            if protocol_of(data) == WireProtocol::Rtp {
                gathering.arrived(at);
            }
            hand_over(core, exchange, at, from, data);
        });
        true
    }

    fn read_tcp(&mut self) {
        let now = now();
        let (core, exchange) = (&mut self.core, &self.exchange);
        for token in self.ready.drain(..) {
            if token == LISTENER {
                self.tcp.accept(now, &self.poller, |address| core.is_known(address));
            } else {
                let mut take = |at, from, data: &mut [u8]| hand_over(core, exchange, at, from, data);
                self.tcp.handle(now, token, &self.poller, &mut take);
            }
        }
    }

    /// Take what other workers say.
    fn hear(&mut self) {
        let now = now();
        let (core, exchange, gathering) = (&mut self.core, &self.exchange, &mut self.gathering);
        for ends in &mut self.trunks {
            ends.take(|from, crossing| {
                if let Some(at) = crossing.arrived_at() {
                    gathering.arrived(at);
                }
                if catch_unwind(AssertUnwindSafe(|| core.take_crossing(now, from, crossing))).is_err() {
                    exchange.count_failure();
                }
            });
        }
    }

    /// Do what Python wants; false when it wants an end.
    fn obey(&mut self) -> bool {
        for command in self.exchange.take_commands() {
            let now = now();
            // Before anything changes; the core would write all of it at once.
            self.leave(now);
            match command {
                Command::Apply(operations, answer) => answer.give(self.apply(now, operations)),
                Command::Targets(targets) => self.core.set_targets(now, targets),
                Command::Pacing(pacing) => self.core.set_pacing(now, pacing),
                Command::Probes(probes) => self.core.probe(now, probes),
                Command::Feedback(answer) => answer.give(self.core.feedback()),
                Command::Stats(answer) => answer.give(self.core.stats(now)),
                Command::Describe(track, answer) => answer.give(self.core.describe(track)),
                Command::Mirror(spec, home, answer) => answer.give(self.core.set_mirror(now, spec, home)),
                Command::Share(track, with) => self.core.share(track, with),
                Command::Unshare(track, with) => self.core.unshare(track, with),
                Command::Join(ends) => self.trunks.push(ends),
                Command::Adopt(stream, peer) => {
                    let core = &self.core;
                    self.tcp.adopt(now, (stream, peer), &self.poller, &|address| core.is_known(address));
                }
                Command::Close => return false,
            }
        }
        true
    }

    fn apply(&mut self, now: Instant, operations: Vec<Operation>) -> Result<(), Refused> {
        let mut taken = 0;
        let mut refused = Vec::new();
        let operations = operations.into_iter().inspect(|operation| {
            taken += 1;
            if let Operation::AddTransport { transport, own_port: true, .. } = operation
                && !self.own_ports.open(*transport, &self.poller)
            {
                refused.push(*transport);
            }
        });
        let outcome = catch_unwind(AssertUnwindSafe(|| self.core.apply(now, operations)));
        let outcome = outcome.unwrap_or_else(|_| {
            self.exchange.count_failure();
            Ok(())
        });
        for transport in refused {
            self.core.refuse_port(transport);
        }
        outcome.map_err(|error| Refused { at: taken - 1, error })
    }

    /// Do what is due, send what may leave, and say what came up.
    fn settle(&mut self) {
        let now = now();
        // Before what is sent from here, which takes longer; and again behind it.
        self.speak(now);
        if self.core.next_timeout().is_some_and(|at| now >= at) {
            self.leave(now);
            if catch_unwind(AssertUnwindSafe(|| self.core.poll(now))).is_err() {
                self.exchange.count_failure();
            }
        }
        if !self.core.is_departing() {
            self.gathering.end();
        } else if self.gathering.is_over(now) {
            self.leave(now);
        }
        self.speak(now);
        self.send(now);
        // Not before: what was said last to who has ended goes by them.
        self.own_ports.keep(|transport| self.core.has_own_port(transport));
        self.tcp.poll(now, &self.poller, |address| self.core.is_known(address));
        for gone in self.tcp.take_ended() {
            self.core.forget(gone);
        }
        for HandedOver { worker, stream, peer } in self.tcp.take_handed_over() {
            self.exchanges[worker].command(Command::Adopt(stream, peer));
        }
        if self.core.has_output() && self.exchange.wants_batch() {
            self.exchange.give_batch(self.core.drain());
        }
    }

    /// Say to other workers what there is to say.
    fn speak(&mut self, now: Instant) {
        self.trunks.iter_mut().for_each(|ends| ends.give(now, &mut self.core));
    }

    /// Send all that may leave, part by part.
    fn leave(&mut self, now: Instant) {
        while self.core.is_departing() {
            if catch_unwind(AssertUnwindSafe(|| self.core.flush_within(now, MAX_EGRESS_BYTES))).is_err() {
                self.exchange.count_failure();
            }
            self.send(now);
        }
    }

    /// Send what stands in the egress.
    fn send(&mut self, now: Instant) {
        let egress = self.core.egress();
        if egress.is_empty() {
            return;
        }
        let datagrams = egress.messages().iter().map(focus_dataplane::Message::datagrams).sum();
        let blocked =
            self.socket.send(egress) + self.own_ports.send(egress) + self.tcp.send(egress, &self.poller);
        egress.clear();
        self.gathering.sent(now, datagrams);
        if blocked > 0 {
            self.core.count_drops(DropReason::SendBlocked, blocked);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.exchange.end();
    }
}

/// One peer's datagram must not take the port from all others.
fn hand_over(core: &mut PlaneCore, exchange: &Exchange, at: Instant, from: Address, data: &mut [u8]) {
    if catch_unwind(AssertUnwindSafe(|| core.handle_datagram(at, from, data))).is_err() {
        exchange.count_failure();
    }
}

fn left(now: Instant, until: Instant) -> Option<Duration> {
    u64::try_from(until - now).ok().filter(|left| *left > 0).map(Duration::from_nanos)
}
