//! A plane on a thread of its own, as Python holds it.

use std::io;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::thread::JoinHandle;

use focus_dataplane::{Batch, Config, PlaneCore, Random, Stats};
use focus_plane::{LocalError, Operation, Pacing, Probe, Target};

use crate::exchange::{Command, Exchange};
use crate::tcp::TcpServer;
use crate::udp::UdpSocket;
use crate::worker::Worker;

/// Where a plane listens, and what its core is told.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // as in sfu/config.py
pub struct Settings {
    pub host: IpAddr,
    pub port: u16,
    pub receive_buffer_bytes: usize,
    /// Where peers without UDP connect to; `None`: nowhere.
    pub tcp_port: Option<u16>,
    pub core: Config,
}

/// One worker with its socket. Every call returns as soon as the worker has taken notice.
pub struct Plane {
    exchange: Arc<Exchange>,
    port: u16,
    tcp_port: Option<u16>,
    thread: Option<JoinHandle<()>>,
}

impl Plane {
    /// Listen.
    ///
    /// # Errors
    ///
    /// The address can't be bound, or the system has no thread or descriptor left.
    pub fn start(settings: Settings, seed: [u8; 32]) -> io::Result<Self> {
        let socket = UdpSocket::bind(settings.host, settings.port, settings.receive_buffer_bytes)?;
        let port = socket.port();
        let tcp = match settings.tcp_port {
            Some(port) => TcpServer::bind(settings.host, port)?,
            None => TcpServer::off(),
        };
        let tcp_port = tcp.port();
        let exchange = Arc::new(Exchange::new()?);
        let worker_exchange = Arc::clone(&exchange);
        let (started, starts) = std::sync::mpsc::sync_channel(1);
        // The core is made on its thread: its packets are shared within it, and never leave it.
        let thread = std::thread::Builder::new().name("focus-plane".into()).spawn(move || {
            let core = PlaneCore::new(settings.core, Random::from_seed(seed));
            match Worker::new(core, socket, tcp, worker_exchange) {
                Ok(worker) => {
                    let _ = started.send(Ok(()));
                    worker.run();
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            }
        })?;
        starts.recv().unwrap_or_else(|_| Err(io::Error::other("the worker ended at once")))?;
        Ok(Self { exchange, port, tcp_port, thread: Some(thread) })
    }

    /// The port that was bound.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The TCP port that was bound, where peers can connect.
    pub fn tcp_port(&self) -> Option<u16> {
        self.tcp_port
    }

    /// Carry out operations in order.
    ///
    /// # Errors
    ///
    /// An operation contradicts an earlier one.
    pub fn apply(&self, operations: Vec<Operation>) -> Result<(), LocalError> {
        self.exchange.ask(|answer| Command::Apply(operations, answer)).unwrap_or(Ok(()))
    }

    /// Layer choices.
    pub fn set_targets(&self, targets: Vec<Target>) {
        self.exchange.command(Command::Targets(targets));
    }

    /// How transports are sent to.
    pub fn set_pacing(&self, pacing: Vec<Pacing>) {
        self.exchange.command(Command::Pacing(pacing));
    }

    /// Measure what paths carry.
    pub fn probe(&self, probes: Vec<Probe>) {
        self.exchange.command(Command::Probes(probes));
    }

    /// What subscribers have said of packets since the last call, as rows of `FEEDBACK_DTYPE`.
    pub fn feedback(&self) -> Vec<u8> {
        self.exchange.ask(Command::Feedback).unwrap_or_default()
    }

    /// Everything that came up since the last call.
    pub fn drain(&self) -> Batch {
        self.exchange.take_batch()
    }

    /// All counters now.
    pub fn stats(&self) -> Stats {
        self.exchange.ask(Command::Stats).unwrap_or_default()
    }

    /// Readable while `drain` would return something.
    pub fn batch_fd(&self) -> RawFd {
        self.exchange.batch_fd()
    }

    /// Panics that were contained.
    pub fn failures(&self) -> u64 {
        self.exchange.failures()
    }

    /// Stop, and release the socket.
    pub fn close(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.exchange.command(Command::Close);
            // A worker that panicked has released its socket as well.
            let _ = thread.join();
        }
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
