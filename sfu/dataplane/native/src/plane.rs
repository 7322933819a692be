//! The plane with its socket, on a thread that never takes the interpreter's lock.

use focus_dataplane::Config;
use focus_shell::{Plane as NativePlane, Settings};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::core::batch;
use crate::operations::{Protection, operations, pacing, probes, targets};
use crate::{Batch, Stats, local_error};

/// `focus_shell::Plane`.
#[pyclass]
pub struct Plane(NativePlane);

#[pymethods]
impl Plane {
    #[new]
    fn new(
        host: &str,
        port: u16,
        receive_buffer_bytes: usize,
        consent_timeout_s: f64,
        packet_cache_bytes: usize,
        seed: [u8; 32],
    ) -> PyResult<Self> {
        let host =
            host.parse().map_err(|error| PyValueError::new_err(format!("{host} is no address: {error}")))?;
        let core = Config { consent_timeout_s, packet_cache_bytes };
        let settings = Settings { host, port, receive_buffer_bytes, core };
        let plane = NativePlane::start(settings, seed).map_err(|error| match error.raw_os_error() {
            Some(number) => PyOSError::new_err((number, error.to_string())),
            None => PyOSError::new_err(error.to_string()),
        })?;
        Ok(Self(plane))
    }

    #[getter]
    fn port(&self) -> u16 {
        self.0.port()
    }

    #[getter]
    fn failures(&self) -> u64 {
        self.0.failures()
    }

    fn apply(&self, py: Python<'_>, list: &Bound<'_, PyAny>) -> PyResult<()> {
        let operations = operations(list, Protection::Srtp)?;
        py.detach(|| self.0.apply(operations)).map_err(|error| local_error(py, &error))
    }

    fn set_targets(&self, rows: &[u8]) -> PyResult<()> {
        self.0.set_targets(targets(rows)?);
        Ok(())
    }

    fn set_pacing(&self, rows: &[u8]) -> PyResult<()> {
        self.0.set_pacing(pacing(rows)?);
        Ok(())
    }

    fn probe(&self, rows: &[u8]) -> PyResult<()> {
        self.0.probe(probes(rows)?);
        Ok(())
    }

    fn feedback<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let rows = py.detach(|| self.0.feedback());
        PyBytes::new(py, &rows)
    }

    fn drain<'py>(&self, py: Python<'py>) -> PyResult<Batch<'py>> {
        batch(py, &self.0.drain())
    }

    fn stats<'py>(&self, py: Python<'py>) -> Stats<'py> {
        let stats = py.detach(|| self.0.stats());
        crate::stats(py, &stats)
    }

    fn fileno(&self) -> i32 {
        self.0.batch_fd()
    }

    fn close(&mut self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}
