//! Rewriting one route's packets so that its subscriber sees one RTP stream, whatever it is made of.
//!
//! A packet's origin is its `source`, the SSRC it came from: an encoding that starts anew under another SSRC
//! is a switch like any other. Of each packet of the current source the rewriters are told whether it is
//! forwarded or dropped, in order of arrival. Those of other sources, and all while a route is paused, they
//! never see.

use focus_rtp::vp8::{PICTURE_ID_MODULO, Vp8Descriptor};
use focus_units::{Instant, NS_PER_S, Ssrc};

use crate::clock::{StreamClock, TICK_BITS};
use crate::offsets::OffsetMap;

/// How long a switch waits for the sender report that would make it exact (packet rule 6). Lower: the first
/// switches may be a few ticks off. Higher: a publisher that sends no reports switches late.
pub const MAX_REPORT_WAIT_S: i64 = 1;

/// Sender reports that put a switch further than this from where arrival puts it are not believed.
pub const MAX_DEVIATION_S: i64 = 2;

/// After a switch to an encoding that lags, its clock runs slower by this factor until it has caught up.
const CATCH_UP: i64 = 2;

const TL0PICIDX_BITS: u32 = 8;
const KEYIDX_BITS: u32 = 5;

/// Outgoing sequence numbers: no gap for what we left out, a gap for what was lost on the way to us.
///
/// The receiver NACKs the gaps, and a packet that comes late fills exactly its own.
#[derive(Debug)]
pub struct SequenceRewriter {
    numbers: OffsetMap,
    next_seq: i64,
    source: Option<Ssrc>,
}

impl SequenceRewriter {
    /// `first_seq` is the first outgoing number, random below 2¹⁵ (packet rule 3).
    pub const fn new(first_seq: i64) -> Self {
        Self { numbers: OffsetMap::new(Some(first_seq)), next_seq: first_seq, source: None }
    }

    /// The outgoing number after the highest so far, unwrapped: a 16-bit number that is asked for lies below
    /// it.
    pub const fn next_seq(&self) -> i64 {
        self.next_seq
    }

    /// The outgoing number, unwrapped, of a packet that is forwarded.
    ///
    /// Another source than before is a switch, and its packets from before this one never pass. `None` where
    /// the packet is older than what is remembered: it can't be sent any more.
    pub fn forward(&mut self, source: Ssrc, seq: i64) -> Option<i64> {
        if self.source != Some(source) {
            self.numbers.rebase();
            self.source = Some(source);
        }
        let out = self.numbers.forward(seq)?;
        self.next_seq = self.next_seq.max(out + 1);
        Some(out)
    }

    /// Nothing is forwarded for a while: what comes next is joined like another source.
    pub fn pause(&mut self) {
        self.source = None;
    }

    /// A packet was left out on purpose. Of another source than the current it leaves no trace anyway.
    pub fn drop(&mut self, source: Ssrc, seq: i64) {
        if self.source == Some(source) {
            self.numbers.drop(seq);
        }
    }
}

/// One reception's clock among all of a worker; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClockId(pub u32);

/// How the clock of the stream that flows becomes the outgoing clock.
#[derive(Clone, Copy, Debug)]
struct Joined {
    id: ClockId,
    /// As of the last sender report.
    clock: StreamClock,
    offset_fixed: i128,
    /// The timestamp of its first packet that was forwarded.
    first_ts: i64,
    /// What that packet was sent with, at least.
    floor: i64,
}

impl Joined {
    const fn out_fixed(&self, ts_fixed: i128) -> i128 {
        ts_fixed + self.offset_fixed
    }

    fn out(&self, ts: i64) -> i64 {
        let since = ts - self.first_ts;
        if since <= 0 {
            return self.floor + since;
        }
        rounded(self.out_fixed(fixed(ts))).max(self.floor + since / CATCH_UP)
    }
}

/// One outgoing RTP clock out of several, aligned by what sender reports say (RFC 3550 section 6.4.1).
///
/// At a switch, the first packet's capture time by its own clock's sender report is looked up on the clock
/// that flowed before. So audio stays in step with video, and the picture does not jump. Where the new
/// encoding's first picture is older than what was sent, time goes on at half speed until it is right again:
/// an outgoing timestamp is never less than one before it.
///
/// The twin holds the clock that flows by reference. Here it is a copy, made when its stream is joined and
/// made again by [`sender_report`](Self::sender_report): nothing else changes what is asked of it, and it
/// outlives its reception as the twin's does.
#[derive(Debug)]
pub struct TimestampMapper {
    first_ts: i64,
    joined: Option<Joined>,
    highest: i64,
    highest_at: Option<Instant>,
}

