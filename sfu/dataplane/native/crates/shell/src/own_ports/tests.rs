use std::net::{Ipv4Addr, SocketAddr, UdpSocket as StdUdpSocket};
use std::time::Duration;

use focus_ice::Address;

use super::*;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ONE: TransportId = TransportId(1);
const OTHER: TransportId = TransportId(2);

fn ports(poller: &Poller) -> OwnPorts {
    let mut ports = OwnPorts::new(LOOPBACK, 1 << 20);
    assert!(ports.open(ONE, poller) && ports.open(OTHER, poller));
    ports
}

fn poller() -> Poller {
    Poller::new().expect("there are descriptors")
}

fn client() -> (StdUdpSocket, SocketAddr) {
    let client = StdUdpSocket::bind((LOOPBACK, 0)).expect("a port is free");
    client.set_read_timeout(Some(Duration::from_secs(5))).expect("it is not zero");
    let address = client.local_addr().expect("it is bound");
    (client, address)
}

fn by(transport: TransportId, address: SocketAddr) -> Address {
    Address::from(address).carried_by(AddressKind::Own(transport))
}

/// What a client hears: from which port, and what.
fn heard(client: &StdUdpSocket) -> (SocketAddr, Vec<u8>) {
    let mut buffer = [0; 100];
    let (length, from) = client.recv_from(&mut buffer).expect("something comes");
    (from, buffer[..length].to_vec())
}

#[test]
fn each_transport_is_sent_for_from_a_port_of_its_own_and_heard_there() {
    let mut poller = poller();
    let mut ports = ports(&poller);
    let (client, address) = client();
    let mut egress = Egress::default();
    for data in [b"1", b"2"] {
        for transport in [ONE, OTHER] {
            egress.push_datagram(by(transport, address), data);
        }
    }
    egress.push_datagram(Address::from(address), b"not by these");
    assert_eq!(ports.send(&egress), 0);
    let all: Vec<_> = std::iter::repeat_with(|| heard(&client)).take(4).collect();
    let of = |transport: TransportId| ports.sockets[&transport].port();
    for transport in [ONE, OTHER] {
        let its: Vec<_> = all.iter().filter(|(from, _)| from.port() == of(transport)).collect();
        assert_eq!(its.iter().map(|(_, data)| &data[..]).collect::<Vec<_>>(), [b"1", b"2"]);
    }
    client.send_to(b"answer", (LOOPBACK, of(OTHER))).expect("it is taken");
    let tokens: Vec<_> = poller.wait(Some(Duration::from_secs(5))).collect();
    assert_eq!(tokens, [OWN_PORTS + 2]);
    let mut fetched = Fetched::new();
    assert_eq!(ports.fetch(tokens[0], &mut fetched), 1);
    let mut came = Vec::new();
    fetched.give(&mut |_, from, data| came.push((from, data.to_vec())));
    assert_eq!(came, [(by(OTHER, address), b"answer".to_vec())]);
}

#[test]
fn what_has_no_port_is_counted_and_what_is_not_kept_is_closed() {
    let mut poller = poller();
    let mut ports = ports(&poller);
    let (client, address) = client();
    let port = ports.sockets[&ONE].port();
    ports.keep(|transport| transport == OTHER);
    assert!(StdUdpSocket::bind((LOOPBACK, port)).is_ok());
    let mut egress = Egress::default();
    for transport in [ONE, OTHER, ONE] {
        egress.push_datagram(by(transport, address), b"x");
    }
    assert_eq!(ports.send(&egress), 2);
    assert_eq!(heard(&client).0.port(), ports.sockets[&OTHER].port());
    assert_eq!(ports.fetch(OWN_PORTS + 1, &mut Fetched::new()), 0);
    assert_eq!(poller.wait(Some(Duration::ZERO)).count(), 0);
}

#[test]
fn a_port_that_can_not_be_had_is_refused() {
    let nowhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)); // not an address of this machine
    assert!(!OwnPorts::new(nowhere, 1 << 20).open(ONE, &poller()));
}

#[test]
fn who_is_added_twice_keeps_its_port() {
    let poller = poller();
    let mut ports = ports(&poller);
    let port = ports.sockets[&ONE].port();
    assert!(ports.open(ONE, &poller));
    assert_eq!(ports.sockets[&ONE].port(), port);
}
