//! What `focus bench plane` measures with.

use std::io;

use focus_plane::SrtpProfile;
use focus_shell::rig::{FIRST_SSRC, Measured, Rig as NativeRig, Sizes};
use pyo3::exceptions::PyTimeoutError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Elapsed, arrived, expected, delays as packed `u32`, time on a core: all times in nanoseconds.
type Outcome<'py> = (i64, u64, u64, Bound<'py, PyBytes>, i64);

/// `focus_shell::rig::Rig` with `AEAD_AES_128_GCM`.
#[pyclass]
pub struct Rig {
    rig: NativeRig,
    key: Vec<u8>,
}

#[pymethods]
impl Rig {
    /// The SSRC of the first publisher; the others count on from it.
    #[classattr]
    const FIRST_SSRC: u32 = FIRST_SSRC.0;

    #[new]
    fn new(port: u16, publishers: usize, subscribers: usize, key: Vec<u8>) -> PyResult<Self> {
        let keys = (SrtpProfile::AeadAes128Gcm, &*key);
        Ok(Self { rig: NativeRig::new(port, publishers, subscribers, keys)?, key })
    }

    fn check_publisher(&mut self, py: Python<'_>, index: usize, ufrag: &str, password: &str) -> PyResult<()> {
        py.detach(|| self.rig.check_publisher(index, ufrag, password)).map_err(failed)
    }

    fn check_subscriber(
        &mut self,
        py: Python<'_>,
        index: usize,
        ufrag: &str,
        password: &str,
    ) -> PyResult<()> {
        py.detach(|| self.rig.check_subscriber(index, ufrag, password)).map_err(failed)
    }

    fn closed_loop<'py>(
        &mut self,
        py: Python<'py>,
        rounds: usize,
        sizes: Vec<Vec<usize>>,
        share: u64,
        window: u64,
    ) -> PyResult<Outcome<'py>> {
        let sizes: Vec<_> = sizes.into_iter().map(Sizes::new).collect();
        let measured = py.detach(|| self.rig.closed_loop(rounds, &sizes, share, window)).map_err(failed)?;
        Ok(outcome(py, &measured))
    }

    fn paced<'py>(
        &mut self,
        py: Python<'py>,
        rounds: usize,
        sizes: Vec<Vec<usize>>,
        share: u64,
        period_ns: i64,
    ) -> PyResult<Outcome<'py>> {
        let sizes: Vec<_> = sizes.into_iter().map(Sizes::new).collect();
        let measured = py.detach(|| self.rig.paced(rounds, &sizes, share, period_ns)).map_err(failed)?;
        Ok(outcome(py, &measured))
    }

    fn floor<'py>(
        &mut self,
        py: Python<'py>,
        bursts: usize,
        sizes: Vec<usize>,
        segments: usize,
    ) -> PyResult<Outcome<'py>> {
        let sizes = Sizes::new(sizes);
        let keys = (SrtpProfile::AeadAes128Gcm, &*self.key);
        let measured = py.detach(|| self.rig.floor(bursts, &sizes, segments, keys)).map_err(failed)?;
        Ok(outcome(py, &measured))
    }
}

fn outcome<'py>(py: Python<'py>, measured: &Measured) -> Outcome<'py> {
    let delays: Vec<u8> = measured.delays_ns.iter().flat_map(|delay| delay.to_le_bytes()).collect();
    (measured.elapsed_ns, measured.arrived, measured.expected, PyBytes::new(py, &delays), measured.cpu_ns)
}

fn failed(error: io::Error) -> PyErr {
    if error.kind() == io::ErrorKind::TimedOut {
        return PyTimeoutError::new_err(error.to_string());
    }
    error.into()
}
