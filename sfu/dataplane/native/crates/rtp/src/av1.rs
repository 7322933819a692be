//! The AV1 aggregation header (AV1 RTP payload format, section 4.4).

const NEW_SEQUENCE: u8 = 0x08;

/// Whether this packet begins a new coded video sequence (the N bit); an empty one begins nothing.
pub fn starts_av1_key_frame(payload: &[u8]) -> bool {
    payload.first().is_some_and(|first| first & NEW_SEQUENCE != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coded_video_sequence_starts_where_the_aggregation_header_says_so() {
        let cases: [(&[u8], bool); 7] = [
            (&[], false),
            (&[0x08], true),
            (&[0x18, 0x0A, 0x0B], true),
            (&[0x58, 0x0A], true),
            (&[0x10, 0x32], false),
            (&[0x90], false), // goes on with a fragment
            (&[0x57], false), // reserved bits
        ];
        for (payload, starts) in cases {
            assert_eq!(starts_av1_key_frame(payload), starts, "{payload:x?}");
        }
    }
}
