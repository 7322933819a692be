//! Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01).

use focus_units::{NS_PER_US, ParseError, Ssrc};

/// Format of the packet among transport layer feedback (section 3.1).
pub const TWCC_FORMAT: u8 = 15;
/// The unit of receive deltas, in nanoseconds.
pub const DELTA_NS: i64 = 250 * NS_PER_US;
/// The unit of the reference time, in nanoseconds; 24 bits of it wrap after 12.4 days.
pub const REFERENCE_NS: i64 = 64_000 * NS_PER_US;
/// Sequence numbers told of in one packet. Lower: more packets after a long outage. Higher: a hostile peer makes
/// us do more for one packet. At 1,000 packets a second and 10 feedbacks a second, 100 are usual.
pub const MAX_STATUSES: u16 = 2_000;
/// Numbers that one packet of ours spans.
pub const STATUSES_PER_PACKET: i64 = 500;

const NOT_RECEIVED: u8 = 0;
const SMALL_DELTA: u8 = 1;
const LARGE_DELTA: u8 = 2;
const RUN_MAX: u16 = 0x1FFF;
const SHORTEST_RUN: usize = 7;
const VECTOR: u16 = 0x8000;
const TWO_BITS: u16 = 0x4000;
const HEAD_BYTES: usize = 16;
/// Deltas below are told in one packet: a little less than what 16 bits hold, for what rounding adds.
const SPLIT_NS: i64 = 0x7FF0 * DELTA_NS;

const MALFORMED: ParseError = ParseError("twcc");

/// When packets arrived, by their transport-wide sequence number.
///
/// `arrivals` are (16-bit sequence number, arrival in ns or `None` where it did not arrive), in ascending order
/// from a base; numbers left out between two entries did not arrive. Times are of the receiver's own clock, as
/// precise as the wire: 250 µs, modulo 2²⁴ times 64 ms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportFeedback {
    /// Who tells.
    pub sender_ssrc: Ssrc,
    /// A stream of the transport; which one says nothing.
    pub media_ssrc: Ssrc,
    /// Counts the packets of feedback, modulo 256.
    pub feedback_count: u8,
    /// (number, arrival), not empty where it is written.
    pub arrivals: Vec<(u16, Option<i64>)>,
}

/// Write the body of the packet behind its first four bytes.
///
/// A packet whose delta does not fit (16 bits of 250 µs) is told as not received; see [`split_arrivals`].
pub fn serialise_feedback(feedback: &TransportFeedback, out: &mut Vec<u8>) {
    let start = out.len();
    let statuses = statuses(&feedback.arrivals);
    let first = statuses.iter().copied().flatten().next().unwrap_or(0);
    // The reference stands at or before the first arrival, so that its delta is small and not negative.
    let reference = first.div_euclid(REFERENCE_NS);
    let (symbols, deltas) = symbols(&statuses, reference * (REFERENCE_NS / DELTA_NS));
    out.extend_from_slice(&feedback.sender_ssrc.0.to_be_bytes());
    out.extend_from_slice(&feedback.media_ssrc.0.to_be_bytes());
    let base = feedback.arrivals.first().map_or(0, |(number, _)| *number);
    out.extend_from_slice(&base.to_be_bytes());
    out.extend_from_slice(&(symbols.len() as u16).to_be_bytes());
    out.extend_from_slice(&(reference as u32).to_be_bytes()[1..]);
    out.push(feedback.feedback_count);
    write_chunks(&symbols, out);
    out.extend_from_slice(&deltas);
    let body = out.len() - start;
    out.resize(start + body.next_multiple_of(4), 0);
}

/// Read the body of a packet behind its first four bytes.
///
/// # Errors
///
/// `twcc`.
pub fn parse_feedback(
    sender_ssrc: Ssrc,
    media_ssrc: Ssrc,
    body: &[u8],
) -> Result<TransportFeedback, ParseError> {
    let (head, rest) = body.split_first_chunk::<HEAD_BYTES>().ok_or(MALFORMED)?;
    let base = u16::from_be_bytes([head[8], head[9]]);
    let count = u16::from_be_bytes([head[10], head[11]]);
    if !(1..=MAX_STATUSES).contains(&count) {
        return Err(MALFORMED);
    }
    let mut symbols = Symbols { rest, chunk: 0, left: 0 };
    for _ in 0..count {
        symbols.next()?;
    }
    let mut deltas = symbols.rest;
    symbols = Symbols { rest, chunk: 0, left: 0 };
    let mut now = i64::from(u32::from_be_bytes([0, head[12], head[13], head[14]])) * REFERENCE_NS;
    let mut arrivals = Vec::with_capacity(count.into());
    for index in 0..count {
        let delta = match (symbols.next()?, deltas) {
            (NOT_RECEIVED, _) => None,
            (SMALL_DELTA, [delta, rest @ ..]) => {
                deltas = rest;
                Some(i64::from(*delta))
            }
            (LARGE_DELTA, [high, low, rest @ ..]) => {
                deltas = rest;
                Some(i64::from(i16::from_be_bytes([*high, *low])))
            }
            _ => return Err(MALFORMED),
        };
        now += delta.unwrap_or(0) * DELTA_NS;
        arrivals.push((base.wrapping_add(index), delta.map(|_| now)));
    }
    Ok(TransportFeedback { sender_ssrc, media_ssrc, feedback_count: head[15], arrivals })
}