impl TimestampMapper {
    /// `first_ts` is the first outgoing timestamp, random.
    pub const fn new(first_ts: i64) -> Self {
        Self { first_ts, joined: None, highest: first_ts, highest_at: None }
    }

    /// The clock that flows, as of its last sender report; `None` before the first packet.
    pub fn clock(&self) -> Option<(ClockId, &StreamClock)> {
        self.joined.as_ref().map(|joined| (joined.id, &joined.clock))
    }

    /// A sender report has moved this clock; call it for every route that may have joined it.
    pub fn sender_report(&mut self, id: ClockId, clock: &StreamClock) {
        if let Some(joined) = self.joined.as_mut().filter(|joined| joined.id == id) {
            joined.clock = *clock;
        }
    }

    /// Whether a switch to this clock can be made, or has waited long enough for sender reports.
    pub fn ready(&self, now: Instant, id: ClockId, clock: &StreamClock) -> bool {
        let is_settled =
            |clock: &StreamClock| clock.has_report() || now >= clock.first_at().after_s(MAX_REPORT_WAIT_S);
        match &self.joined {
            Some(joined) if joined.id != id => is_settled(clock) && is_settled(&joined.clock),
            _ => true,
        }
    }

    /// The outgoing timestamp, unwrapped, of a forwarded packet that arrived `now`; packets of one frame get
    /// the same.
    ///
    /// `clock` is of the stream it came in, another than before being a switch, and `ts` its timestamp there,
    /// unwrapped.
    pub fn map(&mut self, now: Instant, id: ClockId, clock: &StreamClock, ts: i64) -> i64 {
        let out = match &self.joined {
            Some(joined) if joined.id == id => joined.out(ts),
            _ => self.joined.insert(self.join(now, id, clock, ts)).out(ts),
        };
        if self.highest_at.is_none() || out > self.highest {
            self.highest = out;
            self.highest_at = Some(now);
        }
        out
    }

    /// The outgoing timestamp, unwrapped, that belongs to a time of the publisher's NTP clock.
    ///
    /// The two make the outgoing sender report, `ntp` being the forwarded clock's `StreamClock::ntp_at`. All
    /// tracks of a publisher then speak of one NTP clock, which is what receivers align sound and picture by.
    /// `None` while nothing flows, or its publisher has sent no report: no report can be made then.
    pub fn sender_report_timestamp(&self, ntp: u64) -> Option<i64> {
        let joined = self.joined.as_ref()?;
        Some(rounded(joined.out_fixed(joined.clock.ts_fixed_of(ntp)?)))
    }

    fn join(&self, now: Instant, id: ClockId, clock: &StreamClock, ts: i64) -> Joined {
        let clock = *clock;
        let (Some(before), Some(highest_at)) = (&self.joined, self.highest_at) else {
            let offset_fixed = fixed(self.first_ts - ts);
            return Joined { id, clock, offset_fixed, first_ts: ts, floor: self.first_ts };
        };
        let rate = i128::from(clock.clock_rate());
        let elapsed_fixed = ((i128::from(now - highest_at) * rate) << TICK_BITS).div_euclid(NS_PER_S.into());
        let by_arrival = fixed(self.highest) + elapsed_fixed;
        let most_fixed = (i128::from(MAX_DEVIATION_S) * rate) << TICK_BITS;
        let exact = by_reports(before, &clock, ts)
            .filter(|exact| (exact - by_arrival).abs() <= most_fixed)
            .unwrap_or_else(|| by_arrival.max(fixed(self.highest + 1)));
        let floor = rounded(exact).max(self.highest + 1);
        Joined { id, clock, offset_fixed: exact - fixed(ts), first_ts: ts, floor }
    }
}

fn by_reports(before: &Joined, clock: &StreamClock, ts: i64) -> Option<i128> {
    Some(before.out_fixed(before.clock.ts_fixed_of(clock.ntp_of(ts)?)?))
}

fn fixed(ts: i64) -> i128 {
    i128::from(ts) << TICK_BITS
}

/// The nearest whole tick.
const fn rounded(fixed: i128) -> i64 {
    ((fixed + (1 << (TICK_BITS - 1))) >> TICK_BITS) as i64
}

/// A counter of few bits, kept going over switches by an offset.
#[derive(Debug)]
struct Cyclic<const BITS: u32> {
    highest_out: Option<u8>,
    offset: Option<u8>,
}

impl<const BITS: u32> Cyclic<BITS> {
    const MASK: u8 = u8::MAX >> (u8::BITS - BITS);

