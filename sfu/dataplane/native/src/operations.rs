//! Operations as Python writes them (`sfu/plane.py`), read into values of our own.

use focus_plane::{
    Codec, Credentials, EncodingSpec, Extension, ExtensionIds, Operation, PayloadFormat, SetRoute, SetTrack,
    SrtpProfile,
};
use focus_units::{Kind, RouteId, Ssrc, TrackHandle, TransportId};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// How the packets of all transports are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// As negotiated.
    Srtp,
    /// Not at all: whole calls on a virtual clock, where a test reads the packets.
    Null,
}

/// Read operations, in order.
pub fn operations(list: &Bound<'_, PyAny>, protection: Protection) -> PyResult<Vec<Operation>> {
    list.try_iter()?.map(|item| operation(&item?, protection)).collect()
}

fn operation(item: &Bound<'_, PyAny>, protection: Protection) -> PyResult<Operation> {
    let name = item.get_type().name()?;
    Ok(match name.to_str()? {
        "AddTransport" => Operation::AddTransport {
            transport: transport(item)?,
            credentials: credentials(item)?,
            worker: item.getattr("worker")?.extract()?,
            own_port: item.getattr("own_port")?.extract()?,
        },
        "SetCredentials" => {
            Operation::SetCredentials { transport: transport(item)?, credentials: credentials(item)? }
        }
        "InstallSrtp" => Operation::InstallSrtp {
            transport: transport(item)?,
            profile: match protection {
                Protection::Srtp => profile(&item.getattr("profile")?)?,
                Protection::Null => SrtpProfile::Null,
            },
            receive_key: item.getattr("receive_key")?.extract()?,
            send_key: item.getattr("send_key")?.extract()?,
        },
        "RemoveTransport" => Operation::RemoveTransport { transport: transport(item)? },
        "SetTrack" => Operation::SetTrack(Box::new(set_track(item)?)),
        "RemoveTrack" => Operation::RemoveTrack { track: TrackHandle(number(item, "track")?) },
        "SetRoute" => Operation::SetRoute(Box::new(set_route(item)?)),
        "RemoveRoute" => Operation::RemoveRoute { route: RouteId(number(item, "route")?) },
        "RequestKeyframe" => Operation::RequestKeyframe {
            track: TrackHandle(number(item, "track")?),
            encoding: item.getattr("encoding")?.extract()?,
        },
        "SendDatagram" => {
            Operation::SendDatagram { transport: transport(item)?, data: item.getattr("data")?.extract()? }
        }
        "SendStun" => Operation::SendStun {
            transport: transport(item)?,
            host: text(item, "host")?,
            port: item.getattr("port")?.extract()?,
            data: item.getattr("data")?.extract()?,
        },
        "SelectAddress" => Operation::SelectAddress {
            transport: transport(item)?,
            host: text(item, "host")?,
            port: item.getattr("port")?.extract()?,
        },
        other => return Err(PyTypeError::new_err(format!("{other} is no operation of a plane"))),
    })
}

fn set_track(item: &Bound<'_, PyAny>) -> PyResult<SetTrack> {
    Ok(SetTrack {
        track: TrackHandle(number(item, "track")?),
        transport: transport(item)?,
        mid: text(item, "mid")?,
        kind: match text(item, "kind")?.as_str() {
            "audio" => Kind::Audio,
            "video" => Kind::Video,
            other => return Err(PyValueError::new_err(format!("a track of kind {other}"))),
        },
        formats: formats(item)?,
        encodings: item
            .getattr("encodings")?
            .try_iter()?
            .map(|encoding| encoding_spec(&encoding?))
            .collect::<PyResult<_>>()?,
        extensions: extensions(item)?,
        cname: text(item, "cname")?.into(),
    })
}

fn set_route(item: &Bound<'_, PyAny>) -> PyResult<SetRoute> {
    Ok(SetRoute {
        route: RouteId(number(item, "route")?),
        track: TrackHandle(number(item, "track")?),
        transport: transport(item)?,
        mid: text(item, "mid")?.into(),
        ssrc: Ssrc(number(item, "ssrc")?),
        rtx_ssrc: optional(item, "rtx_ssrc")?.map(Ssrc),
        formats: formats(item)?.into(),
        extensions: extensions(item)?,
        cname: text(item, "cname")?.into(),
        mixed_extensions: item.getattr("mixed_extensions")?.extract()?,
    })
}

fn encoding_spec(item: &Bound<'_, PyAny>) -> PyResult<EncodingSpec> {
    Ok(EncodingSpec {
        rid: text(item, "rid")?,
        ssrc: optional(item, "ssrc")?.map(Ssrc),
        rtx_ssrc: optional(item, "rtx_ssrc")?.map(Ssrc),
    })
}

fn formats(item: &Bound<'_, PyAny>) -> PyResult<Vec<PayloadFormat>> {
    item.getattr("formats")?.try_iter()?.map(|format| payload_format(&format?)).collect()
}

fn payload_format(item: &Bound<'_, PyAny>) -> PyResult<PayloadFormat> {
    Ok(PayloadFormat {
        key: text(item, "key")?,
        codec: match text(item, "codec")?.as_str() {
            "opus" => Codec::Opus,
            "VP8" => Codec::Vp8,
            "VP9" => Codec::Vp9,
            "H264" => Codec::H264,
            "AV1" => Codec::Av1,
            other => return Err(PyValueError::new_err(format!("codec {other} is unknown"))),
        },
        payload_type: item.getattr("payload_type")?.extract()?,
        clock_rate: number(item, "clock_rate")?,
        rtx_payload_type: item.getattr("rtx_payload_type")?.extract()?,
    })
}

