//! A worker on a thread of its own, as the plane holds it.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use focus_dataplane::{Config, PlaneCore, Random};

use crate::exchange::{Command, Exchange};
use crate::own_ports::OwnPorts;
use crate::plane::Settings;
use crate::tcp::TcpServer;
use crate::udp::UdpSocket;
use crate::worker::Worker;

/// Where one worker listens.
pub(crate) struct Sockets {
    pub(crate) udp: UdpSocket,
    pub(crate) own_ports: OwnPorts,
    pub(crate) tcp: TcpServer,
}

impl Sockets {
    /// Those of the worker with this number: UDP ports count on from the first worker's, which listens for TCP.
    ///
    /// # Errors
    ///
    /// They can't be bound, or there are no such ports.
    pub(crate) fn bind(settings: &Settings, number: u16) -> io::Result<Self> {
        let port = counted_on(settings.port, number)?;
        let udp = UdpSocket::bind(settings.host, port, settings.receive_buffer_bytes)
            .map_err(|error| named("UDP", port, &error))?;
        let tcp = match settings.tcp_port {
            Some(port) if number == 0 => {
                TcpServer::bind(settings.host, port).map_err(|error| named("TCP", port, &error))?
            }
            _ => TcpServer::off(),
        };
        let own_ports = OwnPorts::new(settings.host, settings.receive_buffer_bytes);
        Ok(Self { udp, own_ports, tcp })
    }
}

/// A worker's exchange and ports, and the thread that ends with this value.
pub(crate) struct WorkerThread {
    pub(crate) exchange: Arc<Exchange>,
    /// Of UDP.
    pub(crate) port: u16,
    pub(crate) tcp_port: Option<u16>,
    thread: Option<JoinHandle<()>>,
}

impl WorkerThread {
    /// Begin to listen.
    ///
    /// # Errors
    ///
    /// The system has no thread or descriptor left.
    pub(crate) fn start(
        number: usize,
        sockets: Sockets,
        config: Config,
        seed: [u8; 32],
        exchanges: Arc<[Arc<Exchange>]>,
    ) -> io::Result<Self> {
        let (port, tcp_port) = (sockets.udp.port(), sockets.tcp.port());
        let exchange = Arc::clone(&exchanges[number]);
        let (started, starts) = std::sync::mpsc::sync_channel(1);
        // The core is made on its thread: its packets are shared within it, and never leave it.
        let thread = std::thread::Builder::new().name(format!("focus-plane-{number}")).spawn(move || {
            let core = PlaneCore::new(config, Random::from_seed(seed));
            match Worker::new(core, sockets, exchanges, number) {
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

    /// Say that it is to end: several can end at once.
    pub(crate) fn stop(&self) {
        self.exchange.command(Command::Close);
    }

    /// Stop, and release the sockets.
    pub(crate) fn end(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            // A worker that panicked has released its sockets as well.
            let _ = thread.join();
        }
    }
}

impl Drop for WorkerThread {
    fn drop(&mut self) {
        self.end();
    }
}

/// A worker's port; 0, any that is free, stays 0.
fn counted_on(first: u16, number: u16) -> io::Result<u16> {
    let port = if first == 0 { Some(0) } else { first.checked_add(number) };
    port.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("there is no port {number} above {first}"))
    })
}

fn named(kind: &str, port: u16, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{kind} port {port}: {error}"))
}