/// Cut arrivals in ascending order of their *unwrapped* numbers into runs that one packet can tell: none spans
/// more than `max_statuses` numbers (see [`STATUSES_PER_PACKET`]) or has a delta that is too large.
pub fn split_arrivals(arrivals: &[(i64, i64)], max_statuses: i64) -> impl Iterator<Item = &[(i64, i64)]> {
    let mut rest = arrivals;
    std::iter::from_fn(move || {
        let (start, _) = rest.first()?;
        let end = rest.windows(2).position(|pair| {
            let [(_, last_at), (number, at)] = pair else { return true };
            number - start >= max_statuses || (at - last_at).abs() >= SPLIT_NS
        });
        let (run, others) = rest.split_at(end.map_or(rest.len(), |last| last + 1));
        rest = others;
        Some(run)
    })
}

/// One status for each number from the first to the last.
fn statuses(arrivals: &[(u16, Option<i64>)]) -> Vec<Option<i64>> {
    let Some((base, _)) = arrivals.first() else { return Vec::new() };
    let mut statuses = Vec::with_capacity(arrivals.len());
    for (number, arrival) in arrivals {
        let index = usize::from(number.wrapping_sub(*base));
        if index < statuses.len() {
            continue; // told twice, or out of order by the caller: the first word holds
        }
        statuses.resize(index, None);
        statuses.push(*arrival);
    }
    statuses
}

/// The symbols of statuses and their deltas as bytes, where the clock stands at `previous` units of delta.
fn symbols(statuses: &[Option<i64>], mut previous: i64) -> (Vec<u8>, Vec<u8>) {
    let mut symbols = Vec::with_capacity(statuses.len());
    let mut deltas = Vec::with_capacity(statuses.len());
    for status in statuses {
        let ticks = status.map_or(previous, |arrival| (arrival + DELTA_NS / 2).div_euclid(DELTA_NS));
        let delta = ticks - previous;
        let symbol = if status.is_none() {
            NOT_RECEIVED
        } else if let Ok(delta) = u8::try_from(delta) {
            deltas.push(delta);
            SMALL_DELTA
        } else if let Ok(delta) = i16::try_from(delta) {
            deltas.extend_from_slice(&delta.to_be_bytes());
            LARGE_DELTA
        } else {
            NOT_RECEIVED
        };
        if symbol != NOT_RECEIVED {
            previous = ticks;
        }
        symbols.push(symbol);
    }
    (symbols, deltas)
}

fn write_chunks(symbols: &[u8], out: &mut Vec<u8>) {
    let mut rest = symbols;
    while let [first, ..] = rest {
        let run = rest.iter().take(RUN_MAX.into()).take_while(|symbol| *symbol == first).count();
        let (chunk, told) = if run >= SHORTEST_RUN {
            (u16::from(*first) << 13 | run as u16, run)
        } else if !rest.iter().take(14).any(|symbol| *symbol == LARGE_DELTA) {
            (VECTOR | vector(rest, 14, 1), 14)
        } else {
            (VECTOR | TWO_BITS | vector(rest, 7, 2), 7)
        };
        out.extend_from_slice(&chunk.to_be_bytes());
        rest = rest.get(told..).unwrap_or_default();
    }
}

/// The first `count` symbols in so many bits each, the first of them highest; those missing are 0.
fn vector(symbols: &[u8], count: usize, bits: u32) -> u16 {
    let missing = std::iter::repeat(&NOT_RECEIVED);
    symbols
        .iter()
        .chain(missing)
        .take(count)
        .fold(0, |bits_so_far, symbol| bits_so_far << bits | u16::from(*symbol))
}

/// Reads the symbols of the chunks one after the other.
struct Symbols<'a> {
    rest: &'a [u8],
    chunk: u16,
    /// Symbols of the chunk that are not read yet.
    left: u16,
}

impl Symbols<'_> {
    fn next(&mut self) -> Result<u8, ParseError> {
        if self.left == 0 {
            let (chunk, rest) = self.rest.split_first_chunk::<2>().ok_or(MALFORMED)?;
            self.rest = rest;
            self.chunk = u16::from_be_bytes(*chunk);
            self.left = match (self.chunk & VECTOR, self.chunk & TWO_BITS) {
                (0, _) if self.chunk & RUN_MAX == 0 => return Err(MALFORMED),
                (0, _) => self.chunk & RUN_MAX,
                (_, 0) => 14,
                _ => 7,
            };
        }
        self.left -= 1;
        let symbol = match (self.chunk & VECTOR, self.chunk & TWO_BITS) {
            (0, _) => self.chunk >> 13,
            (_, 0) => self.chunk >> self.left & 1,
            _ => self.chunk >> (2 * self.left) & 3,
        };
        Ok(symbol as u8)
    }
}

#[cfg(test)]
mod tests;
