//! What the first bytes of a datagram say it is (RFC 7983), and how long datagrams may be.

/// Longest datagram that is read. Nobody's packets are longer where every link is Ethernet or narrower.
pub const MAX_DATAGRAM_BYTES: usize = 1_500;

/// Longest RTP or RTCP packet that is sent, encrypted (packet rule 1). Lower: key frames of peers that fill
/// their packets do not pass. Higher: tunnels and `PPPoE` would cut them.
pub const MAX_PACKET_BYTES: usize = 1_400;

/// What encryption adds to an RTP packet, at most.
pub const TAG_BYTES: usize = 16;

/// What shares the one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // their own names
pub enum WireProtocol {
    Stun,
    Dtls,
    Rtp,
    Rtcp,
    Unknown,
}

/// Tell protocols apart by the first byte, RTP from RTCP by the second (RFC 5761 section 4).
pub fn protocol_of(data: &[u8]) -> WireProtocol {
    match data {
        [0..=3, ..] => WireProtocol::Stun,
        [20..=63, ..] => WireProtocol::Dtls,
        [128..=191, 192..=223, ..] => WireProtocol::Rtcp,
        [128..=191, ..] => WireProtocol::Rtp,
        _ => WireProtocol::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_protocols_apart() {
        for (data, protocol) in [
            (&[][..], WireProtocol::Unknown),
            (&[0], WireProtocol::Stun),
            (&[3], WireProtocol::Stun),
            (&[4], WireProtocol::Unknown),
            (&[19], WireProtocol::Unknown),
            (&[20], WireProtocol::Dtls),
            (&[63], WireProtocol::Dtls),
            (&[64], WireProtocol::Unknown),
            (&[127], WireProtocol::Unknown),
            (&[128], WireProtocol::Rtp),
            (&[128, 191], WireProtocol::Rtp),
            (&[128, 192], WireProtocol::Rtcp),
            (&[191, 223], WireProtocol::Rtcp),
            (&[191, 224], WireProtocol::Rtp),
            (&[192], WireProtocol::Unknown),
        ] {
            assert_eq!(protocol_of(data), protocol, "{data:?}");
        }
    }
}
