use super::*;

const START: Instant = Instant(10_000_000_000_000);

/// Send whatever is asked for; (nanoseconds after the start, cluster) of each packet.
fn run(probes: &mut Probes, size_bytes: usize) -> Vec<(i64, u32)> {
    let (mut now, mut sent) = (START, Vec::new());
    loop {
        if probes.poll(now) {
            sent.push((now - START, probes.cluster()));
            probes.sent(now, size_bytes);
            continue;
        }
        let Some(at) = probes.next_timeout() else { return sent };
        assert!(at > now);
        now = at;
    }
}

#[test]
fn a_cluster_is_spaced_by_its_rate_and_ends_with_its_size() {
    let mut probes = Probes::default();
    assert!(!probes.poll(START));
    assert_eq!(probes.next_timeout(), None);
    probes.ask(START, 7, 4_000_000.0, 7_500);
    assert_eq!(probes.next_timeout(), Some(START));
    assert_eq!(run(&mut probes, 1_144), (0..7).map(|index| (index * 2_288_000, 7)).collect::<Vec<_>>());
    assert_eq!(probes.cluster(), 0);
}

#[test]
fn clusters_run_one_after_another() {
    let mut probes = Probes::new();
    probes.ask(START, 1, 1_000_000.0, 2_000);
    probes.ask(START, 2, 2_000_000.0, 1_000);
    assert_eq!(run(&mut probes, 1_000), [(0, 1), (8 * NS_PER_MS, 1), (16 * NS_PER_MS, 2)]);
}

#[test]
fn what_else_leaves_is_part_of_the_cluster() {
    let mut probes = Probes::new();
    probes.ask(START, 1, 1_000_000.0, 2_000);
    assert_eq!(probes.cluster(), 0);
    assert!(probes.poll(START));
    assert_eq!(probes.cluster(), 1);
    probes.sent(START, 500);
    assert_eq!(probes.next_timeout(), Some(START.after_ms(4)));
    probes.sent(START, 1_500);
    assert_eq!(probes.cluster(), 0);
    probes.sent(START, 1_500);
    assert_eq!(probes.next_timeout(), None);
}

#[test]
fn a_late_timer_makes_up_for_some_of_it() {
    let mut probes = Probes::new();
    probes.ask(START, 1, 8_000_000.0, 1_000_000);
    assert!(probes.poll(START));
    probes.sent(START, 1_000);
    let (late, mut count) = (START.after_ms(100), 0);
    while probes.poll(late) {
        probes.sent(late, 1_000);
        count += 1;
    }
    assert_eq!(count, LATE_NS / NS_PER_MS + 1);
}

#[test]
fn only_so_many_wait_and_the_oldest_goes() {
    let most = MAX_CLUSTERS as u32;
    let mut probes = Probes::new();
    for number in 1..most + 3 {
        probes.ask(START, number, 1_000_000.0, 1);
    }
    let clusters: Vec<u32> = run(&mut probes, 1).into_iter().map(|(_, cluster)| cluster).collect();
    assert_eq!(clusters, (3..most + 3).collect::<Vec<_>>());
}

#[test]
fn one_that_could_not_begin_for_long_is_forgotten() {
    let mut probes = Probes::new();
    probes.ask(START, 1, 1_000_000.0, 1);
    probes.ask(START.after_ms(1), 2, 1_000_000.0, 1);
    assert!(probes.poll(START.after_ms(MAX_WAIT_MS)));
    assert_eq!(probes.cluster(), 2);
}

#[test]
fn a_cluster_without_a_size_is_none() {
    let mut probes = Probes::new();
    probes.ask(START, 1, 1_000_000.0, 0);
    assert!(!probes.poll(START));
    assert_eq!(probes.next_timeout(), None);
}

#[test]
fn no_cluster_is_faster_than_the_fastest() {
    let mut probes = Probes::new();
    probes.ask(START, 1, f64::INFINITY, 2_500);
    assert_eq!(run(&mut probes, 1_250), [(0, 1), (100_000, 1)]);
}
