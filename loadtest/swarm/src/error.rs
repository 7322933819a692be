//! What can't be done, in words for whoever asked.

use std::fmt;
use std::io;

/// Why a request was refused.
#[derive(Debug)]
pub enum Error {
    /// There is no participant of this id, or it was removed.
    NoSuchParticipant(u32),
    /// An answer came, and no offer of ours waits for one.
    NoOfferWaits,
    /// The data channel is not open, or holds all it can.
    Channel(&'static str),
    /// A description, a candidate or a schedule is not what it should be.
    Invalid(String),
    /// The system refused a socket.
    Socket(io::Error),
    /// The swarm was closed.
    Closed,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchParticipant(id) => write!(formatter, "no participant {id}"),
            Self::NoOfferWaits => formatter.write_str("an answer, but no offer waits for one"),
            Self::Channel(state) => write!(formatter, "the data channel is {state}"),
            Self::Invalid(what) => formatter.write_str(what),
            Self::Socket(error) => write!(formatter, "no socket: {error}"),
            Self::Closed => formatter.write_str("the swarm is closed"),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}
