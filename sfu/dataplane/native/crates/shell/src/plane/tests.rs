use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket as StdUdpSocket};
use std::time::Duration;

use focus_dataplane::MAX_DATAGRAM_BYTES;
use focus_ice::{Address, Attribute, BINDING, MessageClass, StunMessage, serialise};
use focus_plane::{Credentials, DropReason, Event};
use focus_units::TransportId;

use super::*;
use crate::poller::Poller;
use crate::tcp::TcpServer;

const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;
const TRANSPORT: TransportId = TransportId(1);
const PASSWORD: &str = "password-of-ours";
const HANDSHAKE: &[u8] = &[22, 254, 253, 1, 2, 3];

fn settings(workers: u16) -> Settings {
    Settings {
        host: IpAddr::V4(LOOPBACK),
        port: 0,
        workers,
        receive_buffer_bytes: 1 << 20,
        tcp_port: Some(0),
        core: Config { consent_timeout_s: 30.0, packet_cache_bytes: 1 << 20 },
    }
}

fn add(transport: TransportId, worker: u16) -> Operation {
    add_named(transport, worker, "ours")
}

fn add_named(transport: TransportId, worker: u16, ufrag: &str) -> Operation {
    let credentials = Credentials { ufrag: ufrag.into(), password: PASSWORD.into() };
    Operation::AddTransport { transport, credentials, worker, own_port: false }
}

fn plane() -> Plane {
    let plane = Plane::start(settings(1), [1; 32]).expect("ports are free");
    plane.apply(vec![add(TRANSPORT, 0)]).expect("it is the first");
    plane
}

/// A browser's check that nominates.
fn check() -> Vec<u8> {
    check_of("ours")
}

fn check_of(ufrag: &str) -> Vec<u8> {
    let username = format!("{ufrag}:theirs");
    let attributes: [(u16, &[u8]); 2] =
        [(Attribute::Username as u16, username.as_bytes()), (Attribute::UseCandidate as u16, b"")];
    let mut data = Vec::new();
    serialise(&mut data, MessageClass::Request, BINDING, *b"transaction!", &attributes, Some(PASSWORD));
    data
}

fn assert_is_success(answer: &[u8]) {
    let message = StunMessage::parse(answer).expect("it is a message");
    assert_eq!(message.class, MessageClass::Success);
    assert!(message.is_signed_with(PASSWORD));
}

/// All that came up, until there is something that ends it.
fn drained(plane: &Plane, is_last: impl Fn(&Batch) -> bool) -> Batch {
    let mut poller = Poller::new().expect("there are descriptors");
    poller.add(plane.batch_fd(), 0).expect("it can be waited for");
    loop {
        assert_eq!(poller.wait(Some(Duration::from_secs(5))).count(), 1, "nothing came up");
        let batch = plane.drain();
        if is_last(&batch) {
            return batch;
        }
    }
}

fn send_handshake(plane: &Plane) {
    let operation = Operation::SendDatagram { transport: TRANSPORT, data: HANDSHAKE.to_vec() };
    plane.apply(vec![operation]).expect("it contradicts nothing");
}

fn framed(datagram: &[u8]) -> Vec<u8> {
    [&(datagram.len() as u16).to_be_bytes()[..], datagram].concat()
}

fn read_frame(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).expect("there is a frame");
    let mut datagram = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut datagram).expect("it is there in full");
    datagram
}

fn client_of(port: u16) -> StdUdpSocket {
    let client = StdUdpSocket::bind((LOOPBACK, 0)).expect("a port is free");
    client.set_read_timeout(Some(Duration::from_secs(5))).expect("it is not zero");
    client.connect((LOOPBACK, port)).expect("it is bound");
    client
}

#[test]
fn a_peer_checks_and_shakes_hands_over_udp() {
    let mut plane = plane();
    let client = client_of(plane.ports()[0]);
    let mut buffer = [0; MAX_DATAGRAM_BYTES];
    client.send(&check()).expect("it is taken");
    let length = client.recv(&mut buffer).expect("it is answered");
    assert_is_success(&buffer[..length]);
    drained(&plane, |batch| batch.events == [Event::PairSelected { transport: TRANSPORT }]);
    client.send(HANDSHAKE).expect("it is taken");
    drained(&plane, |batch| batch.datagrams == [(TRANSPORT, HANDSHAKE.into())]);
    send_handshake(&plane);
    let length = client.recv(&mut buffer).expect("it is sent");
    assert_eq!(&buffer[..length], HANDSHAKE);
    plane.close();
    assert_eq!(plane.failures(), 0);
}

