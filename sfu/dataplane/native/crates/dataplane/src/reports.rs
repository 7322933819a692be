//! RTCP on its way out: when reports are due, and how packets become compounds (RFC 3550 section 6).

use focus_rtp::rtcp::{MAX_BLOCKS, Nack, ReceiverReport, ReportBlock, RtcpPacket, Sdes, serialise};
use focus_units::{Instant, NS_PER_MS, Ssrc, TransportId};

use crate::agenda::Agenda;
use crate::wire::{MAX_PACKET_BYTES, TAG_BYTES};

/// Who we are in what we say as a receiver; never one of our streams, whose SSRCs are drawn at random.
pub const FEEDBACK_SSRC: Ssrc = Ssrc(1);

/// Between two reports to one peer, on average. Lower: more packets. Higher: receivers align sound and picture
/// late, and round trips are known late.
pub const REPORT_INTERVAL_MS: i64 = 1_000;

/// From the first packet to the first report, in which much can be told together.
pub const FIRST_REPORT_MS: i64 = 100;

/// Longest compound, before encryption adds a tag and an index.
pub const MAX_RTCP_BYTES: usize = MAX_PACKET_BYTES - TAG_BYTES - 4;

/// Sequence numbers of one NACK packet, so that it fits a compound however far apart they lie.
pub const MAX_NACKED: usize = 256;

/// Reports come at random by this much early or late (section 6.2): peers that joined together don't report
/// together for ever.
const SPREAD_MS: i64 = REPORT_INTERVAL_MS / 5;

/// When one peer is next sent reports: never while there is nothing to say.
#[derive(Debug)]
pub struct ReportSchedule {
    transport: TransportId,
    due_at: Option<Instant>,
}

impl ReportSchedule {
    /// For this peer.
    pub fn new(transport: TransportId) -> Self {
        Self { transport, due_at: None }
    }

    /// A packet passed in either direction.
    pub fn active(&mut self, now: Instant, agenda: &mut Agenda) {
        if self.due_at.is_none() {
            self.plan(now.after_ms(FIRST_REPORT_MS), agenda);
        }
    }

    /// There is something that a peer should know soon.
    pub fn hurry(&mut self, now: Instant, agenda: &mut Agenda) {
        let soon = now.after_ms(FIRST_REPORT_MS);
        if self.due_at.is_none_or(|due_at| soon < due_at) {
            self.plan(soon, agenda);
        }
    }

    /// When reports are due; `None`: not before `active`.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.due_at
    }

    /// Whether to make reports now. Say `reported` if there were any.
    pub fn take(&mut self, now: Instant) -> bool {
        self.due_at.take_if(|due_at| now >= *due_at).is_some()
    }

    /// There was something to say, so there will be again. `key` is of the plane, and must not be guessed.
    pub fn reported(&mut self, now: Instant, agenda: &mut Agenda, key: u64) {
        self.plan(now.after_ns(interval_ns(key, self.transport, now)), agenda);
    }

    fn plan(&mut self, at: Instant, agenda: &mut Agenda) {
        self.due_at = Some(at);
        agenda.plan(self.transport, Some(at));
    }
}

/// From a report to the next.
///
/// A hash of time (the finaliser of `SplitMix64`), not a generator's next number: whose turn came first makes no
/// difference, so all planes that have a key report at the same times.
pub fn interval_ns(key: u64, transport: TransportId, now: Instant) -> i64 {
    let step = u64::from(transport.0).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut mixed = key.wrapping_add(now.0 as u64).wrapping_add(step);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    let spread_ns = SPREAD_MS * NS_PER_MS;
    REPORT_INTERVAL_MS * NS_PER_MS - spread_ns + (mixed % (2 * spread_ns as u64 + 1)) as i64
}

/// Packets that belong together: no compound parts them.
pub type Unit = Vec<RtcpPacket>;

/// Units that each begin a compound: reports on what we receive, and who says so.
pub fn receiver_reports(blocks: &[ReportBlock], cname: &str) -> impl Iterator<Item = Unit> {
    blocks.chunks(MAX_BLOCKS).map(|blocks| {
        vec![
            RtcpPacket::ReceiverReport(ReceiverReport { ssrc: FEEDBACK_SSRC, reports: blocks.to_vec() }),
            RtcpPacket::Sdes(Sdes { cnames: vec![(FEEDBACK_SSRC, cname.to_owned())] }),
        ]
    })
}

/// Units that ask for these packets again, unwrapped numbers in ascending order.
pub fn nacks(media_ssrc: Ssrc, seqs: &[i64]) -> impl Iterator<Item = Unit> {
    seqs.chunks(MAX_NACKED).map(move |seqs| {
        vec![RtcpPacket::Nack(Nack {
            sender_ssrc: FEEDBACK_SSRC,
            media_ssrc,
            sequence_numbers: seqs.iter().map(|seq| *seq as u16).collect(),
        })]
    })
}

/// Units in as few packets as can be, in order; none is cut or longer than `MAX_RTCP_BYTES`.
pub fn compounds(units: &[Unit]) -> Vec<Vec<u8>> {
    let mut compounds: Vec<Vec<u8>> = Vec::new();
    for unit in units {
        let mut bytes = Vec::new();
        for packet in unit {
            serialise(packet, &mut bytes);
        }
        match compounds.last_mut() {
            Some(last) if last.len() + bytes.len() <= MAX_RTCP_BYTES => last.extend_from_slice(&bytes),
            _ => compounds.push(bytes),
        }
    }
    compounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_planes_spread_their_reports_alike() {
        let at = [0, 1, 10_i64.pow(13), 1 << 62];
        let intervals = at.map(|now| interval_ns(u64::MAX - 4, TransportId(7), Instant(now)));
        assert_eq!(intervals, [927_631_104, 993_147_411, 1_144_650_758, 974_151_538]);
    }

    #[test]
    fn a_hurry_brings_a_report_forward_and_never_puts_it_off() {
        let mut agenda = Agenda::default();
        let mut schedule = ReportSchedule::new(TransportId(1));
        let start = Instant(0);
        schedule.reported(start, &mut agenda, 1);
        schedule.hurry(start, &mut agenda);
        let soon = start.after_ms(FIRST_REPORT_MS);
        assert_eq!(schedule.next_timeout(), Some(soon));
        schedule.hurry(start.after_ms(20), &mut agenda);
        assert_eq!(schedule.next_timeout(), Some(soon));
        assert!(!schedule.take(start.after_ms(FIRST_REPORT_MS - 1)));
        assert!(schedule.take(soon));
    }
}
