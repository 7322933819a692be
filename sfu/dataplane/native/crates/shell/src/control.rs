//! Control messages beside datagrams: when they came, and how many of them one message is.
//!
//! Their form is the kernel's `struct cmsghdr`: length with header (a word), level, type, then the data, and each
//! begins at a word. The kernel copies them from and to user space, so that ours need no alignment.

use libc::c_int;

use focus_units::NS_PER_S;

const WORD_BYTES: usize = size_of::<usize>();
const HEADER_BYTES: usize = WORD_BYTES + 2 * size_of::<c_int>();

/// A `timespec` and an `int` with their headers, and a word to spare.
const ROOM_BYTES: usize = 64;

const SEGMENT_MESSAGE_BYTES: usize = HEADER_BYTES + WORD_BYTES;

/// What the kernel says of a message that came.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    bytes: [u8; ROOM_BYTES],
    len: usize,
}

impl Default for Control {
    fn default() -> Self {
        Self { bytes: [0; ROOM_BYTES], len: 0 }
    }
}

impl Control {
    /// Where the kernel may write.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The kernel has written so many bytes.
    pub(crate) fn set_len(&mut self, len: usize) {
        self.len = len.min(ROOM_BYTES);
    }

    /// When the message came, in nanoseconds of the wall clock (`SO_TIMESTAMPNS`).
    pub(crate) fn received_at_ns(&self) -> Option<i64> {
        let data = self.data(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS)?;
        let seconds = i64::from_ne_bytes(*data.first_chunk()?);
        let nanoseconds = i64::from_ne_bytes(*data.get(8..)?.first_chunk()?);
        seconds.checked_mul(NS_PER_S)?.checked_add(nanoseconds)
    }

    /// The size of the datagrams that were joined to the message (`UDP_GRO`); the last may be shorter.
    pub(crate) fn segment_bytes(&self) -> Option<usize> {
        let data = self.data(libc::SOL_UDP, libc::UDP_GRO)?;
        usize::try_from(c_int::from_ne_bytes(*data.first_chunk()?)).ok().filter(|size| *size > 0)
    }

    /// The data of the first message of a level and type.
    fn data(&self, level: c_int, kind: c_int) -> Option<&[u8]> {
        let mut rest = &self.bytes[..self.len];
        loop {
            let len = usize::from_ne_bytes(*rest.first_chunk()?);
            let found = [WORD_BYTES, WORD_BYTES + size_of::<c_int>()].map(|at| {
                rest.get(at..).and_then(|field| field.first_chunk()).map(|field| c_int::from_ne_bytes(*field))
            });
            let data = rest.get(HEADER_BYTES..len)?;
            if found == [Some(level), Some(kind)] {
                return Some(data);
            }
            rest = rest.get(len.next_multiple_of(WORD_BYTES)..)?;
        }
    }
}

/// What has the kernel cut a message into datagrams of one size (`UDP_SEGMENT`).
#[derive(Clone, Debug)]
pub(crate) struct SegmentSize {
    size: u16,
    bytes: [u8; SEGMENT_MESSAGE_BYTES],
}

impl SegmentSize {
    /// Datagrams of so many bytes.
    pub(crate) fn new(size: u16) -> Self {
        let mut bytes = [0; SEGMENT_MESSAGE_BYTES];
        let len = HEADER_BYTES + size_of::<u16>();
        bytes[..WORD_BYTES].copy_from_slice(&len.to_ne_bytes());
        bytes[WORD_BYTES..][..4].copy_from_slice(&libc::SOL_UDP.to_ne_bytes());
        bytes[WORD_BYTES + 4..][..4].copy_from_slice(&libc::UDP_SEGMENT.to_ne_bytes());
        bytes[HEADER_BYTES..][..2].copy_from_slice(&size.to_ne_bytes());
        Self { size, bytes }
    }

    /// Bytes of one datagram.
    pub(crate) fn size(&self) -> u16 {
        self.size
    }

    /// As the kernel reads it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(messages: &[(c_int, c_int, &[u8])]) -> Control {
        let mut bytes = Vec::new();
        for (level, kind, data) in messages {
            bytes.extend((HEADER_BYTES + data.len()).to_ne_bytes());
            bytes.extend(level.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(*data);
            bytes.resize(bytes.len().next_multiple_of(WORD_BYTES), 0);
        }
        let mut control = Control::default();
        control.room()[..bytes.len()].copy_from_slice(&bytes);
        control.set_len(bytes.len());
        control
    }

    #[test]
    fn both_are_found_in_either_order() {
        let time = [3_i64.to_ne_bytes(), 7_i64.to_ne_bytes()].concat();
        let at = (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &time[..]);
        let size = 1_100_i32.to_ne_bytes();
        let joined = (libc::SOL_UDP, libc::UDP_GRO, &size[..]);
        for messages in [[at, joined], [joined, at]] {
            let control = control(&messages);
            assert_eq!(control.received_at_ns(), Some(3 * NS_PER_S + 7));
            assert_eq!(control.segment_bytes(), Some(1_100));
        }
    }

    #[test]
    fn what_is_not_there_or_cut_is_not_found() {
        let mut cut = control(&[(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &[1; 16])]);
        cut.set_len(HEADER_BYTES + 12);
        for control in [Control::default(), control(&[(1, 2, &[0; 4])]), cut] {
            assert_eq!(control.received_at_ns(), None);
            assert_eq!(control.segment_bytes(), None);
        }
    }

    #[test]
    fn lengths_that_lie_end_the_search() {
        for len in [0, HEADER_BYTES - 1, 1 << 20, usize::MAX] {
            let mut control = control(&[(1, 2, &[0; 4]), (libc::SOL_UDP, libc::UDP_GRO, &[1; 4])]);
            control.room()[..WORD_BYTES].copy_from_slice(&len.to_ne_bytes());
            assert_eq!(control.segment_bytes(), None);
        }
    }

    #[test]
    fn a_segment_size_is_written_as_the_kernel_reads_it() {
        let written = SegmentSize::new(1_100);
        let mut control = Control::default();
        control.room()[..written.bytes().len()].copy_from_slice(written.bytes());
        control.set_len(written.bytes().len());
        assert_eq!(control.data(libc::SOL_UDP, libc::UDP_SEGMENT), Some(&1_100_u16.to_ne_bytes()[..]));
    }
}