#[test]
fn a_peer_without_udp_checks_and_shakes_hands_over_tcp() {
    let mut plane = plane();
    let port = plane.tcp_port().expect("it is bound");
    let mut client = TcpStream::connect((LOOPBACK, port)).expect("it listens");
    client.set_read_timeout(Some(Duration::from_secs(5))).expect("it is not zero");
    client.write_all(&framed(&check())).expect("there is room");
    assert_is_success(&read_frame(&mut client));
    drained(&plane, |batch| batch.events == [Event::PairSelected { transport: TRANSPORT }]);
    client.write_all(&framed(HANDSHAKE)).expect("there is room");
    drained(&plane, |batch| batch.datagrams == [(TRANSPORT, HANDSHAKE.into())]);
    send_handshake(&plane);
    assert_eq!(read_frame(&mut client), HANDSHAKE);
    // When the connection has ended, nothing is sent to it.
    drop(client);
    while plane.stats().drops.of(DropReason::NoSelectedPair) == 0 {
        send_handshake(&plane);
    }
    // Who connects again and checks goes on.
    let mut client = TcpStream::connect((LOOPBACK, port)).expect("it listens");
    client.set_read_timeout(Some(Duration::from_secs(5))).expect("it is not zero");
    client.write_all(&framed(&check())).expect("there is room");
    assert_is_success(&read_frame(&mut client));
    send_handshake(&plane);
    assert_eq!(read_frame(&mut client), HANDSHAKE);
    plane.close();
    assert_eq!(plane.failures(), 0);
}

#[test]
fn each_worker_answers_its_own_transports_on_its_own_port() {
    let plane = Plane::start(settings(2), [1; 32]).expect("ports are free");
    let transports = [TRANSPORT, TransportId(2)];
    let ufrags = ["ours", "others"];
    plane.apply(vec![add(transports[0], 0), add_named(transports[1], 1, ufrags[1])]).expect("there are two");
    let clients: Vec<_> = plane.ports().into_iter().map(client_of).collect();
    let mut buffer = [0; MAX_DATAGRAM_BYTES];
    for ((client, transport), ufrag) in clients.iter().zip(transports).zip(ufrags) {
        client.send(&check_of(ufrag)).expect("it is taken");
        let length = client.recv(&mut buffer).expect("it is answered");
        assert_is_success(&buffer[..length]);
        drained(&plane, |batch| batch.events == [Event::PairSelected { transport }]);
        let operation = Operation::SendDatagram { transport, data: HANDSHAKE.to_vec() };
        plane.apply(vec![operation]).expect("it contradicts nothing");
        let length = client.recv(&mut buffer).expect("it is sent");
        assert_eq!(&buffer[..length], HANDSHAKE);
    }
    plane.apply(vec![Operation::RemoveTransport { transport: transports[0] }]).expect("it lives");
    for client in &clients {
        client.send(b"nothing that is known").expect("it is taken");
    }
    let unknown = [DropReason::UnknownPeer, DropReason::UnknownProtocol];
    while unknown.iter().any(|reason| plane.stats().drops.of(*reason) == 0) {}
    let stats = plane.stats();
    assert_eq!(unknown.map(|reason| stats.drops.of(reason)), [1, 1]);
    assert_eq!(stats.transports[..4], 2_u32.to_le_bytes());
    assert_eq!(plane.failures(), 0);
}

