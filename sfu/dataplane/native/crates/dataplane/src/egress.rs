//! Datagrams on their way out: one buffer for all, and how they are cut and addressed.

use focus_ice::Address;

/// Datagrams of one message, as the kernel limits them (`UDP_MAX_SEGMENTS` is 64 in older ones).
pub const MAX_SEGMENTS: usize = 64;

/// Bytes of one message: what an IP packet holds, less its headers.
pub const MAX_MESSAGE_BYTES: usize = 65_000;

/// Datagrams to one address that lie one behind another, all of `segment` bytes but the last, which may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Message {
    pub to: Address,
    pub start: usize,
    pub len: usize,
    pub segment: usize,
}

impl Message {
    /// How many datagrams it is.
    pub fn datagrams(&self) -> usize {
        self.len.div_ceil(self.segment)
    }
}

/// What is to be sent, in order. Its buffers are kept over `clear`.
#[derive(Debug)]
pub struct Egress {
    bytes: Vec<u8>,
    messages: Vec<Message>,
    max_segments: usize,
}

impl Default for Egress {
    fn default() -> Self {
        Self::with_segments(MAX_SEGMENTS)
    }
}

impl Egress {
    /// With at most so many datagrams in a message: 1 sends each by itself.
    pub const fn with_segments(max_segments: usize) -> Self {
        Self { bytes: Vec::new(), messages: Vec::new(), max_segments }
    }

    /// Where the next datagram is built: it goes from the length that this has now to its end.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// What lies behind `start` is a datagram to this address.
    ///
    /// It joins the message before where that has the same address and nothing but datagrams of one length
    /// (UDP segmentation offload), and the rules of the kernel allow it.
    pub fn push(&mut self, to: Address, start: usize) {
        let len = self.bytes.len() - start;
        if let Some(last) = self.messages.last_mut()
            && last.to == to
            && last.start + last.len == start
            && len <= last.segment
            && last.len % last.segment == 0
            && last.len / last.segment < self.max_segments
            && last.len + len <= MAX_MESSAGE_BYTES
        {
            last.len += len;
        } else {
            self.messages.push(Message { to, start, len, segment: len });
        }
    }

    /// Take back what lies behind `start`: it is not sent.
    pub fn discard(&mut self, start: usize) {
        self.bytes.truncate(start);
    }

    /// Append a finished datagram.
    pub fn push_datagram(&mut self, to: Address, data: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(data);
        self.push(to, start);
    }

    /// All messages in order.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The bytes of a message.
    pub fn bytes_of(&self, message: &Message) -> &[u8] {
        &self.bytes[message.start..message.start + message.len]
    }

    /// All bytes, as messages index them.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Every datagram with its address, in order.
    pub fn datagrams(&self) -> impl Iterator<Item = (Address, &[u8])> {
        self.messages.iter().flat_map(|message| {
            self.bytes_of(message).chunks(message.segment).map(move |datagram| (message.to, datagram))
        })
    }

    /// Whether nothing is to be sent.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// All of it has been sent.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.messages.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn address(port: u16) -> Address {
        Address::from(SocketAddr::from(([192, 0, 2, 1], port)))
    }

    fn filled(sizes: &[(u16, usize)]) -> Egress {
        let mut egress = Egress::default();
        for (index, (port, size)) in sizes.iter().enumerate() {
            egress.push_datagram(address(*port), &vec![index as u8; *size]);
        }
        egress
    }

    #[test]
    fn datagrams_of_one_length_to_one_address_are_one_message() {
        let egress = filled(&[(1, 10), (1, 10), (1, 7), (1, 10)]);
        assert_eq!(egress.messages().iter().map(Message::datagrams).collect::<Vec<_>>(), [3, 1]);
    }

    #[test]
    fn another_address_begins_another_message() {
        assert_eq!(filled(&[(1, 10), (2, 10), (1, 10)]).messages().len(), 3);
    }

    #[test]
    fn a_longer_datagram_begins_another_message() {
        assert_eq!(filled(&[(1, 10), (1, 11)]).messages().len(), 2);
    }

    #[test]
    fn a_message_has_at_most_as_many_datagrams_and_bytes_as_the_kernel_takes() {
        assert_eq!(filled(&[(1, 10); 65]).messages().len(), 2);
        assert_eq!(filled(&[(1, 1_400); 47]).messages().len(), 2);
    }

    #[test]
    fn datagrams_come_out_as_they_went_in() {
        let sizes = [(1, 10), (1, 10), (1, 7), (2, 7), (2, 9), (1, 3)];
        let egress = filled(&sizes);
        let out: Vec<_> = egress.datagrams().map(|(to, data)| (to, data.to_vec())).collect();
        let expected: Vec<_> = sizes
            .iter()
            .enumerate()
            .map(|(index, (port, size))| (address(*port), vec![index as u8; *size]))
            .collect();
        assert_eq!(out, expected);
    }

    #[test]
    fn what_is_discarded_is_not_sent() {
        let mut egress = filled(&[(1, 10)]);
        let start = egress.buffer().len();
        egress.buffer().extend_from_slice(&[0; 10]);
        egress.discard(start);
        egress.push_datagram(address(1), &[1; 10]);
        assert_eq!(egress.datagrams().map(|(_, data)| data[0]).collect::<Vec<_>>(), [0, 1]);
    }
}
