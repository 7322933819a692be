//! What is received, repaired, chosen and rewritten.

use focus_rtp::rtcp::{RtcpPacket, serialise};
use focus_rtp::vp8::{parse_vp8, write_vp8_head};
use focus_streams::cache::{CacheId, PacketCaches};
use focus_streams::clock::StreamClock;
use focus_streams::keyframe::KeyframeThrottle;
use focus_streams::nack::NackGenerator;
use focus_streams::offsets::OffsetMap;
use focus_streams::resend::{ResendBudget, ResendPolicy};
use focus_streams::rewriter::{ClockId, SequenceRewriter, TimestampMapper, Vp8Rewriter};
use focus_streams::selector::{EncodingSelector, PacketFacts};
use focus_streams::statistics::ReceiveStatistics;
use focus_streams::twcc_receiver::TwccReceiver;
use focus_units::{Kind, Ssrc};

use crate::calls::{hex, instant, list, optional, reason, replay};

#[test]
fn offsets() {
    replay(
        "offsets",
        |words| OffsetMap::new(words.optional()),
        |numbers, name, words| match name {
            "rebase" => {
                numbers.rebase();
                String::new()
            }
            "drop" => {
                numbers.drop(words.int());
                optional(numbers.next_out())
            }
            "forward" => optional(numbers.forward(words.int())),
            _ => panic!("{name}"),
        },
    );
}

#[test]
fn sequence() {
    replay(
        "sequence",
        |words| SequenceRewriter::new(words.int()),
        |rewriter, name, words| match name {
            "pause" => {
                rewriter.pause();
                String::new()
            }
            "drop" => {
                rewriter.drop(words.ssrc(), words.int());
                rewriter.next_seq().to_string()
            }
            "forward" => optional(rewriter.forward(words.ssrc(), words.int())),
            _ => panic!("{name}"),
        },
    );
}

#[test]
fn timestamps() {
    replay(
        "timestamps",
        |words| (TimestampMapper::new(words.int()), Vec::<StreamClock>::new()),
        |(mapper, clocks), name, words| {
            if name == "sender_report_timestamp" {
                return optional(mapper.sender_report_timestamp(words.int()));
            }
            let which: usize = words.int();
            let id = ClockId(which as u32);
            match name {
                "clock" => clocks.push(StreamClock::new(words.int(), words.now(), words.int())),
                "received" => clocks[which].received(words.int()),
                "sender_report" => {
                    clocks[which].sender_report(words.now(), words.int(), words.int());
                    mapper.sender_report(id, &clocks[which]);
                }
                "map" => {
                    let now = words.now();
                    let ready = mapper.ready(now, id, &clocks[which]);
                    return format!("{ready} {}", mapper.map(now, id, &clocks[which], words.int()));
                }
                "ntp_at" => return optional(clocks[which].ntp_at(words.now())),
                "ntp_of" => return optional(clocks[which].ntp_of(words.int())),
                "ts_fixed_of" => return optional(clocks[which].ts_fixed_of(words.int())),
                _ => panic!("{name}"),
            }
            String::new()
        },
    );
}

#[test]
fn vp8() {
    replay(
        "vp8",
        |_| Vp8Rewriter::new(),
        |rewriter, name, words| {
            if name == "pause" {
                rewriter.pause();
                return String::new();
            }
            let (source, seq, payload) = (words.ssrc(), words.int(), words.bytes());
            let descriptor = parse_vp8(&payload).unwrap();
            match name {
                "drop" => {
                    rewriter.drop(source, seq, descriptor);
                    String::new()
                }
                "rewrite" => optional(rewriter.rewrite(source, seq, descriptor).map(|numbers| {
                    let mut out = Vec::new();
                    let (picture_id, tl0_pic_idx) = (numbers.picture_id, numbers.tl0_pic_idx);
                    write_vp8_head(&payload, descriptor, picture_id, tl0_pic_idx, numbers.key_idx, &mut out);
                    out.extend_from_slice(&payload[descriptor.size_bytes()..]);
                    hex(&out)
                })),
                _ => panic!("{name}"),
            }
        },
    );
}

#[test]
fn selector() {
    replay(
        "selector",
        |words| EncodingSelector::new(if words.word() == "video" { Kind::Video } else { Kind::Audio }),
        |selector, name, words| {
            match name {
                "set_target" => selector.set_target(words.int(), words.int()),
                "lower" => selector.lower(words.int()),
                "source_changed" => selector.source_changed(words.int()),
                "renumber" => {
                    let numbers = words.list();
                    selector.renumber(|encoding| {
                        numbers
                            .get(encoding as usize)
                            .map(|number| *number as i8)
                            .filter(|number| *number >= 0)
                    });
                }
                "decide" => {
                    let facts = PacketFacts {
                        encoding: words.int(),
                        seq: words.int(),
                        ts: words.int(),
                        starts_key_frame: words.flag(),
                        temporal: words.optional(),
                        layer_sync: words.flag(),
                        descriptor: None,
                    };
                    return reason(selector.decide(&facts, words.flag()));
                }
                "state" => {
                    let current = selector.current().unwrap_or(focus_plane::PAUSED);
                    let (target, temporal) = (selector.target(), selector.temporal());
                    return format!("{current} {target} {temporal} {}", selector.switches());
                }
                _ => panic!("{name}"),
            }
            String::new()
        },
    );
}