#[test]
fn a_request_of_ours_leaves_from_the_port_of_its_worker_and_its_answer_comes_up() {
    let plane = Plane::start(settings(2), [1; 32]).expect("ports are free");
    plane.apply(vec![add(TRANSPORT, 1)]).expect("it is the first");
    let client = client_of(plane.ports()[1]); // it hears this port alone
    let host = LOOPBACK.to_string();
    let port = client.local_addr().expect("it is bound").port().into();
    let data = check_of("theirs");
    plane
        .apply(vec![Operation::SendStun { transport: TRANSPORT, host: host.clone(), port, data }])
        .expect("it is a request");
    let mut buffer = [0; MAX_DATAGRAM_BYTES];
    let length = client.recv(&mut buffer).expect("it is sent");
    let id = StunMessage::parse(&buffer[..length]).expect("it is a message").transaction_id;
    let mut answer = Vec::new();
    serialise(&mut answer, MessageClass::Success, BINDING, id, &[], None);
    client.send(&answer).expect("it is taken");
    let from = Address::from(client.local_addr().expect("it is bound"));
    drained(&plane, |batch| batch.responses == [(TRANSPORT, from, answer[..].into())]);
    plane
        .apply(vec![Operation::SelectAddress { transport: TRANSPORT, host, port }])
        .expect("it is an address");
    drained(&plane, |batch| batch.events == [Event::PairSelected { transport: TRANSPORT }]);
    send_handshake(&plane);
    let length = client.recv(&mut buffer).expect("it is sent");
    assert_eq!(&buffer[..length], HANDSHAKE);
    assert_eq!(plane.failures(), 0);
}

/// Two planes, the second of which dials the first twice: what the transports of both hear of each other.
fn dialled_twice(workers: u16) -> Vec<(TransportId, Box<[u8]>)> {
    let callee = Plane::start(settings(1), [1; 32]).expect("ports are free");
    let dialler = Plane::start(settings(workers), [2; 32]).expect("ports are free");
    let pairs = [(TransportId(1), "first"), (TransportId(2), "second")];
    let (host, port) = (LOOPBACK.to_string(), i64::from(callee.ports()[0]));
    for (transport, ufrag) in pairs {
        callee.apply(vec![add_named(transport, 0, ufrag)]).expect("it is new");
        let credentials = Credentials { ufrag: format!("{ufrag} dialler"), password: PASSWORD.into() };
        let worker = workers - 1;
        let added = Operation::AddTransport { transport, credentials, worker, own_port: true };
        let data = check_of(ufrag);
        let asked = Operation::SendStun { transport, host: host.clone(), port, data };
        dialler.apply(vec![added, asked]).expect("it is new");
        drained(&dialler, |batch| batch.responses.iter().any(|(of, ..)| *of == transport));
        let selected = Operation::SelectAddress { transport, host: host.clone(), port };
        dialler.apply(vec![selected]).expect("it is an address");
    }
    let mut datagrams = Vec::new();
    for (sender, receiver) in [(&dialler, &callee), (&callee, &dialler)] {
        for (transport, ufrag) in pairs {
            let data = [HANDSHAKE, ufrag.as_bytes()].concat();
            sender.apply(vec![Operation::SendDatagram { transport, data }]).expect("it contradicts nothing");
            datagrams.extend(drained(receiver, |batch| !batch.datagrams.is_empty()).datagrams);
        }
    }
    assert_eq!(dialler.failures() + callee.failures(), 0);
    datagrams
}

#[test]
fn two_that_dial_one_port_are_told_apart_by_ports_of_their_own() {
    for workers in [1, 2] {
        let datagrams = dialled_twice(workers);
        let expected = [(TransportId(1), "first"), (TransportId(2), "second")];
        let expected = expected.map(|(to, name)| (to, [HANDSHAKE, name.as_bytes()].concat().into()));
        assert_eq!(datagrams, [&expected[..], &expected[..]].concat());
    }
}

#[test]
fn what_is_said_last_leaves_before_the_port_is_closed() {
    let plane = Plane::start(settings(1), [1; 32]).expect("ports are free");
    let client = StdUdpSocket::bind((LOOPBACK, 0)).expect("a port is free");
    client.set_read_timeout(Some(Duration::from_secs(5))).expect("it is not zero");
    let port = client.local_addr().expect("it is bound").port().into();
    let credentials = Credentials { ufrag: "ours".into(), password: PASSWORD.into() };
    let transport = TRANSPORT;
    plane
        .apply(vec![
            Operation::AddTransport { transport, credentials, worker: 0, own_port: true },
            Operation::SelectAddress { transport, host: LOOPBACK.to_string(), port },
            Operation::SendDatagram { transport, data: HANDSHAKE.to_vec() },
            Operation::RemoveTransport { transport },
        ])
        .expect("they contradict nothing");
    let mut buffer = [0; MAX_DATAGRAM_BYTES];
    let (length, from) = client.recv_from(&mut buffer).expect("it was sent");
    assert_eq!(&buffer[..length], HANDSHAKE);
    assert_ne!(from.port(), plane.ports()[0]);
    while StdUdpSocket::bind(from).is_err() {}
    assert_eq!(plane.failures(), 0);
}

