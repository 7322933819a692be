//! Whole swarms over loopback: threads, sockets and kernel times.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use swarm::effects::Event;
use swarm::engine::{Settings, Stats};
use swarm::error::Error;
use swarm::handle::Swarm;
use swarm::schedule::Schedule;
use swarm::stats::{PARTICIPANT_FIELDS, STREAM_FIELDS};

/// A limit against hanging, not a measure.
const PATIENCE: Duration = Duration::from_secs(20);

fn swarm(full_share: f64) -> Swarm {
    Swarm::start(Settings { address: Ipv4Addr::LOCALHOST, full_share, tick_ns: 5_000_000 }).expect("starts")
}

fn join(publishers: &Swarm, receivers: &Swarm) -> (u32, u32) {
    let schedule = Schedule::new(vec![vec![1_100; 8], vec![400]], 10.0, 3_000.0).expect("valid");
    let (publisher, offer) = publishers.add_publisher(schedule).expect("added");
    let (receiver, _) = receivers.add_receiver(1, 1).expect("added");
    let answer = receivers
        .visit(receiver, move |member, now, out| member.accept_offer(&offer, now, out))
        .expect("fits");
    publishers
        .visit(publisher, move |member, now, out| member.accept_answer(&answer, now, out))
        .expect("fits");
    (publisher, receiver)
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn sum(rows: &[i64], fields: &[&str], name: &str) -> i64 {
    let column = fields.iter().position(|field| *field == name).expect("a column");
    rows.chunks_exact(fields.len()).map(|row| row[column]).sum()
}

fn received(stats: &Stats, name: &str) -> i64 {
    sum(&stats.streams, &STREAM_FIELDS, name)
}

#[test]
fn everything_that_publishers_send_arrives() {
    let (publishers, receivers) = (swarm(0.0), swarm(0.5));
    for _ in 0..4 {
        join(&publishers, &receivers);
    }
    publishers.set_sending(true).expect("runs");
    eventually("packets", || received(&receivers.stats().expect("runs"), "packets_received") > 1_000);
    publishers.set_sending(false).expect("runs");
    let sent = sum(&publishers.stats().expect("runs").participants, &PARTICIPANT_FIELDS, "media_sent");
    eventually("all packets", || received(&receivers.stats().expect("runs"), "packets_received") == sent);
    let stats = receivers.stats().expect("runs");
    for name in ["packets_lost", "duplicates", "picture_id_breaks", "tl0_breaks", "timestamp_breaks"] {
        assert_eq!(received(&stats, name), 0, "{name}");
    }
    assert_eq!((stats.full_receivers, stats.lean_receivers), (2, 2));
    assert_eq!(stats.delays.iter().sum::<u64>() as i64, sent);
}

#[test]
fn publishers_that_come_after_the_start_send_too() {
    let both = swarm(0.0);
    both.set_sending(true).expect("runs");
    join(&both, &both);
    eventually("packets", || received(&both.stats().expect("runs"), "packets_received") > 50);
    let stats = both.stats().expect("runs");
    assert_eq!(received(&stats, "packets_lost"), 0);
}

#[test]
fn participants_talk_and_their_ends_are_told() {
    let both = swarm(0.0);
    let (publisher, receiver) = join(&both, &both);
    let mut told = Vec::new();
    let mut has_told = |wanted: (u32, Event)| {
        told.extend(both.events());
        told.contains(&wanted)
    };
    for id in [publisher, receiver] {
        eventually("a channel", || has_told((id, Event::ChannelOpen("datachannel".to_owned()))));
    }
    both.visit(publisher, |member, now, out| member.send_text("hello", now, out)).expect("open");
    eventually("a text", || has_told((receiver, Event::Text("hello".to_owned()))));
    both.remove(publisher).expect("there");
    eventually("an end", || has_told((receiver, Event::Closed("the other side closed".to_owned()))));
    assert!(matches!(both.remove(publisher), Err(Error::NoSuchParticipant(_))));
}

#[test]
fn a_closed_swarm_refuses_everything_and_closes_again() {
    let closed = swarm(0.0);
    closed.close();
    closed.close();
    assert!(matches!(closed.stats(), Err(Error::Closed)));
    assert!(matches!(closed.add_receiver(1, 1), Err(Error::Closed)));
}

#[test]
fn settings_out_of_range_are_refused() {
    let settings = Settings { address: Ipv4Addr::LOCALHOST, full_share: 0.1, tick_ns: 5_000_000 };
    for wrong in [Settings { full_share: 1.1, ..settings }, Settings { tick_ns: 0, ..settings }] {
        assert!(matches!(Swarm::start(wrong), Err(Error::Invalid(_))));
    }
}
