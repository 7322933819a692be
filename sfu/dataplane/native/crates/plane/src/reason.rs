//! Why packets end here, and how many did.

macro_rules! reasons {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// Why a packet ended here. A closed list: each is a metric label.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[allow(missing_docs)] // their own names
        pub enum DropReason { $($variant),+ }

        impl DropReason {
            /// All of them with their names in Python and in metrics.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self::$variant, $name)),+];
        }
    };
}

reasons! {
    UnknownPeer = "unknown_peer",
    UnknownProtocol = "unknown_protocol",
    StunMalformed = "stun_malformed",
    StunUnauthenticated = "stun_unauthenticated",
    StunRoleConflict = "stun_role_conflict",
    StunRate = "stun_rate",
    DtlsQueueFull = "dtls_queue_full",
    NoSelectedPair = "no_selected_pair",
    EarlyQueueFull = "early_queue_full",
    RtpMalformed = "rtp_malformed",
    RtcpMalformed = "rtcp_malformed",
    SrtpAuthentication = "srtp_authentication",
    SrtpReplay = "srtp_replay",
    UnknownSsrc = "unknown_ssrc",
    UnknownPayloadType = "unknown_payload_type",
    TooManySsrcs = "too_many_ssrcs",
    RtxMalformed = "rtx_malformed",
    Duplicate = "duplicate",
    TooOld = "too_old",
    OtherLayer = "other_layer",
    WaitingForKeyframe = "waiting_for_keyframe",
    TemporalLayer = "temporal_layer",
    CodecNotNegotiated = "codec_not_negotiated",
    TooLarge = "too_large",
    SendBlocked = "send_blocked",
    PaddingOnly = "padding_only",
    SlowReceiver = "slow_receiver",
    DescriptorMalformed = "descriptor_malformed",
    TrunkFull = "trunk_full",
}

/// Packets that ended here, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drops([u64; DropReason::ALL.len()]);

impl Drops {
    /// Count one.
    pub fn count(&mut self, reason: DropReason) {
        self.add(reason, 1);
    }

    /// Count several.
    pub fn add(&mut self, reason: DropReason, packets: u64) {
        self.0[reason as usize] += packets;
    }

    /// How many ended for a reason.
    pub fn of(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// All that are not zero.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL
            .iter()
            .map(|(reason, _)| (*reason, self.of(*reason)))
            .filter(|(_, packets)| *packets > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_counted_by_reason() {
        let mut drops = Drops::default();
        drops.count(DropReason::Duplicate);
        drops.add(DropReason::TooOld, 2);
        assert_eq!(drops.iter().collect::<Vec<_>>(), [(DropReason::Duplicate, 1), (DropReason::TooOld, 2)]);
    }
}
