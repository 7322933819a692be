//! Datagrams in a stream of bytes (RFC 4571): each with its length before it.

use std::collections::VecDeque;

use focus_dataplane::MAX_DATAGRAM_BYTES;

const LENGTH_BYTES: usize = 2;

/// Bytes that wait for a slow connection. Lower: the burst of a key frame does not fit, and its end is lost. Higher:
/// more memory for each that stalls, and a picture that is older.
pub(crate) const MAX_QUEUED_BYTES: usize = 128 << 10;

/// Bytes that may wait before only small datagrams are taken. The rest is room for sound, reports and checks while
/// a picture does not pass.
pub(crate) const MAX_QUEUED_FOR_LARGE_BYTES: usize = MAX_QUEUED_BYTES * 3 / 4;

/// Longest datagram that counts as small. Lower: sound of high quality stalls with the picture. Higher: more of a
/// picture's packets take the room that is kept for sound.
pub(crate) const MAX_SMALL_BYTES: usize = 400;

/// A frame is longer than any datagram that is read: what follows can't be told apart any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Finds datagrams in what comes by a stream.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    /// What begins with the length of a frame that has not come in full.
    pending: Vec<u8>,
}

impl FrameReader {
    /// Take what has come, and give each datagram that is complete; empty ones, which keep a path open, are not.
    ///
    /// # Errors
    ///
    /// The stream is of no use any more.
    pub(crate) fn feed(&mut self, bytes: &[u8], take: &mut impl FnMut(&mut [u8])) -> Result<(), TooLong> {
        self.pending.extend_from_slice(bytes);
        let mut start = 0;
        while let Some((length, frame)) = self.pending[start..].split_first_chunk_mut::<LENGTH_BYTES>() {
            let length = usize::from(u16::from_be_bytes(*length));
            if length > MAX_DATAGRAM_BYTES {
                return Err(TooLong);
            }
            let Some(datagram) = frame.get_mut(..length) else { break };
            if !datagram.is_empty() {
                take(datagram);
            }
            start += LENGTH_BYTES + length;
        }
        self.pending.drain(..start);
        Ok(())
    }
}

/// Frames that wait for a connection to take them.
#[derive(Debug, Default)]
pub(crate) struct FrameQueue {
    bytes: VecDeque<u8>,
}

impl FrameQueue {
    /// Append a datagram; false where it has no room, and is not sent: in full or not at all.
    pub(crate) fn push(&mut self, datagram: &[u8]) -> bool {
        let limit =
            if datagram.len() <= MAX_SMALL_BYTES { MAX_QUEUED_BYTES } else { MAX_QUEUED_FOR_LARGE_BYTES };
        let Ok(length) = u16::try_from(datagram.len()) else { return false };
        if self.bytes.len() + LENGTH_BYTES + datagram.len() > limit {
            return false;
        }
        self.bytes.extend(length.to_be_bytes());
        self.bytes.extend(datagram);
        true
    }

    /// What is to be written next; empty where nothing waits.
    pub(crate) fn front(&self) -> &[u8] {
        self.bytes.as_slices().0
    }

    /// So many bytes of it were written.
    pub(crate) fn consume(&mut self, count: usize) {
        self.bytes.drain(..count);
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes that wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(reader: &mut FrameReader, bytes: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut datagrams = Vec::new();
        reader.feed(bytes, &mut |datagram| datagrams.push(datagram.to_vec())).map(|()| datagrams)
    }

    #[test]
    fn a_frame_that_is_too_long_ends_the_stream() {
        let mut reader = FrameReader::default();
        let longest = MAX_DATAGRAM_BYTES as u16;
        assert_eq!(read(&mut reader, &longest.to_be_bytes()), Ok(vec![]));
        assert_eq!(read(&mut reader, &vec![7; MAX_DATAGRAM_BYTES]), Ok(vec![vec![7; MAX_DATAGRAM_BYTES]]));
        assert_eq!(read(&mut reader, &(longest + 1).to_be_bytes()), Err(TooLong));
    }

    #[test]
    fn what_a_reader_keeps_is_less_than_a_frame() {
        let mut reader = FrameReader::default();
        for _ in 0..1_000 {
            assert!(read(&mut reader, &[5, 220, 1, 2, 3]).is_ok());
            assert!(reader.pending.len() < LENGTH_BYTES + MAX_DATAGRAM_BYTES);
        }
    }

    #[test]
    fn large_datagrams_leave_room_for_small_ones() {
        let mut queue = FrameQueue::default();
        while queue.push(&[0; 1_200]) {}
        assert!(queue.len() <= MAX_QUEUED_FOR_LARGE_BYTES);
        let mut small = 0;
        while queue.push(&[0; MAX_SMALL_BYTES]) {
            small += 1;
        }
        assert!(small > 50);
        assert!(queue.len() <= MAX_QUEUED_BYTES);
        assert!(!queue.push(&[0; 1_200]));
        queue.consume(queue.len());
        assert!(queue.is_empty() && queue.push(&[0; 1_200]));
    }

    #[test]
    fn a_datagram_that_no_frame_holds_is_not_sent() {
        assert!(!FrameQueue::default().push(&vec![0; 1 << 16]));
    }

    proptest! {
        #[test]
        fn datagrams_come_out_as_they_went_in_however_the_stream_is_cut(
            datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..30),
            cuts in prop::collection::vec(1_usize..40, 1..20),
        ) {
            let mut queue = FrameQueue::default();
            for datagram in &datagrams {
                prop_assert!(queue.push(datagram));
            }
            let (mut reader, mut read_so_far) = (FrameReader::default(), Vec::new());
            let mut cuts = cuts.iter().cycle();
            while !queue.is_empty() {
                let count = queue.front().len().min(*cuts.next().unwrap_or(&1));
                let bytes = queue.front()[..count].to_vec();
                read_so_far.extend(read(&mut reader, &bytes).expect("no frame is too long"));
                queue.consume(count);
            }
            let expected: Vec<_> = datagrams.into_iter().filter(|datagram| !datagram.is_empty()).collect();
            prop_assert_eq!(read_so_far, expected);
        }

        #[test]
        fn any_stream_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..4_000)) {
            let _ = read(&mut FrameReader::default(), &bytes);
        }
    }
}
