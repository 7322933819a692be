//! What comes of an input to a participant: datagrams, events and counters.

use std::net::SocketAddr;

use crate::histogram::Histogram;

/// What a participant tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// ICE and DTLS are through.
    Connected,
    /// The data channel of this label is open.
    ChannelOpen(String),
    /// A message on it.
    Text(String),
    /// A key frame was asked for.
    KeyframeWanted,
    /// The connection is over, and why.
    Closed(String),
}

/// A datagram to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// Where to.
    pub to: SocketAddr,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What is to be done.
#[derive(Debug, Default)]
pub struct Effects {
    /// To be sent, in order.
    pub datagrams: Vec<Datagram>,
    /// To be told.
    pub events: Vec<Event>,
    /// Delays of the packets that came, of all participants and times.
    pub delays: Histogram,
}

/// Counters of one participant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Of any kind.
    pub datagrams_received: i64,
    /// Their bytes.
    pub bytes_received: i64,
    /// RTP packets of the track, without resends.
    pub media_sent: i64,
    /// Requests that came.
    pub keyframes_wanted: i64,
    /// SRTCP datagrams.
    pub feedback_sent: i64,
    /// Datagrams that could not be made sense of; of media only the lean path tells.
    pub unreadable: i64,
}