#[test]
fn statistics() {
    replay(
        "statistics",
        |words| ReceiveStatistics::new(words.int()),
        |statistics, name, words| match name {
            "repaired" => reason(statistics.repaired(words.int())),
            "sender_report" => {
                statistics.sender_report(words.now(), words.int());
                String::new()
            }
            "received" => {
                let drop = statistics.received(words.now(), words.int(), words.int(), words.int());
                format!("{} {:016x}", reason(drop), statistics.jitter_ms().to_bits())
            }
            "totals" => {
                let (packets, bytes) = (statistics.packets_received(), statistics.bytes_received());
                format!("{packets} {bytes} {}", statistics.packets_lost())
            }
            "report_block" => {
                statistics.report_block(words.now(), Ssrc(7)).map_or_else(String::new, |block| {
                    [
                        i64::from(block.fraction_lost),
                        block.packets_lost,
                        block.highest_sequence_number.into(),
                        block.jitter.into(),
                        block.last_sender_report.into(),
                        block.delay_since_last_sender_report.into(),
                    ]
                    .map(|figure| figure.to_string())
                    .join(" ")
                })
            }
            _ => panic!("{name}"),
        },
    );
}

#[test]
fn cache() {
    replay(
        "cache",
        |words| {
            let (mut caches, max_bytes) = (PacketCaches::<()>::new(words.int()), words.int());
            let ids: [CacheId; 3] = std::array::from_fn(|_| caches.open_within(max_bytes));
            (caches, ids)
        },
        |(caches, ids), name, words| {
            match name {
                "clear" => caches.clear(ids[words.int::<usize>()], &mut |()| ()),
                "make_room" => caches.make_room(words.now(), 0, &mut |()| ()),
                "store" => {
                    let (now, id) = (words.now(), ids[words.int::<usize>()]);
                    caches.store(now, id, words.int(), (), words.int(), &mut |()| ());
                }
                "lookup" => {
                    let (now, id) = (words.now(), ids[words.int::<usize>()]);
                    return caches.lookup(now, id, words.int()).is_some().to_string();
                }
                "used" => {
                    let used = ids.map(|id| caches.bytes_of(id).to_string());
                    return format!("{} {}", caches.used_bytes(), used.join(" "));
                }
                _ => panic!("{name}"),
            }
            String::new()
        },
    );
}

#[test]
fn nack() {
    replay(
        "nack",
        |_| NackGenerator::new(),
        |nack, name, words| match name {
            "set_round_trip_time" => {
                nack.set_round_trip_time(words.int());
                String::new()
            }
            "clear" => {
                nack.clear();
                String::new()
            }
            "received" => {
                let is_hopeless = nack.received(words.now(), words.int());
                format!("{is_hopeless} {}", instant(nack.next_timeout()))
            }
            "poll" => {
                let mut asked = Vec::new();
                nack.poll(words.now(), &mut asked);
                format!("{} {} {}", list(&asked), nack.nack_count(), nack.missing_count())
            }
            _ => panic!("{name}"),
        },
    );
}

#[test]
fn resend() {
    replay(
        "resend",
        |_| (ResendPolicy::new(), ResendBudget::new()),
        |(policy, budget), name, words| match name {
            "answer" => {
                let mut admitted = Vec::new();
                policy.answer(words.now(), &words.list(), words.optional(), &mut admitted);
                list(&admitted)
            }
            "take" => budget.take(words.int()).to_string(),
            "sent" => {
                budget.sent(words.int());
                String::new()
            }
            _ => panic!("{name}"),
        },
    );
}

#[test]
fn keyframe() {
    replay(
        "keyframe",
        |_| KeyframeThrottle::new(),
        |throttle, name, words| {
            match name {
                "request" => throttle.request(words.now(), words.ssrc()),
                "key_frame_started" => throttle.key_frame_started(words.ssrc()),
                "forget" => throttle.forget(words.ssrc()),
                "poll" => {
                    let (timeout, mut due) = (throttle.next_timeout(), Vec::new());
                    throttle.poll(words.now(), &mut due);
                    let due: Vec<u32> = due.into_iter().map(|ssrc| ssrc.0).collect();
                    return format!("{} {}", instant(timeout), list(&due));
                }
                _ => panic!("{name}"),
            }
            String::new()
        },
    );
}

#[test]
fn twcc_receiver() {
    replay(
        "twcc_receiver",
        |words| TwccReceiver::new(words.ssrc()),
        |receiver, name, words| match name {
            "received" => {
                receiver.received(words.now(), words.ssrc(), words.int());
                instant(receiver.next_timeout())
            }
            "poll" => {
                let (mut feedback, mut bytes) = (Vec::new(), Vec::new());
                receiver.poll(words.now(), &mut feedback);
                for packet in feedback {
                    serialise(&RtcpPacket::TransportFeedback(packet), &mut bytes);
                }
                hex(&bytes)
            }
            _ => panic!("{name}"),
        },
    );
}
