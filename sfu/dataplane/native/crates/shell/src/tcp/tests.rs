use std::cell::RefCell;
use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, TcpStream};
use std::time::Duration;

use super::frames::MAX_QUEUED_BYTES;
use super::*;
use focus_ice::{Attribute, BINDING, MessageClass, serialise};

const START: Instant = Instant(1_000_000_000_000);

/// A server, what has come to it, and which addresses somebody has proved to be theirs.
struct Rig {
    server: TcpServer,
    poller: Poller,
    came: Vec<(Address, Vec<u8>)>,
    proven: RefCell<HashSet<Address>>,
}

impl Rig {
    fn new(host: IpAddr) -> Self {
        let poller = Poller::new().expect("there are descriptors");
        let server = TcpServer::bind(host, 0).expect("a port is free");
        server.join(&poller).expect("it can be waited for");
        Self { server, poller, came: Vec::new(), proven: RefCell::default() }
    }

    fn port(&self) -> u16 {
        self.server.port().expect("it is bound")
    }

    fn connect(&mut self) -> TcpStream {
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port())).expect("it listens");
        self.turn(START, Some(Duration::from_secs(5)));
        client
    }

    /// Wait, and do what is to be done: how many descriptors had something.
    fn turn(&mut self, now: Instant, timeout: Option<Duration>) -> usize {
        let tokens: Vec<_> = self.poller.wait(timeout).collect();
        for token in &tokens {
            assert!(*token >= LISTENER);
            if *token == LISTENER {
                self.server.accept(now, &self.poller, |address| self.proven.borrow().contains(&address));
            } else {
                self.server.handle(now, *token, &self.poller, &mut |at, from, data| {
                    assert_eq!(at, now);
                    self.came.push((from, data.to_vec()));
                });
            }
        }
        tokens.len()
    }

    /// Turn until so many datagrams have come since the start.
    fn wait_for(&mut self, count: usize) {
        while self.came.len() < count {
            assert!(
                self.turn(START, Some(Duration::from_secs(5))) > 0,
                "{} of {count} came",
                self.came.len()
            );
        }
    }

    fn poll(&mut self, now: Instant) {
        self.server.poll(now, &self.poller, |address| self.proven.borrow().contains(&address));
    }

    fn send(&mut self, to: Address, datagrams: &[Vec<u8>]) -> u64 {
        let mut egress = Egress::default();
        for datagram in datagrams {
            egress.push_datagram(to, datagram);
        }
        self.server.send(&egress, &self.poller)
    }

    fn prove_all(&mut self) {
        let all = self.server.connections.values().map(|connection| connection.address);
        self.proven.borrow_mut().extend(all);
    }
}