    const fn new() -> Self {
        Self { highest_out: None, offset: Some(0) }
    }

    /// The next value comes from elsewhere, and continues the last.
    fn switch(&mut self) {
        self.offset = None;
    }

    /// The outgoing value; 0 stands for a field that is not there.
    fn forward(&mut self, value: Option<u8>) -> u8 {
        let Some(value) = value else { return 0 };
        let highest_out = self.highest_out;
        let offset = *self.offset.get_or_insert_with(|| {
            highest_out.map_or(0, |highest_out| highest_out.wrapping_add(1).wrapping_sub(value))
        });
        let out = value.wrapping_add(offset) & Self::MASK;
        if highest_out.is_none_or(|highest_out| out.wrapping_sub(highest_out) & Self::MASK <= Self::MASK / 2)
        {
            self.highest_out = Some(out);
        }
        out
    }
}

/// What the descriptor of a forwarded packet says, in those of the fields that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vp8Numbers {
    /// Of 15 bits.
    pub picture_id: u16,
    /// TL0PICIDX.
    pub tl0_pic_idx: u8,
    /// KEYIDX, of five bits.
    pub key_idx: u8,
}

/// Keeps picture id, TL0PICIDX and KEYIDX going over switches and over pictures left out.
///
/// Decoders take a jump of these for loss, and ask for a key frame. A late packet gets what the other packets
/// of its picture got. Ids that go back in order of sequence number are an encoder that started anew.
#[derive(Debug)]
pub struct Vp8Rewriter {
    pictures: OffsetMap,
    tl0_pic_idx: Cyclic<TL0PICIDX_BITS>,
    key_idx: Cyclic<KEYIDX_BITS>,
    source: Option<Ssrc>,
    newest_seq: i64,
    newest_picture: Option<i64>,
}

impl Default for Vp8Rewriter {
    fn default() -> Self {
        Self::new()
    }
}

impl Vp8Rewriter {
    /// Nothing flowed yet.
    pub const fn new() -> Self {
        Self {
            pictures: OffsetMap::new(None),
            tl0_pic_idx: Cyclic::new(),
            key_idx: Cyclic::new(),
            source: None,
            newest_seq: 0,
            newest_picture: None,
        }
    }

    /// The outgoing numbers of a forwarded packet; `focus_rtp::vp8::write_vp8_head` writes them.
    ///
    /// `None` where the picture was left out, or is too old to know: no packet of it may be sent.
    pub fn rewrite(&mut self, source: Ssrc, seq: i64, descriptor: Vp8Descriptor) -> Option<Vp8Numbers> {
        if self.source != Some(source) {
            self.source = Some(source);
            self.newest_seq = seq;
            self.restart();
        }
        let picture = match self.number(seq, descriptor) {
            None => 0,
            Some(number) => self.pictures.forward(number)?,
        };
        Some(Vp8Numbers {
            picture_id: picture.rem_euclid(PICTURE_ID_MODULO.into()) as u16,
            tl0_pic_idx: self.tl0_pic_idx.forward(descriptor.tl0_pic_idx()),
            key_idx: self.key_idx.forward(descriptor.key_idx()),
        })
    }

    /// Nothing is forwarded for a while: what comes next is joined like another source.
    pub fn pause(&mut self) {
        self.source = None;
    }

    /// A packet of a picture is left out, and with it the whole picture.
    pub fn drop(&mut self, source: Ssrc, seq: i64, descriptor: Vp8Descriptor) {
        if self.source == Some(source)
            && let Some(number) = self.number(seq, descriptor)
        {
            self.pictures.drop(number);
        }
    }

    fn restart(&mut self) {
        self.newest_picture = None;
        self.pictures.rebase();
        self.tl0_pic_idx.switch();
        self.key_idx.switch();
    }

    /// The picture's unwrapped id among those of its source.
    fn number(&mut self, seq: i64, descriptor: Vp8Descriptor) -> Option<i64> {
        let newest_seq = self.newest_seq;
        self.newest_seq = newest_seq.max(seq);
        let picture_id = i64::from(descriptor.picture_id()?);
        if let Some(newest) = self.newest_picture {
            let modulus = 1 << descriptor.picture_id_bits();
            let half = modulus / 2;
            let ahead = (picture_id - newest + half).rem_euclid(modulus) - half;
            if ahead >= 0 || seq < newest_seq {
                let number = newest + ahead;
                self.newest_picture = Some(newest.max(number));
                return Some(number);
            }
            self.restart();
        }
        self.newest_picture = Some(picture_id);
        Some(picture_id)
    }
}

#[cfg(test)]
mod tests;
