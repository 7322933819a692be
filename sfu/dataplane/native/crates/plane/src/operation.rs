//! Operations: how Python programs the plane.

use std::sync::Arc;

use focus_units::{Kind, PayloadType, RouteId, Ssrc, TrackHandle, TransportId};

use crate::extension::ExtensionIds;

/// An operation contradicts an earlier one (`sfu.errors.LocalError`): what, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalError(pub String);

/// SRTP protection profiles (RFC 5764 section 4.1.2, RFC 7714 section 14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrtpProfile {
    /// Key 16 bytes, salt 12.
    AeadAes128Gcm,
    /// Key 16 bytes, salt 14; 80 bits of HMAC-SHA1.
    Aes128CmSha1_80,
    /// Key 32 bytes, salt 12.
    AeadAes256Gcm,
    /// Nothing is encrypted: whole calls on a virtual clock, where a test reads the packets. Never negotiated.
    Null,
}

/// What a plane can say about a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // their own names
pub enum Codec {
    Opus,
    Vp8,
    Vp9,
    H264,
    Av1,
}

/// One codec configuration and its number on one leg; the same `key` on two legs is the same bitstream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // as in sfu/plane.py
pub struct PayloadFormat {
    pub key: String,
    pub codec: Codec,
    pub payload_type: PayloadType,
    pub clock_rate: u32,
    pub rtx_payload_type: Option<PayloadType>,
}

/// Our side of ICE for one transport (RFC 8445 section 5.3).
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Credentials {
    pub ufrag: String,
    pub password: String,
}

/// One RTP stream of a track, with its RTX stream where the SDP names them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct EncodingSpec {
    pub rid: String,
    pub ssrc: Option<Ssrc>,
    pub rtx_ssrc: Option<Ssrc>,
}

/// Receive a published track, or change how it is received. Encodings stand lowest first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SetTrack {
    pub track: TrackHandle,
    pub transport: TransportId,
    pub mid: String,
    pub kind: Kind,
    pub formats: Vec<PayloadFormat>,
    pub encodings: Vec<EncodingSpec>,
    pub extensions: ExtensionIds,
    pub cname: Arc<str>,
}

/// Forward a track to a transport, or change how. A new route sends nothing until a target chooses.
///
/// There are very many of them, and what they say is often the same: a plane lets them share it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SetRoute {
    pub route: RouteId,
    pub track: TrackHandle,
    pub transport: TransportId,
    pub mid: Arc<str>,
    pub ssrc: Ssrc,
    pub rtx_ssrc: Option<Ssrc>,
    pub formats: Arc<[PayloadFormat]>,
    pub extensions: ExtensionIds,
    pub cname: Arc<str>,
    /// The subscriber takes one- and two-byte extension forms in one stream.
    pub mixed_extensions: bool,
}

/// What goes down, in order. The worker of a transport is the plane's to know: a core takes no notice of it.
#[derive(Clone)]
#[allow(missing_docs)] // as in sfu/plane.py
pub enum Operation {
    AddTransport { transport: TransportId, credentials: Credentials, worker: u16, own_port: bool },
    SetCredentials { transport: TransportId, credentials: Credentials },
    InstallSrtp { transport: TransportId, profile: SrtpProfile, receive_key: Vec<u8>, send_key: Vec<u8> },
    RemoveTransport { transport: TransportId },
    SetTrack(Box<SetTrack>),
    RemoveTrack { track: TrackHandle },
    SetRoute(Box<SetRoute>),
    RemoveRoute { route: RouteId },
    RequestKeyframe { track: TrackHandle, encoding: i64 },
    SendDatagram { transport: TransportId, data: Vec<u8> },
    SendStun { transport: TransportId, host: String, port: i64, data: Vec<u8> },
    SelectAddress { transport: TransportId, host: String, port: i64 },
}
