//! The Python module `loadtest._swarm`; typed and documented by `loadtest/_swarm.pyi`.

use std::net::Ipv4Addr;
use std::os::fd::RawFd;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::effects::Event;
use crate::engine::Settings;
use crate::error::Error;
use crate::handle;
use crate::histogram::{BUCKETS, lower_bound};
use crate::schedule::{MAX_PAYLOAD_BYTES, MIN_PAYLOAD_BYTES, Schedule};
use crate::stats::{PARTICIPANT_FIELDS, STREAM_FIELDS};

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        PyValueError::new_err(error.to_string())
    }
}

#[pyclass(frozen)]
struct Swarm {
    swarm: handle::Swarm,
}

#[pymethods]
impl Swarm {
    #[new]
    #[pyo3(signature = (*, address = "127.0.0.1", full_share = 0.1, tick_ms = 5.0))]
    fn new(py: Python<'_>, address: &str, full_share: f64, tick_ms: f64) -> PyResult<Self> {
        let address: Ipv4Addr =
            address.parse().map_err(|_| PyValueError::new_err(format!("{address} is no IPv4 address")))?;
        let settings = Settings { address, full_share, tick_ns: (tick_ms * 1e6) as i64 };
        Ok(Self { swarm: py.detach(|| handle::Swarm::start(settings))? })
    }

    fn fileno(&self) -> RawFd {
        self.swarm.event_fd()
    }

    #[pyo3(signature = (*, audio = 1, video = 1))]
    fn add_receiver(&self, py: Python<'_>, audio: u32, video: u32) -> PyResult<(u32, String)> {
        Ok(py.detach(|| self.swarm.add_receiver(audio, video))?)
    }

    #[pyo3(signature = (frames, period_ms, *, keyframe_interval_ms = 3_000.0))]
    fn add_publisher(
        &self,
        py: Python<'_>,
        frames: Vec<Vec<u16>>,
        period_ms: f64,
        keyframe_interval_ms: f64,
    ) -> PyResult<(u32, String)> {
        let schedule =
            Schedule::new(frames, period_ms, keyframe_interval_ms).map_err(PyValueError::new_err)?;
        Ok(py.detach(|| self.swarm.add_publisher(schedule))?)
    }

    fn accept_answer(&self, py: Python<'_>, id: u32, sdp: String) -> PyResult<()> {
        let visit =
            || self.swarm.visit(id, move |participant, now, out| participant.accept_answer(&sdp, now, out));
        Ok(py.detach(visit)?)
    }

    fn accept_offer(&self, py: Python<'_>, id: u32, sdp: String) -> PyResult<String> {
        let visit =
            || self.swarm.visit(id, move |participant, now, out| participant.accept_offer(&sdp, now, out));
        Ok(py.detach(visit)?)
    }

    fn add_candidate(&self, py: Python<'_>, id: u32, candidate: String) -> PyResult<()> {
        let visit = || {
            self.swarm.visit(id, move |participant, now, out| participant.add_candidate(&candidate, now, out))
        };
        Ok(py.detach(visit)?)
    }

    fn send_text(&self, py: Python<'_>, id: u32, text: String) -> PyResult<()> {
        let visit =
            || self.swarm.visit(id, move |participant, now, out| participant.send_text(&text, now, out));
        Ok(py.detach(visit)?)
    }

    fn events(&self, py: Python<'_>) -> Vec<(u32, &'static str, String)> {
        py.detach(|| self.swarm.events().into_iter().map(|(id, event)| told(id, event)).collect())
    }

    fn start_media(&self, py: Python<'_>) -> PyResult<()> {
        Ok(py.detach(|| self.swarm.set_sending(true))?)
    }

    fn stop_media(&self, py: Python<'_>) -> PyResult<()> {
        Ok(py.detach(|| self.swarm.set_sending(false))?)
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = py.detach(|| self.swarm.stats())?;
        let rows =
            |numbers: &[i64]| numbers.iter().flat_map(|number| number.to_ne_bytes()).collect::<Vec<_>>();
        let delays = stats.delays.iter().flat_map(|count| count.to_ne_bytes()).collect::<Vec<_>>();
        let found = PyDict::new(py);
        found.set_item("participants", PyBytes::new(py, &rows(&stats.participants)))?;
        found.set_item("streams", PyBytes::new(py, &rows(&stats.streams)))?;
        found.set_item("delays", PyBytes::new(py, &delays))?;
        found.set_item("lateness_max_ns", stats.lateness_max_ns)?;
        found.set_item("full_receivers", stats.full_receivers)?;
        found.set_item("lean_receivers", stats.lean_receivers)?;
        found.set_item("cpu_ns", stats.cpu_ns)?;
        Ok(found)
    }

    fn remove(&self, py: Python<'_>, id: u32) -> PyResult<()> {
        Ok(py.detach(|| self.swarm.remove(id))?)
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.swarm.close());
    }
}

fn told(id: u32, event: Event) -> (u32, &'static str, String) {
    match event {
        Event::Connected => (id, "connected", String::new()),
        Event::ChannelOpen(label) => (id, "channel_open", label),
        Event::Text(text) => (id, "text", text),
        Event::KeyframeWanted => (id, "keyframe_wanted", String::new()),
        Event::Closed(reason) => (id, "closed", reason),
    }
}

#[pymodule]
fn _swarm(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Swarm>()?;
    module.add("PARTICIPANT_FIELDS", PARTICIPANT_FIELDS)?;
    module.add("STREAM_FIELDS", STREAM_FIELDS)?;
    module.add("DELAY_BOUNDS_NS", (0..BUCKETS).map(lower_bound).collect::<Vec<_>>())?;
    module.add("MIN_PAYLOAD_BYTES", MIN_PAYLOAD_BYTES)?;
    module.add("MAX_PAYLOAD_BYTES", MAX_PAYLOAD_BYTES)
}
