//! The numbers of a publisher's leg as those of a subscriber's leg (packet rule 1).

use std::sync::Arc;

use focus_plane::{Extension, ExtensionIds, PayloadFormat, SetRoute, SetTrack};
use focus_rtp::packet::{ONE_BYTE_MAX_ID, ONE_BYTE_MAX_LENGTH};
use focus_units::PayloadType;

/// A subscriber's numbers for one payload type of the publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Translated {
    pub payload_type: PayloadType,
    pub rtx_payload_type: Option<PayloadType>,
}

/// Payload types and extension ids of one route.
///
/// A subscriber that does not take both extension forms in one stream (RFC 8285 section 4.1.2) gets one and
/// the same in all packets: the two-byte form where an id or a long value may need it.
#[derive(Debug)]
pub struct Translation {
    formats: Box<[(PayloadType, Translated)]>,
    copied: Box<[(u8, u8)]>,
    /// Id of the publisher's dependency descriptor.
    described: Option<u8>,
    /// Id and value of the mid element, which comes first.
    mid: Option<(u8, Arc<str>)>,
    longest: usize,
    /// Id of the transport-wide sequence number.
    pub transport_cc: Option<u8>,
    /// Id of the send time.
    pub abs_send_time: Option<u8>,
    /// All packets have the two-byte extension form.
    pub two_bytes: bool,
}

impl Translation {
    /// Between these two sections.
    pub fn new(track: &SetTrack, route: &SetRoute) -> Self {
        let of_key = |key: &str| route.formats.iter().find(|form| form.key == key);
        let translated = |form: &PayloadFormat| {
            let theirs = of_key(&form.key)?;
            let numbers =
                Translated { payload_type: theirs.payload_type, rtx_payload_type: theirs.rtx_payload_type };
            Some((form.payload_type, numbers))
        };
        // Of two formats with one payload type the last counts.
        let formats = track.formats.iter().rev().filter_map(translated).collect();
        let shared: Vec<_> = track
            .extensions
            .iter()
            .filter(|(extension, _)| !extension.is_generated())
            .filter_map(|(extension, id)| Some((extension, id, route.extensions.id_of(extension)?)))
            .collect();
        let mid = route.extensions.id_of(Extension::Mid).map(|id| (id, Arc::clone(&route.mid)));
        let two_bytes = !route.mixed_extensions
            && (shared.iter().any(|(extension, ..)| extension.is_long())
                || has_large_id(&route.extensions)
                || mid.as_ref().is_some_and(|(_, value)| value.len() > ONE_BYTE_MAX_LENGTH));
        Self {
            formats,
            described: track.extensions.id_of(Extension::DependencyDescriptor),
            copied: shared.into_iter().map(|(_, from, to)| (from, to)).collect(),
            mid,
            longest: if two_bytes || route.mixed_extensions { 255 } else { ONE_BYTE_MAX_LENGTH },
            transport_cc: route.extensions.id_of(Extension::TransportCc),
            abs_send_time: route.extensions.id_of(Extension::AbsSendTime),
            two_bytes,
        }
    }

    /// The subscriber's numbers for a payload type of the publisher; `None`: it can't decode that.
    pub fn format_of(&self, payload_type: PayloadType) -> Option<Translated> {
        self.formats.iter().find(|(from, _)| *from == payload_type).map(|(_, to)| *to)
    }

    /// What resends of a payload type of the publisher have; `None`: the subscriber has no RTX for it.
    pub fn rtx_payload_type(&self, payload_type: PayloadType) -> Option<PayloadType> {
        self.format_of(payload_type)?.rtx_payload_type
    }

    /// The elements to send, but for the stamps.
    ///
    /// `descriptor` stands in place of the dependency descriptor, which is never copied; empty where there is none,
    /// or none that can be read.
    pub fn elements<'a>(
        &'a self,
        received: impl Iterator<Item = (u8, &'a [u8])> + 'a,
        descriptor: &'a [u8],
    ) -> impl Iterator<Item = (u8, &'a [u8])> + 'a {
        let first = self.mid.as_ref().map(|(id, value)| (*id, value.as_bytes()));
        first.into_iter().chain(received.filter_map(move |(id, value)| {
            let (_, copied) = self.copied.iter().find(|(from, _)| *from == id)?;
            let value = if Some(id) == self.described { descriptor } else { value };
            (!value.is_empty() && value.len() <= self.longest).then_some((*copied, value))
        }))
    }
}

fn has_large_id(extensions: &ExtensionIds) -> bool {
    extensions.iter().any(|(_, id)| id > ONE_BYTE_MAX_ID)
}
