use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket as StdUdpSocket};
use std::time::Duration;

use focus_dataplane::MAX_DATAGRAM_BYTES;
use focus_ice::{Attribute, BINDING, MessageClass, StunMessage, serialise};
use focus_plane::{Credentials, DropReason, Event};
use focus_units::TransportId;

use super::*;
use crate::poller::Poller;

const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;
const TRANSPORT: TransportId = TransportId(1);
const PASSWORD: &str = "password-of-ours";
const HANDSHAKE: &[u8] = &[22, 254, 253, 1, 2, 3];

fn plane() -> Plane {
    let core = Config { consent_timeout_s: 30.0, packet_cache_bytes: 1 << 20 };
    let settings = Settings {
        host: IpAddr::V4(LOOPBACK),
        port: 0,
        receive_buffer_bytes: 1 << 20,
        tcp_port: Some(0),
        core,
    };
    let plane = Plane::start(settings, [1; 32]).expect("ports are free");
    let credentials = Credentials { ufrag: "ours".into(), password: PASSWORD.into() };
    plane
        .apply(vec![Operation::AddTransport { transport: TRANSPORT, credentials }])
        .expect("it is the first");
    plane
}

/// A browser's check that nominates.
fn check() -> Vec<u8> {
    let attributes: [(u16, &[u8]); 2] =
        [(Attribute::Username as u16, b"ours:theirs"), (Attribute::UseCandidate as u16, b"")];
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

#[test]
fn a_peer_checks_and_shakes_hands_over_udp() {
    let mut plane = plane();
    let client = StdUdpSocket::bind((LOOPBACK, 0)).expect("a port is free");
    client.set_read_timeout(Some(Duration::from_secs(5))).expect("it is not zero");
    client.connect((LOOPBACK, plane.port())).expect("it is bound");
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
fn a_plane_that_is_closed_says_nothing_and_its_ports_are_free() {
    let mut plane = plane();
    let (udp, tcp) = (plane.port(), plane.tcp_port().expect("it is bound"));
    plane.close();
    plane.close();
    send_handshake(&plane);
    assert!(plane.drain().events.is_empty());
    assert!(StdUdpSocket::bind((LOOPBACK, udp)).is_ok());
    assert!(TcpServer::bind(IpAddr::V4(LOOPBACK), tcp).is_ok());
}
