//! Transport-wide feedback of a receiver (draft-holmer-rmcat-transport-wide-cc-extensions-01).

use crate::rtp::unwrap;

/// Packets that one report speaks of. More: larger reports; fewer: more of them. 400 fit 1,200 bytes whatever
/// their times.
pub const MAX_STATUSES: u64 = 400;

const DELTA_NS: i64 = 250_000;
const REFERENCE_NS: i64 = 64_000_000;

/// Arrivals that no report has told yet.
#[derive(Debug, Default)]
pub struct Arrivals {
    newest: Option<u64>,
    next: Option<u64>,
    pending: Vec<(u64, i64)>,
    report_count: u8,
}

/// One report without its RTCP header: base, count, reference time, chunks and deltas, padded to words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report(pub Vec<u8>);

impl Arrivals {
    /// Note a packet's transport-wide number and arrival. What comes after a report has passed it by stays
    /// untold.
    pub fn add(&mut self, number: u16, arrived_at_ns: i64) {
        let Some(seq) = unwrap(number, self.newest) else {
            return;
        };
        self.newest = self.newest.max(Some(seq));
        if self.next.is_none_or(|next| seq >= next) {
            self.pending.push((seq, arrived_at_ns));
        }
    }

    /// Reports of everything noted since the last call.
    pub fn reports(&mut self) -> Vec<Report> {
        self.pending.sort_unstable();
        self.pending.dedup_by_key(|&mut (seq, _)| seq);
        let mut reports = Vec::new();
        let mut rest = &self.pending[..];
        while let Some(&(first, _)) = rest.first() {
            // Losses between two reports are told by beginning where the last one ended.
            let base = self.next.filter(|next| first - next < MAX_STATUSES / 2).unwrap_or(first);
            let (report, taken) = write(base, rest, self.report_count);
            self.report_count = self.report_count.wrapping_add(1);
            reports.push(report);
            self.next = Some(rest[taken - 1].0 + 1);
            rest = &rest[taken..];
        }
        self.pending.clear();
        reports
    }
}

/// Write one report of as many of these arrivals as fit; returns how many that were, at least one.
fn write(base: u64, arrivals: &[(u64, i64)], report_count: u8) -> (Report, usize) {
    let reference = arrivals[0].1.div_euclid(REFERENCE_NS);
    let mut symbols: Vec<u16> = Vec::new();
    let mut deltas: Vec<u8> = Vec::new();
    let mut told_ns = reference * REFERENCE_NS;
    let mut taken = 0;
    for &(seq, arrived_at_ns) in arrivals {
        let delta = (arrived_at_ns - told_ns).div_euclid(DELTA_NS);
        if seq - base >= MAX_STATUSES || i16::try_from(delta).is_err() {
            break;
        }
        symbols.resize((seq - base) as usize, 0);
        if let Ok(small) = u8::try_from(delta) {
            symbols.push(1);
            deltas.push(small);
        } else {
            symbols.push(2);
            deltas.extend((delta as i16).to_be_bytes());
        }
        told_ns += delta * DELTA_NS;
        taken += 1;
    }
    let mut bytes = Vec::with_capacity(8 + symbols.len().div_ceil(7) * 2 + deltas.len() + 3);
    bytes.extend((base as u16).to_be_bytes());
    bytes.extend((symbols.len() as u16).to_be_bytes());
    bytes.extend(&(reference as u32).to_be_bytes()[1..]);
    bytes.push(report_count);
    for seven in symbols.chunks(7) {
        let chunk = seven
            .iter()
            .enumerate()
            .fold(0xc000, |chunk, (index, symbol)| chunk | symbol << (12 - 2 * index));
        bytes.extend(chunk.to_be_bytes());
    }
    bytes.extend(deltas);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    (Report(bytes), taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn a_report_tells_times_and_gaps() {
        let mut arrivals = Arrivals::default();
        arrivals.add(9, 64 * MS);
        arrivals.add(11, 65 * MS);
        arrivals.add(12, 200 * MS);
        let reports = arrivals.reports();
        assert_eq!(reports.len(), 1);
        let bytes = &reports[0].0;
        assert_eq!(bytes[..8], [0, 9, 0, 4, 0, 0, 1, 0], "base, count, reference, number");
        assert_eq!(u16::from_be_bytes([bytes[8], bytes[9]]), 0b11_01_00_01_10_00_00_00);
        assert_eq!(bytes[10..14], [0, 4, 0x02, 0x1c], "0, 1 ms, and 135 ms in two bytes");
        assert!(bytes.len().is_multiple_of(4));
    }

    #[test]
    fn what_is_lost_between_two_reports_is_told() {
        let mut arrivals = Arrivals::default();
        arrivals.add(65_535, 0);
        arrivals.reports();
        arrivals.add(2, MS);
        let report = &arrivals.reports()[0].0;
        assert_eq!(report[..4], [0, 0, 0, 3]);
        assert_eq!(report[7], 1);
    }

    #[test]
    fn a_jump_and_a_long_pause_begin_anew() {
        let mut arrivals = Arrivals::default();
        arrivals.add(0, 0);
        arrivals.reports();
        arrivals.add(5_000, MS);
        arrivals.add(5_001, 20_000 * MS);
        let reports = arrivals.reports();
        assert_eq!(reports.len(), 2);
        assert_eq!(reports[0].0[..4], [0x13, 0x88, 0, 1]);
        assert_eq!(reports[1].0[..4], [0x13, 0x89, 0, 1]);
    }

    #[test]
    fn many_arrivals_are_spread_over_reports_that_fit() {
        let mut arrivals = Arrivals::default();
        for number in 0..1_000 {
            arrivals.add(number, i64::from(number) * 100 * MS);
        }
        let reports = arrivals.reports();
        assert_eq!(reports.len(), 3);
        assert!(reports.iter().all(|report| report.0.len() < 1_100));
    }

    #[test]
    fn a_duplicate_is_told_once_and_a_straggler_not_at_all() {
        let mut arrivals = Arrivals::default();
        arrivals.add(5, 0);
        arrivals.add(5, MS);
        assert_eq!(arrivals.reports()[0].0[2..4], [0, 1]);
        arrivals.add(4, 2 * MS);
        assert_eq!(arrivals.reports(), []);
    }
}
