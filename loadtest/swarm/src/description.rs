//! What the lean path must know of a session description: formats, the transport-wide extension, repairs.
//!
//! str0m negotiates; it keeps what it read to itself when it carries no media. The other side's description says
//! what it sends, so that is the one to read.

const TRANSPORT_WIDE: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// A format that a payload type stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// VP8, whose descriptors are checked.
    Vp8,
    /// Video of another codec.
    Video,
    /// Sound.
    Audio,
    /// Resends of the other payload type (RFC 4588).
    Rtx(u8),
}

impl Format {
    /// Whether key frames are a thing here.
    pub fn is_video(self) -> bool {
        matches!(self, Self::Vp8 | Self::Video)
    }
}

/// What holds for all sections of a bundle.
#[derive(Debug, Clone)]
pub struct Description {
    formats: [Option<Format>; 128],
    resent: [bool; 128],
    transport_wide_id: Option<u8>,
    repairs: Vec<(u32, u32)>,
}

impl Description {
    /// Read a description of the other side; what isn't understood is skipped.
    pub fn parse(sdp: &str) -> Self {
        let mut found =
            Self { formats: [None; 128], resent: [false; 128], transport_wide_id: None, repairs: Vec::new() };
        let mut is_audio = false;
        for line in sdp.lines().map(str::trim_end) {
            if let Some(section) = line.strip_prefix("m=") {
                is_audio = section.starts_with("audio");
            } else if let Some(attribute) = line.strip_prefix("a=") {
                found.read(attribute, is_audio);
            }
        }
        found
    }

    /// What a payload type stands for.
    pub fn format(&self, payload_type: u8) -> Option<Format> {
        self.formats[usize::from(payload_type & 0x7f)]
    }

    /// Whether packets of a payload type are resent on request.
    pub fn is_resent(&self, payload_type: u8) -> bool {
        self.resent[usize::from(payload_type & 0x7f)]
    }

    /// The id of the extension that numbers packets over the whole transport.
    pub fn transport_wide_id(&self) -> Option<u8> {
        self.transport_wide_id
    }

    /// The RTP stream whose packets an RTX stream repeats, where the description says so.
    pub fn repaired_by(&self, rtx_ssrc: u32) -> Option<u32> {
        self.repairs.iter().find(|(_, rtx)| *rtx == rtx_ssrc).map(|(media, _)| *media)
    }

    fn read(&mut self, attribute: &str, is_audio: bool) {
        let Some((name, value)) = attribute.split_once(':') else {
            return;
        };
        let mut words = value.split(' ');
        let Some(first) = words.next() else {
            return;
        };
        match name {
            "rtpmap" => {
                if let (Some(number), Some(codec)) = (payload_type(first), words.next()) {
                    self.map(number, codec, is_audio);
                }
            }
            "fmtp" => {
                let repaired =
                    words.flat_map(|word| word.split(';')).find_map(|word| word.strip_prefix("apt="));
                if let (Some(number), Some(repaired)) = (payload_type(first), repaired.and_then(payload_type))
                {
                    self.formats[number] = Some(Format::Rtx(repaired as u8));
                }
            }
            "rtcp-fb" if words.next() == Some("nack") && words.next().is_none() => {
                match payload_type(first) {
                    Some(number) => self.resent[number] = true,
                    None if first == "*" => self.resent = [true; 128],
                    None => {}
                }
            }
            "extmap" if words.next() == Some(TRANSPORT_WIDE) => {
                self.transport_wide_id = first.split('/').next().and_then(|id| id.parse().ok());
            }
            "ssrc-group" if first == "FID" => {
                if let (Some(media), Some(rtx)) = (words.next(), words.next())
                    && let (Ok(media), Ok(rtx)) = (media.parse(), rtx.parse())
                {
                    self.repairs.push((media, rtx));
                }
            }
            _ => {}
        }
    }

    fn map(&mut self, number: usize, codec: &str, is_audio: bool) {
        let name = codec.split('/').next().unwrap_or_default();
        if name.eq_ignore_ascii_case("rtx") {
            return; // its fmtp line says what it repeats
        }
        self.formats[number] = Some(if is_audio {
            Format::Audio
        } else if name.eq_ignore_ascii_case("vp8") {
            Format::Vp8
        } else {
            Format::Video
        });
    }
}

fn payload_type(text: &str) -> Option<usize> {
    text.parse().ok().filter(|number| *number < 128)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SDP: &str = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96 97 98\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\n\
        a=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtpmap:98 H264/90000\r\n\
        a=rtcp-fb:98 nack pli\r\na=ssrc-group:FID 1 2\r\na=extmap:3/sendrecv \
        http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n";

    #[test]
    fn formats_are_told_apart() {
        let description = Description::parse(SDP);
        assert_eq!(description.format(111), Some(Format::Audio));
        assert_eq!(description.format(96), Some(Format::Vp8));
        assert_eq!(description.format(97), Some(Format::Rtx(96)));
        assert_eq!(description.format(98), Some(Format::Video));
        assert_eq!(description.format(99), None);
    }

    #[test]
    fn feedback_repairs_and_the_extension_are_found() {
        let description = Description::parse(SDP);
        assert!(description.is_resent(96) && !description.is_resent(98) && !description.is_resent(111));
        assert_eq!(description.transport_wide_id(), Some(3));
        assert_eq!((description.repaired_by(2), description.repaired_by(1)), (Some(1), None));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(a=(rtpmap|fmtp|rtcp-fb|extmap|ssrc-group):[ -~]{0,20}\n|[ -~]{0,20}\n){0,10}") {
            let _ = Description::parse(&text);
        }
    }
}
