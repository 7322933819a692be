//! The native data plane as a Python module: `sfu/dataplane/native_plane.py` wraps it.

mod core;
mod operations;
mod plane;
mod rig;

use focus_plane::{DropReason, LocalError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

/// Datagrams, events and answers to requests that came up.
type Batch<'py> = (Bound<'py, PyList>, Bound<'py, PyList>, Bound<'py, PyList>);

/// When, three arrays as bytes, and drops by name.
type Stats<'py> = (i64, Bound<'py, PyBytes>, Bound<'py, PyBytes>, Bound<'py, PyBytes>, Bound<'py, PyDict>);

/// `sfu.errors.LocalError`.
fn local_error(py: Python<'_>, error: &LocalError) -> PyErr {
    let raised = py
        .import("sfu.errors")
        .and_then(|errors| errors.getattr("LocalError"))
        .and_then(|class| class.call1((error.0.as_str(),)));
    match raised {
        Ok(raised) => PyErr::from_value(raised),
        Err(error) => error,
    }
}

fn stats<'py>(py: Python<'py>, stats: &focus_dataplane::Stats) -> Stats<'py> {
    let drops = PyDict::new(py);
    for (reason, packets) in stats.drops.iter() {
        // A fresh dictionary takes any string.
        drops.set_item(DropReason::ALL[reason as usize].1, packets).expect("a fresh dictionary");
    }
    (
        stats.now.0,
        PyBytes::new(py, &stats.transports),
        PyBytes::new(py, &stats.encodings),
        PyBytes::new(py, &stats.routes),
        drops,
    )
}

/// The module.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<core::Core>()?;
    module.add_class::<plane::Plane>()?;
    module.add_class::<rig::Rig>()
}
