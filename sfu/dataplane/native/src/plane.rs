//! The plane with its sockets, on threads that never take the interpreter's lock.

use focus_dataplane::Config;
use focus_shell::{Plane as NativePlane, Settings};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::core::batch;
use crate::operations::{Protection, operations, pacing, probes, targets};
use crate::{Batch, Stats, local_error};

/// `focus_shell::Plane`, until it is closed.
#[pyclass]
pub struct Plane {
    running: Option<NativePlane>,
    ports: Vec<u16>,
    tcp_port: Option<u16>,
}

#[pymethods]
impl Plane {
    /// With a `sfu.config.MediaConfig` and 32 bytes of randomness.
    #[new]
    fn new(config: &Bound<'_, PyAny>, seed: [u8; 32]) -> PyResult<Self> {
        let host: String = config.getattr("host")?.extract()?;
        let settings = Settings {
            host: host
                .parse()
                .map_err(|error| PyValueError::new_err(format!("{host} is no address: {error}")))?,
            port: config.getattr("port")?.extract()?,
            workers: config.getattr("workers")?.extract()?,
            receive_buffer_bytes: config.getattr("receive_buffer_bytes")?.extract()?,
            tcp_port: config.getattr("wanted_tcp_port")?.extract()?,
            core: Config {
                consent_timeout_s: config.getattr("consent_timeout_s")?.extract()?,
                packet_cache_bytes: config.getattr("packet_cache_bytes")?.extract()?,
            },
        };
        let running =
            NativePlane::start(settings, seed).map_err(|error| PyOSError::new_err(error.to_string()))?;
        Ok(Self { ports: running.ports(), tcp_port: running.tcp_port(), running: Some(running) })
    }

    #[getter]
    fn ports(&self) -> Vec<u16> {
        self.ports.clone()
    }

    #[getter]
    fn tcp_port(&self) -> Option<u16> {
        self.tcp_port
    }

    #[getter]
    fn failures(&self) -> PyResult<u64> {
        Ok(self.open()?.failures())
    }

    fn apply(&self, py: Python<'_>, list: &Bound<'_, PyAny>) -> PyResult<()> {
        let operations = operations(list, Protection::Srtp)?;
        let plane = self.open()?;
        py.detach(|| plane.apply(operations)).map_err(|error| local_error(py, &error))
    }

    fn set_targets(&self, rows: &[u8]) -> PyResult<()> {
        self.open()?.set_targets(targets(rows)?);
        Ok(())
    }

    fn set_pacing(&self, rows: &[u8]) -> PyResult<()> {
        self.open()?.set_pacing(pacing(rows)?);
        Ok(())
    }

    fn probe(&self, rows: &[u8]) -> PyResult<()> {
        self.open()?.probe(probes(rows)?);
        Ok(())
    }

    fn feedback<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let plane = self.open()?;
        let rows = py.detach(|| plane.feedback());
        Ok(PyBytes::new(py, &rows))
    }

    fn drain<'py>(&self, py: Python<'py>) -> PyResult<Batch<'py>> {
        batch(py, &self.open()?.drain())
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Stats<'py>> {
        let plane = self.open()?;
        let stats = py.detach(|| plane.stats());
        Ok(crate::stats(py, &stats))
    }

    fn fileno(&self) -> PyResult<i32> {
        Ok(self.open()?.batch_fd())
    }

    fn close(&mut self, py: Python<'_>) {
        let running = self.running.take();
        py.detach(|| drop(running));
    }
}

impl Plane {
    fn open(&self) -> PyResult<&NativePlane> {
        self.running.as_ref().ok_or_else(|| PyRuntimeError::new_err("the plane is closed"))
    }
}