fn extensions(item: &Bound<'_, PyAny>) -> PyResult<ExtensionIds> {
    let pairs = PyDict::new(item.py());
    pairs.update(item.getattr("extensions")?.cast::<pyo3::types::PyMapping>()?)?;
    let mut ids = ExtensionIds::default();
    for (uri, id) in pairs {
        let uri: String = uri.getattr("value")?.extract()?;
        let extension = Extension::of_uri(&uri)
            .ok_or_else(|| PyValueError::new_err(format!("extension {uri} is unknown")))?;
        ids.set(extension, id.extract()?);
    }
    Ok(ids)
}

fn credentials(item: &Bound<'_, PyAny>) -> PyResult<Credentials> {
    let credentials = item.getattr("credentials")?;
    Ok(Credentials { ufrag: text(&credentials, "ufrag")?, password: text(&credentials, "password")? })
}

fn profile(value: &Bound<'_, PyAny>) -> PyResult<SrtpProfile> {
    let name: String = value.getattr("value")?.extract()?;
    match name.as_str() {
        "SRTP_AEAD_AES_128_GCM" => Ok(SrtpProfile::AeadAes128Gcm),
        "SRTP_AES128_CM_SHA1_80" => Ok(SrtpProfile::Aes128CmSha1_80),
        "SRTP_AEAD_AES_256_GCM" => Ok(SrtpProfile::AeadAes256Gcm),
        other => Err(PyValueError::new_err(format!("SRTP profile {other} is unknown"))),
    }
}

fn transport(item: &Bound<'_, PyAny>) -> PyResult<TransportId> {
    number(item, "transport").map(TransportId)
}

fn number(item: &Bound<'_, PyAny>, name: &str) -> PyResult<u32> {
    item.getattr(name)?.extract()
}

fn optional(item: &Bound<'_, PyAny>, name: &str) -> PyResult<Option<u32>> {
    item.getattr(name)?.extract()
}

fn text(item: &Bound<'_, PyAny>, name: &str) -> PyResult<String> {
    item.getattr(name)?.extract()
}

/// Rows of packed little-endian arrays, as `numpy` gives them with `tobytes`.
pub fn rows<const BYTES: usize>(data: &[u8]) -> PyResult<impl Iterator<Item = &[u8; BYTES]>> {
    let (rows, rest) = data.as_chunks::<BYTES>();
    if rest.is_empty() {
        return Ok(rows.iter());
    }
    Err(PyValueError::new_err(format!("{} bytes are no rows of {BYTES}", data.len())))
}

/// Layer choices: `TARGET_DTYPE`.
pub fn targets(data: &[u8]) -> PyResult<Vec<focus_plane::Target>> {
    Ok(rows::<6>(data)?
        .map(|row| focus_plane::Target {
            route: RouteId(u32::from_le_bytes(field(row, 0))),
            encoding: row[4] as i8,
            temporal: row[5] as i8,
        })
        .collect())
}

/// How transports are sent to: `PACING_DTYPE`.
pub fn pacing(data: &[u8]) -> PyResult<Vec<focus_plane::Pacing>> {
    Ok(rows::<24>(data)?
        .map(|row| focus_plane::Pacing {
            transport: TransportId(u32::from_le_bytes(field(row, 0))),
            rate_bps: f64::from_le_bytes(field(row, 4)),
            padding_bps: f64::from_le_bytes(field(row, 12)),
            queue_limit_ms: f32::from_le_bytes(field(row, 20)),
        })
        .collect())
}

/// Probes: `PROBE_DTYPE`.
pub fn probes(data: &[u8]) -> PyResult<Vec<focus_plane::Probe>> {
    Ok(rows::<20>(data)?
        .map(|row| focus_plane::Probe {
            transport: TransportId(u32::from_le_bytes(field(row, 0))),
            cluster: u32::from_le_bytes(field(row, 4)),
            rate_bps: f64::from_le_bytes(field(row, 8)),
            size_bytes: u32::from_le_bytes(field(row, 16)),
        })
        .collect())
}

/// A field of a row.
fn field<const BYTES: usize>(row: &[u8], at: usize) -> [u8; BYTES] {
    let mut value = [0; BYTES];
    value.copy_from_slice(&row[at..at + BYTES]);
    value
}

/// Events as tuples whose first is the name of the class in `sfu/plane.py`.
pub fn events<'py>(py: Python<'py>, events: &[focus_plane::Event]) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for event in events {
        match event {
            focus_plane::Event::PairSelected { transport } => list.append(("PairSelected", transport.0))?,
            focus_plane::Event::ConsentLost { transport } => list.append(("ConsentLost", transport.0))?,
            focus_plane::Event::PortRefused { transport } => list.append(("PortRefused", transport.0))?,
            focus_plane::Event::StreamBound { track, encoding, ssrc } => {
                list.append(("StreamBound", track.0, *encoding, ssrc.0))?;
            }
            focus_plane::Event::StreamEnded { track, encoding } => {
                list.append(("StreamEnded", track.0, *encoding))?;
            }
        }
    }
    Ok(list)
}
