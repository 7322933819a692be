//! The plane's core for tests and simulations: no socket, no thread, time as an argument.

use std::net::{IpAddr, SocketAddr};

use focus_dataplane::Config;
use focus_ice::{Address, AddressKind};
use focus_shell::Joined;
use focus_units::{Instant, TransportId};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::operations::{Protection, events, operations, pacing, probes, targets};
use crate::{Batch, Stats, local_error};

/// `focus_shell::Joined`. What its methods return is to be sent: (host, port, whose own port it leaves from if from one, datagram).
#[pyclass(unsendable)]
pub struct Core {
    plane: Joined,
    protection: Protection,
    buffer: Vec<u8>,
}

type Transmits<'py> = Bound<'py, PyList>;

#[pymethods]
impl Core {
    #[new]
    fn new(
        consent_timeout_s: f64,
        packet_cache_bytes: usize,
        workers: usize,
        seed: [u8; 32],
        is_encrypted: bool,
    ) -> Self {
        let config = Config { consent_timeout_s, packet_cache_bytes };
        Self {
            plane: Joined::new(config, seed, workers),
            protection: if is_encrypted { Protection::Srtp } else { Protection::Null },
            buffer: Vec::new(),
        }
    }

    fn apply<'py>(
        &mut self,
        py: Python<'py>,
        now: i64,
        list: &Bound<'py, PyAny>,
    ) -> PyResult<Transmits<'py>> {
        let operations = operations(list, self.protection)?;
        let applied = self.plane.apply(Instant(now), operations);
        let transmits = self.transmits(py)?;
        applied.map_err(|error| local_error(py, &error))?;
        Ok(transmits)
    }

    fn set_targets(&mut self, now: i64, rows: &[u8]) -> PyResult<()> {
        self.plane.set_targets(Instant(now), targets(rows)?);
        Ok(())
    }

    fn set_pacing(&mut self, now: i64, rows: &[u8]) -> PyResult<()> {
        self.plane.set_pacing(Instant(now), pacing(rows)?);
        Ok(())
    }

    fn probe(&mut self, now: i64, rows: &[u8]) -> PyResult<()> {
        self.plane.probe(Instant(now), probes(rows)?);
        Ok(())
    }

    fn feedback<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.plane.feedback())
    }

    fn handle_datagram<'py>(
        &mut self,
        py: Python<'py>,
        now: i64,
        address: (String, u16, Option<u32>),
        data: &[u8],
        worker: Option<usize>,
    ) -> PyResult<Transmits<'py>> {
        let (host, port, own) = address;
        let host: IpAddr =
            host.parse().map_err(|error| PyValueError::new_err(format!("{host} is no address: {error}")))?;
        self.buffer.clear();
        self.buffer.extend_from_slice(data);
        let kind = own.map_or(AddressKind::Udp, |transport| AddressKind::Own(TransportId(transport)));
        let from = Address::from(SocketAddr::new(host, port)).carried_by(kind);
        self.plane.handle_datagram(Instant(now), from, &mut self.buffer, worker);
        self.transmits(py)
    }

    /// A worker hears nothing of the others for a while, or hears them again; what to send of that.
    fn stall<'py>(
        &mut self,
        py: Python<'py>,
        now: i64,
        worker: usize,
        is_stalled: bool,
    ) -> PyResult<Transmits<'py>> {
        self.plane.stall(Instant(now), worker, is_stalled);
        self.transmits(py)
    }

    fn poll<'py>(&mut self, py: Python<'py>, now: i64) -> PyResult<Transmits<'py>> {
        self.plane.poll(Instant(now));
        self.transmits(py)
    }

    fn next_timeout(&mut self) -> Option<i64> {
        self.plane.next_timeout().map(|at| at.0)
    }

    #[getter]
    fn has_output(&self) -> bool {
        self.plane.has_output()
    }

    fn drain<'py>(&mut self, py: Python<'py>) -> PyResult<Batch<'py>> {
        batch(py, &self.plane.drain())
    }

    fn stats<'py>(&mut self, py: Python<'py>, now: i64) -> Stats<'py> {
        crate::stats(py, &self.plane.stats(Instant(now)))
    }
}

impl Core {
    fn transmits<'py>(&mut self, py: Python<'py>) -> PyResult<Transmits<'py>> {
        let list = PyList::empty(py);
        for egress in self.plane.egresses() {
            for (to, datagram) in egress.datagrams() {
                let own = match to.kind() {
                    AddressKind::Own(transport) => Some(transport.0),
                    AddressKind::Udp | AddressKind::Tcp(_) => None,
                };
                list.append((to.ip().to_string(), to.port(), own, PyBytes::new(py, datagram)))?;
            }
            egress.clear();
        }
        Ok(list)
    }
}

/// Datagrams with their transports, events, and answers to requests with where they came from.
pub fn batch<'py>(py: Python<'py>, batch: &focus_dataplane::Batch) -> PyResult<Batch<'py>> {
    let datagrams = PyList::empty(py);
    for (transport, data) in &batch.datagrams {
        datagrams.append((transport.0, PyBytes::new(py, data)))?;
    }
    let responses = PyList::empty(py);
    for (transport, from, data) in &batch.responses {
        responses.append((transport.0, from.ip().to_string(), from.port(), PyBytes::new(py, data)))?;
    }
    Ok((datagrams, events(py, &batch.events)?, responses))
}
