//! What a payload tells of itself: where key frames start, and its temporal layer.

use focus_plane::Codec;
use focus_rtp::av1::starts_av1_key_frame;
use focus_rtp::h264::starts_h264_key_frame;
use focus_rtp::vp8::{Vp8Descriptor, parse_vp8};
use focus_rtp::vp9::parse_vp9;
use focus_streams::descriptor_reader::PacketDescriptor;
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

/// Read what a payload that is not empty tells.
///
/// Where a dependency descriptor came along, it says where key frames start and what layer it is: the payload may
/// be end-to-end encrypted.
///
/// # Errors
///
/// The payload descriptor ends early.
pub fn inspect(
    codec: Codec,
    payload: &[u8],
    descriptor: Option<&PacketDescriptor>,
) -> Result<PayloadFacts, ParseError> {
    let told = descriptor.map(|descriptor| descriptor.fields.starts_key_frame());
    let frame = descriptor.and_then(|descriptor| descriptor.fields.dependencies.as_ref());
    let temporal = frame.map(|frame| frame.temporal_id as i8);
    let starts_key_frame = match codec {
        Codec::Opus => return Ok(PayloadFacts::default()),
        Codec::Vp8 => {
            let vp8 = parse_vp8(payload)?;
            return Ok(PayloadFacts {
                starts_key_frame: told.unwrap_or(vp8.starts_key_frame()),
                temporal: temporal.or(vp8.temporal_id().map(|id| id as i8)),
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
    Ok(PayloadFacts { starts_key_frame, temporal, ..PayloadFacts::default() })
}