#[test]
fn a_connection_reaches_the_worker_that_its_check_names() {
    let plane = Plane::start(settings(2), [1; 32]).expect("ports are free");
    let other = TransportId(2);
    plane.apply(vec![add_named(other, 0, "others"), add(TRANSPORT, 1)]).expect("there are two");
    let port = plane.tcp_port().expect("it is bound");
    let mut client = TcpStream::connect((LOOPBACK, port)).expect("it listens");
    client.set_read_timeout(Some(Duration::from_secs(5))).expect("it is not zero");
    // The length by itself, as some clients write it, and a second frame right behind the first.
    let bytes = [framed(&check()), framed(HANDSHAKE)].concat();
    client.set_nodelay(true).expect("it is TCP");
    client.write_all(&bytes[..2]).expect("there is room");
    client.write_all(&bytes[2..9]).expect("there is room");
    client.write_all(&bytes[9..]).expect("there is room");
    assert_is_success(&read_frame(&mut client));
    let mut datagrams = Vec::new();
    while datagrams.is_empty() {
        datagrams = drained(&plane, |_| true).datagrams;
    }
    assert_eq!(datagrams, [(TRANSPORT, HANDSHAKE.into())]);
    send_handshake(&plane);
    assert_eq!(read_frame(&mut client), HANDSHAKE);
    assert_eq!(plane.failures(), 0);
}

#[test]
fn a_worker_that_is_not_there_is_refused_and_the_others_go_on() {
    let plane = Plane::start(settings(2), [1; 32]).expect("ports are free");
    let transport = TransportId(2);
    assert!(plane.apply(vec![add(TRANSPORT, 1), add(transport, 2)]).is_err());
    assert!(plane.apply(vec![add(TRANSPORT, 0)]).is_err());
    plane.apply(vec![add_named(transport, 0, "others")]).expect("it was not there");
    let rows = plane.stats().transports;
    let row_bytes = rows.len() / 2;
    assert_eq!((&rows[..4], &rows[row_bytes..][..4]), (&[2, 0, 0, 0][..], &[1, 0, 0, 0][..]));
}

#[test]
fn all_ports_are_bound_or_none() {
    let (first, taken) =
        std::iter::repeat_with(|| StdUdpSocket::bind((LOOPBACK, 0)).expect("a port is free"))
            .find_map(|taken| {
                let first = taken.local_addr().expect("it is bound").port() - 1;
                StdUdpSocket::bind((LOOPBACK, first)).ok().map(|_| (first, taken))
            })
            .expect("it goes on for ever");
    let settings = Settings { port: first, tcp_port: None, ..settings(2) };
    let error = Plane::start(settings, [1; 32]).map(|_| ()).expect_err("the second port is taken");
    assert!(error.to_string().starts_with(&format!("UDP port {}: ", first + 1)), "{error}");
    drop(taken);
    let plane = Plane::start(settings, [1; 32]).expect("both are free");
    assert_eq!(plane.ports(), [first, first + 1]);
    assert_eq!(plane.tcp_port(), None);
}

#[test]
fn there_are_no_ports_behind_the_last() {
    let settings = Settings { port: u16::MAX, ..settings(2) };
    let error = Plane::start(settings, [1; 32]).map(|_| ()).expect_err("there is one too few");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_plane_that_is_closed_says_nothing_and_its_ports_are_free() {
    let mut plane = Plane::start(settings(2), [1; 32]).expect("ports are free");
    plane.apply(vec![add(TRANSPORT, 1)]).expect("it is the first");
    let (udp, tcp) = (plane.ports(), plane.tcp_port().expect("it is bound"));
    assert_eq!(udp.len(), 2);
    plane.close();
    plane.close();
    send_handshake(&plane);
    plane.set_targets(Vec::new());
    assert!(plane.drain().events.is_empty());
    assert!(plane.stats().transports.is_empty());
    for port in udp {
        assert!(StdUdpSocket::bind((LOOPBACK, port)).is_ok());
    }
    assert!(TcpServer::bind(IpAddr::V4(LOOPBACK), tcp).is_ok());
}
