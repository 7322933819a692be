//! When a packet was made, written into its payload where every forwarder must leave it alone.
//!
//! Layout behind the VP8 descriptor: ten bytes that look like the head of a VP8 frame (RFC 6386 section 9.1),
//! so that forwarders find their key frames, then a mark, then the time.

/// Bytes that stand in for the head of a VP8 frame.
pub const FRAME_HEAD_LENGTH: usize = 10;

/// Tells our packets from real video.
const MARK: [u8; 8] = *b"swarm-ns";

/// Bytes from the end of the descriptor to the end of the time.
pub const LENGTH: usize = FRAME_HEAD_LENGTH + MARK.len() + 8;

/// A key frame's head: tag of an intra frame that is shown, start code, 1280 x 720.
const KEY_HEAD: [u8; FRAME_HEAD_LENGTH] = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x00, 0x05, 0xd0, 0x02];

/// Any other frame's: the tag's lowest bit says so.
const DELTA_HEAD: [u8; FRAME_HEAD_LENGTH] = [0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// What goes behind the descriptor.
pub fn write(is_key_frame: bool, made_at_ns: i64) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    let (head, rest) = bytes.split_at_mut(FRAME_HEAD_LENGTH);
    head.copy_from_slice(if is_key_frame { &KEY_HEAD } else { &DELTA_HEAD });
    let (mark, time) = rest.split_at_mut(MARK.len());
    mark.copy_from_slice(&MARK);
    time.copy_from_slice(&made_at_ns.to_be_bytes());
    bytes
}

/// When a packet was made, from what follows its descriptor; None where it isn't ours.
pub fn read(vp8_data: &[u8]) -> Option<i64> {
    let time = vp8_data.get(FRAME_HEAD_LENGTH..LENGTH)?.strip_prefix(&MARK)?;
    Some(i64::from_be_bytes(time.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_survives() {
        assert_eq!(read(&write(false, 1_234_567_890_123)), Some(1_234_567_890_123));
    }

    #[test]
    fn other_payloads_carry_no_time() {
        assert_eq!(read(&[0; 40]), None);
        assert_eq!(read(&write(true, 5)[..LENGTH - 1]), None);
    }

    #[test]
    fn the_head_says_whether_it_is_a_key_frame() {
        assert_eq!(write(true, 0)[0] & 1, 0);
        assert_eq!(write(false, 0)[0] & 1, 1);
    }
}