fn rig() -> Rig {
    Rig::new(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

fn frame(datagram: &[u8]) -> Vec<u8> {
    [&(datagram.len() as u16).to_be_bytes()[..], datagram].concat()
}

fn read_frame(client: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    client.read_exact(&mut length).expect("there is a frame");
    let mut datagram = vec![0; u16::from_be_bytes(length).into()];
    client.read_exact(&mut datagram).expect("it is there in full");
    datagram
}

#[test]
fn datagrams_pass_both_ways() {
    let mut rig = rig();
    let mut client = rig.connect();
    client.write_all(&[frame(b"one"), frame(b"two")].concat()).expect("there is room");
    client.write_all(&frame(&[7; 1_500])).expect("there is room");
    rig.wait_for(3);
    let from = rig.came[0].0;
    assert_eq!(from, Address::over_tcp(client.local_addr().expect("it is bound"), 0));
    let datagrams: Vec<_> = rig.came.iter().map(|(_, datagram)| datagram.clone()).collect();
    assert_eq!(datagrams, [b"one".to_vec(), b"two".to_vec(), vec![7; 1_500]]);
    let answers = [vec![1; 1_100], vec![2; 1_100], vec![3; 20]];
    assert_eq!(rig.send(from, &answers), 0);
    for answer in &answers {
        assert_eq!(&read_frame(&mut client), answer);
    }
}

#[test]
fn connections_are_told_apart_and_none_has_the_number_of_another() {
    let mut rig = rig();
    let mut first = rig.connect();
    let mut second = rig.connect();
    second.write_all(&frame(b"second")).expect("there is room");
    rig.wait_for(1);
    first.write_all(&frame(b"first")).expect("there is room");
    rig.wait_for(2);
    assert_eq!(
        rig.came.iter().map(|(from, _)| from.kind()).collect::<Vec<_>>(),
        [AddressKind::Tcp(1), AddressKind::Tcp(0)]
    );
    drop(second);
    rig.turn(START, None);
    let mut third = rig.connect();
    third.write_all(&frame(b"third")).expect("there is room");
    rig.wait_for(3);
    assert_eq!(rig.came[2].0.kind(), AddressKind::Tcp(2));
}

#[test]
fn a_port_of_both_families_knows_ipv4_by_its_plain_addresses() {
    let mut rig = Rig::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    let mut client = rig.connect();
    client.write_all(&frame(b"x")).expect("there is room");
    rig.wait_for(1);
    assert_eq!(rig.came[0].0.ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
}

#[test]
fn who_does_not_read_loses_what_is_large_and_memory_does_not_grow() {
    let mut rig = rig();
    let mut client = rig.connect();
    let to = rig.server.connections[&0].address;
    let mut blocked = 0;
    let mut passed = Vec::new();
    for number in 0..10_000_u32 {
        let datagram = number.to_be_bytes().repeat(275);
        match rig.send(to, &[datagram]) {
            0 => passed.push(number),
            _ => blocked += 1,
        }
        assert!(rig.server.connections[&0].queue.len() <= MAX_QUEUED_BYTES);
    }
    assert!(blocked > 5_000, "{blocked}");
    assert_eq!(rig.send(to, &[vec![9; 100]]), 0, "sound still has room");
    // What passed comes in full and in order, as soon as somebody reads.
    let reader = std::thread::spawn(move || {
        let mut numbers = Vec::new();
        loop {
            let datagram = read_frame(&mut client);
            if datagram == [9; 100] {
                return (numbers, client);
            }
            assert_eq!(datagram, datagram[..4].repeat(275));
            numbers.push(u32::from_be_bytes(datagram[..4].try_into().expect("four bytes")));
        }
    });
    while !rig.server.connections[&0].queue.is_empty() {
        assert!(rig.turn(START, Some(Duration::from_secs(5))) > 0);
    }
    let (numbers, _client) = reader.join().expect("it has read all");
    assert_eq!(numbers, passed);
    assert_eq!(rig.turn(START, Some(Duration::ZERO)), 0, "it is not waited for any more");
}

#[test]
fn what_goes_to_a_connection_that_is_gone_is_lost_and_counted() {
    let mut rig = rig();
    let client = rig.connect();
    let to = rig.server.connections[&0].address;
    drop(client);
    rig.turn(START, None);
    assert_eq!(rig.server.take_ended(), [to]);
    assert_eq!(rig.server.take_ended(), []);
    assert_eq!(rig.send(to, &[vec![1; 10], vec![2; 10]]), 2);
    assert_eq!(rig.send(Address::from(SocketAddr::from(([127, 0, 0, 1], 9))), &[vec![1; 10]]), 0);
}

#[test]
fn who_sends_no_frames_is_cut_off() {
    let mut rig = rig();
    let mut client = rig.connect();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("there is room");
    rig.turn(START, None);
    assert_eq!(rig.server.take_ended().len(), 1);
    assert_eq!(client.read(&mut [0; 10]).unwrap_or(0), 0);
}

#[test]
fn a_connection_that_is_nobodys_is_closed_after_a_while() {
    let mut rig = rig();
    let _clients = [rig.connect(), rig.connect()];
    let first = rig.server.connections[&0].address;
    rig.proven.borrow_mut().insert(first);
    assert!(rig.server.next_timeout().is_some());
    rig.poll(START.after_s(1));
    assert_eq!(rig.server.next_timeout(), Some(START.after_s(2)));
    rig.poll(START.after_s(MAX_UNPROVEN_S).after_ns(-1));
    assert_eq!(rig.server.take_ended(), []);
    rig.poll(START.after_s(MAX_UNPROVEN_S + 1));
    assert_eq!(rig.server.take_ended().iter().map(Address::kind).collect::<Vec<_>>(), [AddressKind::Tcp(1)]);
    // Whose peer has lost consent has a while to check again.
    rig.proven.borrow_mut().clear();
    rig.poll(START.after_s(2 * MAX_UNPROVEN_S));
    assert_eq!(rig.server.take_ended(), []);
    rig.poll(START.after_s(2 * MAX_UNPROVEN_S + 1));
    assert_eq!(rig.server.take_ended(), [first]);
    assert_eq!(rig.server.next_timeout(), None);
}

#[test]
fn connections_are_bounded_and_who_has_proved_itself_stays() {
    let mut rig = rig();
    rig.server.max_connections = 3;
    let mut clients: Vec<_> = (0..3).map(|_| rig.connect()).collect();
    let first = rig.server.connections[&0].address;
    rig.proven.borrow_mut().insert(first);
    clients.push(rig.connect());
    assert_eq!(rig.server.connections.len(), 3);
    assert_eq!(rig.server.take_ended().iter().map(Address::kind).collect::<Vec<_>>(), [AddressKind::Tcp(1)]);
    rig.prove_all();
    let mut refused = rig.connect();
    assert_eq!(rig.server.take_ended(), []);
    assert_eq!(rig.server.connections.len(), 3);
    assert_eq!(refused.read(&mut [0; 10]).unwrap_or(0), 0);
}

#[test]
fn after_a_failure_none_is_accepted_for_a_while() {
    let mut rig = rig();
    rig.server.looked_at = START;
    rig.server.listen(false, &rig.poller);
    let client = TcpStream::connect((Ipv4Addr::LOCALHOST, rig.port())).expect("the kernel takes it");
    assert_eq!(rig.turn(START, Some(Duration::ZERO)), 0);
    assert_eq!(rig.server.next_timeout(), Some(START.after_s(1)));
    rig.poll(START.after_s(1));
    assert_eq!(rig.turn(START.after_s(1), None), 1);
    assert_eq!(rig.server.connections.len(), 1);
    client.shutdown(Shutdown::Both).expect("it is connected");
}

#[test]
fn a_port_that_is_taken_is_an_error() {
    let rig = rig();
    assert!(TcpServer::bind(IpAddr::V4(Ipv4Addr::LOCALHOST), rig.port()).is_err());
}

#[test]
fn where_it_is_off_nothing_happens() {
    let mut rig = rig();
    rig.server = TcpServer::off();
    assert_eq!((rig.server.port(), rig.server.next_timeout()), (None, None));
    assert!(rig.server.join(&rig.poller).is_ok());
    rig.poll(START);
    let to = Address::over_tcp(SocketAddr::from(([127, 0, 0, 1], 9)), 0);
    assert_eq!(rig.send(to, &[vec![1; 10]]), 1);
    assert_eq!(rig.turn(START, Some(Duration::ZERO)), 0);
}

/// A check that names a transport of ours.
fn check(username: &str) -> Vec<u8> {
    let mut data = Vec::new();
    let attributes = [(Attribute::Username as u16, username.as_bytes())];
    serialise(&mut data, MessageClass::Request, BINDING, [7; 12], &attributes, Some("password"));
    data
}

/// The first of two workers.
fn sharing_rig() -> Rig {
    let mut rig = rig();
    let ufrags = Arc::new(Ufrags::default());
    ufrags.add("first".into(), 0);
    ufrags.add("second".into(), 1);
    rig.server.share(ufrags, 0);
    rig
}

#[test]
fn a_connection_for_another_worker_is_handed_over_with_all_that_came_by_it() {
    let mut rig = sharing_rig();
    let mut client = rig.connect();
    let bytes = [frame(&check("second:theirs")), frame(b"more")].concat();
    client.write_all(&bytes).expect("there is room");
    rig.turn(START, Some(Duration::from_secs(5)));
    let [HandedOver { worker: 1, stream, peer }] = &mut rig.server.take_handed_over()[..] else {
        panic!("it is the second worker's");
    };
    assert_eq!(*peer, client.local_addr().expect("it is bound"));
    let mut kept = vec![0; bytes.len()];
    stream.read_exact(&mut kept).expect("nothing of it was taken");
    assert_eq!(kept, bytes);
    assert!(rig.came.is_empty() && rig.server.take_ended().is_empty());
    // It is not waited for any more.
    client.write_all(b"again").expect("there is room");
    assert_eq!(rig.turn(START, Some(Duration::from_millis(50))), 0);
}

#[test]
fn a_connection_for_this_worker_or_nobodys_stays() {
    let mut rig = sharing_rig();
    for (number, first) in
        [check("first:theirs"), check("nobody:theirs"), b"no check".to_vec()].iter().enumerate()
    {
        let mut client = rig.connect();
        client.write_all(&frame(first)).expect("there is room");
        rig.wait_for(number + 1);
        assert_eq!(&rig.came[number].1, first);
    }
    assert!(rig.server.take_handed_over().is_empty());
}

#[test]
fn a_check_that_comes_in_pieces_costs_no_turns_while_it_is_not_complete() {
    let mut rig = sharing_rig();
    let mut client = rig.connect();
    let bytes = frame(&check("second:theirs"));
    for piece in [&bytes[..1], &bytes[1..2], &bytes[2..20]] {
        client.write_all(piece).expect("there is room");
        while rig.turn(START, Some(Duration::from_millis(50))) > 0 {}
    }
    assert!(rig.server.take_handed_over().is_empty());
    client.write_all(&bytes[20..]).expect("there is room");
    rig.turn(START, Some(Duration::from_secs(5)));
    assert_eq!(rig.server.take_handed_over().len(), 1);
}

#[test]
fn who_ends_within_the_first_check_is_closed_at_once() {
    let mut rig = sharing_rig();
    let mut client = rig.connect();
    client.write_all(&frame(&check("second:theirs"))[..30]).expect("there is room");
    client.shutdown(Shutdown::Write).expect("it is open");
    for _ in 0..3 {
        rig.turn(START, Some(Duration::from_millis(50)));
    }
    assert!(rig.server.connections.is_empty());
    assert_eq!(rig.turn(START, Some(Duration::ZERO)), 0);
}
