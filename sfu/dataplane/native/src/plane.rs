//! The plane with its socket, on a thread that never takes the interpreter's lock.

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
    plane: Option<NativePlane>,
    port: u16,
    tcp_port: Option<u16>,
}

#[pymethods]
impl Plane {
    #[new]
    fn new(
        host: &str,
        port: u16,
        tcp_port: Option<u16>,
        receive_buffer_bytes: usize,
        consent_timeout_s: f64,
        packet_cache_bytes: usize,
        seed: [u8; 32],
    ) -> PyResult<Self> {
        let host =
            host.parse().map_err(|error| PyValueError::new_err(format!("{host} is no address: {error}")))?;
        let core = Config { consent_timeout_s, packet_cache_bytes };
        let settings = Settings { host, port, receive_buffer_bytes, tcp_port, core };
        let plane = NativePlane::start(settings, seed).map_err(|error| match error.raw_os_error() {
            Some(number) => PyOSError::new_err((number, error.to_string())),
            None => PyOSError::new_err(error.to_string()),
        })?;
        Ok(Self { port: plane.port(), tcp_port: plane.tcp_port(), plane: Some(plane) })
    }

    #[getter]
    fn port(&self) -> u16 {
        self.port
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
        let plane = self.plane.take();
        py.detach(|| drop(plane));
    }
}

impl Plane {
    fn open(&self) -> PyResult<&NativePlane> {
        self.plane.as_ref().ok_or_else(|| PyRuntimeError::new_err("the plane is closed"))
    }
}
