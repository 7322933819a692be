//! What leaves, when it leaves, and what the peer says of it.

use std::sync::Arc;

use focus_rtp::dependency_descriptor::parse_dependency_descriptor;
use focus_rtp::twcc::TransportFeedback;
use focus_streams::debt::Debt;
use focus_streams::descriptor_reader::PacketDescriptor;
use focus_streams::pacer::{Pacer, Queued, Turn};
use focus_streams::probing::Probes;
use focus_streams::selector::PacketFacts;
use focus_streams::slow_receiver::{Fate, cut};
use focus_streams::twcc_sender::{LOST, TwccSender};
use focus_units::{RouteId, Ssrc};

use crate::calls::{instant, list, optional, replay};

#[test]
fn twcc_sender() {
    replay(
        "twcc_sender",
        |_| TwccSender::new(),
        |sender, name, words| match name {
            "stamp" => {
                let (now, step_ns, count): (_, i64, i64) = (words.now(), words.int(), words.int());
                let (size_bytes, cluster) = (words.int(), words.int());
                let stamp = |step| sender.stamp(now.after_ns(step * step_ns), size_bytes, cluster);
                optional((0..count).map(stamp).last())
            }
            "forget" => {
                sender.forget(words.int());
                String::new()
            }
            "report" => {
                let (now, numbers, told) = (words.now(), words.list(), words.list());
                let arrival = |(number, at)| (number as u16, Some(at).filter(|at| *at != LOST));
                let feedback = TransportFeedback {
                    sender_ssrc: Ssrc(1),
                    media_ssrc: Ssrc(2),
                    feedback_count: 0,
                    arrivals: numbers.into_iter().zip(told).map(arrival).collect(),
                };
                let mut reported = Vec::new();
                sender.report(now, &feedback, &mut reported);
                let figures = reported.iter().flat_map(|one| {
                    let (cluster, size_bytes) = (one.cluster.into(), one.size_bytes.into());
                    [one.seq, cluster, size_bytes, one.sent_at.0, one.arrived_at]
                });
                list(&figures.collect::<Vec<i64>>())
            }
            _ => panic!("{name}"),
        },
    );
}

#[test]
fn debt() {
    replay(
        "debt",
        |words| Debt::new(words.int(), words.int()),
        |debt, name, words| {
            let now = words.now();
            match name {
                "set_rate" => debt.set_rate(now, words.float()),
                "begin" => debt.begin(now),
                "charge" => {
                    let size_bytes = words.int();
                    let (admits, at) = (debt.admits(now, size_bytes), debt.admits_at(size_bytes));
                    debt.charge(now, size_bytes);
                    return format!("{admits} {} {}", at.0, debt.paid_at().0);
                }
                _ => panic!("{name}"),
            }
            String::new()
        },
    );
}

#[test]
fn probing() {
    replay(
        "probing",
        |_| Probes::new(),
        |probes, name, words| {
            let now = words.now();
            match name {
                "ask" => probes.ask(now, words.int(), words.float(), words.int()),
                "sent" => probes.sent(now, words.int()),
                "poll" => {
                    let (timeout, due) = (probes.next_timeout(), probes.poll(now));
                    return format!("{} {due} {}", instant(timeout), probes.cluster());
                }
                _ => panic!("{name}"),
            }
            String::new()
        },
    );
}

/// A third stays, a third keeps its place, a third goes.
fn judged(queued: Queued<i64>) -> Option<Queued<i64>> {
    match queued.item % 3 {
        0 => Some(queued),
        1 => Some(Queued { size_bytes: 0, ..queued }),
        _ => None,
    }
}

fn items(pacer: &Pacer<i64, i64>, flow: RouteId) -> String {
    list(&pacer.of(flow).map(|queued| queued.item).collect::<Vec<_>>())
}

/// The turn by name, what left, its size, and the probe that it was part of.
fn left(pacer: &mut Pacer<i64, i64>, now: focus_units::Instant, turn: Turn) -> String {
    let (name, item, size_bytes) = match turn {
        Turn::Resend => pacer.take_resend().map(|queued| ("resend", queued.item, queued.size_bytes)).unwrap(),
        Turn::Media => pacer.take().map(|queued| ("media", queued.item, queued.size_bytes)).unwrap(),
        Turn::Filler => ("filler", -1, 255),
    };
    let cluster = pacer.cluster();
    if size_bytes > 0 {
        pacer.sent(now, size_bytes);
    }
    format!("{name} {item} {size_bytes} {cluster}")
}

#[test]
fn pacer() {
    replay(
        "pacer",
        |_| Pacer::new(),
        |pacer, name, words| {
            match name {
                "set_pacing" => pacer.set_pacing(words.now(), words.float(), words.float(), words.float()),
                "probe" => pacer.probe(words.now(), words.int(), words.float(), words.int()),
                "wait_resend" => {
                    let (now, flow, size_bytes) = (words.now(), RouteId(words.int()), words.int());
                    let admits = pacer.admits_resend(now, size_bytes);
                    return format!("{admits} {}", pacer.wait_resend(now, flow, size_bytes, words.int()));
                }
                "wait" => {
                    let (now, flow, size_bytes) = (words.now(), RouteId(words.int()), words.int());
                    let admits = pacer.admits(now, size_bytes);
                    pacer.wait(now, flow, size_bytes, words.int());
                    return format!("{admits} {}", pacer.is_full());
                }
                "forget" => pacer.forget(RouteId(words.int())),
                "overdue" => return optional(pacer.overdue(words.now()).map(|flow| flow.0)),
                "sift" => {
                    let flow = RouteId(words.int());
                    let before = items(pacer, flow);
                    pacer.sift(flow, judged);
                    return format!("{before} {} {}", items(pacer, flow), pacer.holds(flow));
                }
                "next_timeout" => {
                    let timeout = instant(pacer.next_timeout(words.flag()));
                    return format!("{timeout} {} {}", pacer.wants_fillers(), pacer.waiting_packets());
                }
                "turn" => {
                    let now = words.now();
                    let turn = pacer.turn(now, words.flag());
                    return optional(turn.map(|turn| left(pacer, now, turn)));
                }
                _ => panic!("{name}"),
            }
            String::new()
        },
    );
}

#[test]
fn slow_receiver() {
    let fields = parse_dependency_descriptor(&[0xC0, 0, 1], None).unwrap();
    let described =
        PacketDescriptor { fields, frame_number: 1, sequence_start: 0, structure: None, active: 0 };
    let described = Arc::new(described);
    replay(
        "slow_receiver",
        |_| (),
        |(), name, words| {
            assert_eq!(name, "cut");
            let descriptor = Some(Arc::clone(&described)).filter(|_| words.flag());
            let (layers, keys) = (words.list(), words.list());
            let waiting: Vec<Option<PacketFacts>> = (0..)
                .zip(layers)
                .map(|(number, layer)| {
                    (layer != -2).then(|| PacketFacts {
                        encoding: 0,
                        seq: number,
                        ts: number / 2,
                        starts_key_frame: keys.contains(&number),
                        temporal: Some(layer as i8).filter(|layer| *layer >= 0),
                        layer_sync: false,
                        descriptor: descriptor.clone(),
                    })
                })
                .collect();
            let verdict = cut(waiting.iter().map(Option::as_ref));
            let fates: String = verdict
                .fates
                .iter()
                .map(|fate| match fate {
                    Fate::Kept => 'K',
                    Fate::LeftOut => 'L',
                    Fate::Gone => 'G',
                })
                .collect();
            format!("{fates} {} {}", optional(verdict.limit), verdict.needs_key_frame())
        },
    );
}
