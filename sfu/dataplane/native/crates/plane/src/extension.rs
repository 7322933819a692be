//! RTP header extensions that a plane understands (RFC 8285).

/// An extension, known by its URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs)] // the URIs below say what they are
pub enum Extension {
    Mid,
    Rid,
    RepairedRid,
    TransportCc,
    AbsSendTime,
    AudioLevel,
    VideoOrientation,
    PlayoutDelay,
    VideoContentType,
    ColorSpace,
    AbsCaptureTime,
    VideoLayersAllocation,
    DependencyDescriptor,
}

/// All of them with their URIs, in the order of their numbers.
pub const EXTENSIONS: [(Extension, &str); 13] = [
    (Extension::Mid, "urn:ietf:params:rtp-hdrext:sdes:mid"),
    (Extension::Rid, "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"),
    (Extension::RepairedRid, "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"),
    (Extension::TransportCc, "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"),
    (Extension::AbsSendTime, "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"),
    (Extension::AudioLevel, "urn:ietf:params:rtp-hdrext:ssrc-audio-level"),
    (Extension::VideoOrientation, "urn:3gpp:video-orientation"),
    (Extension::PlayoutDelay, "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"),
    (Extension::VideoContentType, "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type"),
    (Extension::ColorSpace, "http://www.webrtc.org/experiments/rtp-hdrext/color-space"),
    (Extension::AbsCaptureTime, "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"),
    (
        Extension::VideoLayersAllocation,
        "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00",
    ),
    (
        Extension::DependencyDescriptor,
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
    ),
];

impl Extension {
    /// The extension with this URI.
    pub fn of_uri(uri: &str) -> Option<Self> {
        EXTENSIONS.iter().find(|(_, known)| *known == uri).map(|(extension, _)| *extension)
    }

    /// Whether it is made anew for each leg, never copied from the publisher (packet rule 1).
    pub const fn is_generated(self) -> bool {
        matches!(self, Self::Mid | Self::Rid | Self::RepairedRid | Self::TransportCc | Self::AbsSendTime)
    }

    /// Whether its values may be above the 16 bytes that the one-byte form can hold.
    pub const fn is_long(self) -> bool {
        matches!(self, Self::DependencyDescriptor | Self::ColorSpace | Self::VideoLayersAllocation)
    }
}

/// The ids of extensions on one section; 0 is not negotiated (RFC 8285 section 4.2 reserves it).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionIds([u8; EXTENSIONS.len()]);

impl ExtensionIds {
    /// The id of an extension.
    pub fn id_of(&self, extension: Extension) -> Option<u8> {
        match self.0[extension as usize] {
            0 => None,
            id => Some(id),
        }
    }

    /// Negotiate an extension under an id.
    pub fn set(&mut self, extension: Extension, id: u8) {
        self.0[extension as usize] = id;
    }

    /// All that are negotiated with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (Extension, u8)> + '_ {
        EXTENSIONS
            .iter()
            .map(|(extension, _)| (*extension, self.0[*extension as usize]))
            .filter(|(_, id)| *id != 0)
    }
}

impl FromIterator<(Extension, u8)> for ExtensionIds {
    fn from_iter<T: IntoIterator<Item = (Extension, u8)>>(pairs: T) -> Self {
        let mut ids = Self::default();
        for (extension, id) in pairs {
            ids.set(extension, id);
        }
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_stands_at_its_number() {
        for (index, (extension, uri)) in EXTENSIONS.iter().enumerate() {
            assert_eq!(*extension as usize, index);
            assert_eq!(Extension::of_uri(uri), Some(*extension));
        }
    }

    #[test]
    fn what_is_not_negotiated_has_no_id() {
        let ids: ExtensionIds = [(Extension::Mid, 4)].into_iter().collect();
        assert_eq!(ids.id_of(Extension::Mid), Some(4));
        assert_eq!(ids.id_of(Extension::Rid), None);
        assert_eq!(ids.iter().collect::<Vec<_>>(), [(Extension::Mid, 4)]);
    }
}
