//! What a payload tells of itself: where key frames start, and its temporal layer.

use focus_plane::Codec;
use focus_rtp::av1::starts_av1_key_frame;
use focus_rtp::dependency_descriptor::{MANDATORY_BYTES, parse_dependency_descriptor};
use focus_rtp::h264::starts_h264_key_frame;
use focus_rtp::vp8::{Vp8Descriptor, parse_vp8};
use focus_rtp::vp9::parse_vp9;
use focus_units::ParseError;

/// What forwarding needs to know of one payload.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct PayloadFacts {
    pub starts_key_frame: bool,
    /// Temporal layer where frames above a layer may be left out.
    pub temporal: Option<i8>,
    pub layer_sync: bool,
    pub vp8: Option<Vp8Descriptor>,
}

/// Read what a payload tells. One that is empty tells nothing.
///
/// Where a dependency descriptor came along, it says where key frames start: the payload may be end-to-end
/// encrypted. One that is malformed says nothing.
///
/// # Errors
///
/// The payload descriptor ends early.
pub fn inspect(
    codec: Codec,
    payload: &[u8],
    dependency_descriptor: Option<&[u8]>,
) -> Result<PayloadFacts, ParseError> {
    if payload.is_empty() {
        return Ok(PayloadFacts::default());
    }
    let told = dependency_descriptor.and_then(told_by);
    let starts_key_frame = match codec {
        Codec::Opus => false,
        Codec::Vp8 => {
            let vp8 = parse_vp8(payload)?;
            return Ok(PayloadFacts {
                starts_key_frame: told.unwrap_or(vp8.starts_key_frame()),
                temporal: vp8.temporal_id().map(|id| id as i8),
                layer_sync: vp8.layer_sync(),
                vp8: Some(vp8),
            });
        }
        Codec::Vp9 => {
            let vp9 = parse_vp9(payload)?;
            told.unwrap_or(vp9.starts_key_frame())
        }
        Codec::H264 => told.unwrap_or_else(|| starts_h264_key_frame(payload)),
        Codec::Av1 => told.unwrap_or_else(|| starts_av1_key_frame(payload)),
    };
    Ok(PayloadFacts { starts_key_frame, ..PayloadFacts::default() })
}

/// Whether a key frame starts; `None`: nothing is told.
fn told_by(dependency_descriptor: &[u8]) -> Option<bool> {
    if dependency_descriptor.len() == MANDATORY_BYTES {
        return Some(false); // no structure, so no key frame: most packets
    }
    parse_dependency_descriptor(dependency_descriptor, None).ok().map(|read| read.starts_key_frame())
}
