use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::time::Duration;

use super::*;
use crate::poller::Poller;
use crate::time::now;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn bound(host: IpAddr) -> UdpSocket {
    UdpSocket::bind(host, 0, 1 << 20).expect("a port is free")
}

fn address_of(socket: &UdpSocket) -> Address {
    Address::from(socket.socket.local_addr().expect("it is bound"))
}

fn egress(to: Address, datagrams: &[Vec<u8>]) -> Egress {
    let mut egress = Egress::default();
    for datagram in datagrams {
        egress.push_datagram(to, datagram);
    }
    egress
}

fn numbered(sizes: &[usize]) -> Vec<Vec<u8>> {
    sizes.iter().enumerate().map(|(number, size)| vec![number as u8; *size]).collect()
}

/// So many datagrams, as they come.
fn received(socket: &UdpSocket, count: usize) -> Vec<(Instant, Address, Vec<u8>)> {
    let mut poller = Poller::new().expect("there are descriptors");
    poller.add(socket.as_raw_fd(), 0).expect("it can be waited for");
    let mut all = Vec::new();
    let mut fetched = Fetched::new();
    while all.len() < count {
        assert_eq!(poller.wait(Some(Duration::from_secs(5))).count(), 1, "{} of {count} came", all.len());
        socket.fetch(&mut fetched);
        fetched.give(&mut |at, from, data| all.push((at, from, data.to_vec())));
    }
    all
}

fn bytes_of(received: Vec<(Instant, Address, Vec<u8>)>) -> Vec<Vec<u8>> {
    received.into_iter().map(|(_, _, data)| data).collect()
}

#[test]
fn a_message_of_many_datagrams_arrives_as_these() {
    let (mut here, there) = (bound(LOOPBACK), bound(LOOPBACK));
    let datagrams = numbered(&[1_100; 10].into_iter().chain([300]).collect::<Vec<_>>());
    let egress = egress(address_of(&there), &datagrams);
    assert_eq!(egress.messages().len(), 1);
    assert_eq!(here.send(&egress), 0);
    let all = received(&there, 11);
    assert!(all.iter().all(|(_, from, _)| *from == address_of(&here)));
    assert_eq!(bytes_of(all), datagrams);
}

#[test]
fn what_the_kernel_joined_comes_by_one_message() {
    let (mut here, there) = (bound(LOOPBACK), bound(LOOPBACK));
    if !here.can_segment || system::option(there.socket.as_fd(), libc::SOL_UDP, libc::UDP_GRO).ok() != Some(1)
    {
        return; // a kernel before 5.0, which does neither
    }
    assert_eq!(here.send(&egress(address_of(&there), &numbered(&[1_100; 40]))), 0);
    let mut poller = Poller::new().expect("there are descriptors");
    poller.add(there.as_raw_fd(), 0).expect("it can be waited for");
    assert_eq!(poller.wait(Some(Duration::from_secs(5))).count(), 1);
    let mut fetched = Fetched::new();
    assert_eq!(there.fetch(&mut fetched), 1);
    let (_, control, data) = fetched.inbound.message(0);
    assert_eq!((control.segment_bytes(), data.len()), (Some(1_100), 44_000));
}

#[test]
fn datagrams_to_many_leave_by_few_calls_and_in_order() {
    let mut here = bound(LOOPBACK);
    let mut others: Vec<_> = (0..3).map(|_| bound(LOOPBACK)).collect();
    let mut egress = Egress::default();
    let sizes: Vec<usize> = (0..200).map(|number| 20 + number % 7).collect();
    let datagrams = numbered(&sizes);
    for datagram in &datagrams {
        for other in &others {
            egress.push_datagram(address_of(other), datagram);
        }
    }
    assert_eq!(here.send(&egress), 0);
    for other in &mut others {
        assert_eq!(bytes_of(received(other, 200)), datagrams);
    }
}

#[test]
fn what_waited_in_the_socket_has_the_time_at_which_it_came() {
    let (mut here, there) = (bound(LOOPBACK), bound(LOOPBACK));
    let wait_ns = 5_000_000;
    // The kernel begins to stamp a little after the first socket asked for it.
    let is_stamped = (0..100).any(|_| {
        let before = now();
        here.send(&egress(address_of(&there), &numbered(&[100])));
        let after = now();
        while now() - after < wait_ns {
            std::thread::yield_now();
        }
        let at = received(&there, 1)[0].0;
        let slack_ns = 1_000_000; // the two clocks are not read at one time
        at.0 >= before.0 - slack_ns && at.0 <= after.0 + slack_ns
    });
    assert!(is_stamped);
}

#[test]
fn a_socket_of_both_families_knows_ipv4_by_its_plain_addresses() {
    let mut both = bound(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    for host in [LOOPBACK, IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let mut other = bound(host);
        let to = Address::from(SocketAddr::new(host, both.port()));
        let datagrams = numbered(&[900, 900, 100]);
        assert_eq!(other.send(&egress(to, &datagrams)), 0);
        let all = received(&both, 3);
        assert!(all.iter().all(|(_, from, _)| *from == address_of(&other)));
        assert_eq!(both.send(&egress(address_of(&other), &datagrams)), 0);
        assert_eq!(bytes_of(received(&other, 3)), datagrams);
    }
}

#[test]
fn what_the_family_of_the_socket_does_not_reach_is_counted() {
    let mut here = bound(LOOPBACK);
    let to = Address::from(SocketAddr::from((Ipv6Addr::LOCALHOST, 9)));
    assert_eq!(here.send(&egress(to, &numbered(&[10, 10, 10]))), 3);
}

#[test]
fn what_goes_over_tcp_is_not_sent_here() {
    let (mut here, there) = (bound(LOOPBACK), bound(LOOPBACK));
    let peer = there.socket.local_addr().expect("it is bound");
    let mut egress = egress(Address::over_tcp(peer, 1), &numbered(&[10]));
    egress.push_datagram(Address::from(peer), b"over UDP");
    assert_eq!(here.send(&egress), 0);
    assert_eq!(bytes_of(received(&there, 1)), [b"over UDP".to_vec()]);
}

#[test]
fn a_datagram_that_is_empty_or_too_long_for_rtp_is_given_all_the_same() {
    let (here, there) = (bound(LOOPBACK), bound(LOOPBACK));
    let to = SocketAddr::from(address_of(&there));
    for size in [0, 1, 9_000, 60_000] {
        here.socket.send_to(&vec![5; size], to).expect("it is taken");
        assert_eq!(bytes_of(received(&there, 1)), [vec![5; size]]);
    }
}

#[test]
fn a_message_that_the_path_does_not_take_is_sent_singly() {
    let (mut here, there) = (bound(LOOPBACK), bound(LOOPBACK));
    // Without checksums the kernel refuses to cut: EINVAL, as for a datagram above the path's size.
    system::set_option(here.socket.as_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).expect("it is an option");
    let datagrams = numbered(&[1_100, 1_100, 1_100, 50]);
    assert_eq!(here.send(&egress(address_of(&there), &datagrams)), 0);
    assert_eq!(bytes_of(received(&there, 4)), datagrams);
    assert!(here.can_segment);
}

#[test]
fn a_device_that_can_not_cut_is_not_asked_again() {
    let (mut here, there) = (bound(LOOPBACK), bound(LOOPBACK));
    let datagrams = numbered(&[500, 500, 50]);
    let egress = egress(address_of(&there), &datagrams);
    let to = SocketName::of_peer(address_of(&there), false).expect("both are of IPv4");
    let message = outbound(&egress.messages()[0], to);
    let error = io::Error::from_raw_os_error(libc::EIO);
    assert_eq!(here.refused(egress.bytes(), &message, &error), 0);
    assert!(!here.can_segment);
    assert_eq!(bytes_of(received(&there, 3)), datagrams);
    assert_eq!(here.send(&egress), 0);
    assert_eq!(bytes_of(received(&there, 3)), datagrams);
}

#[test]
fn what_would_block_is_lost_and_counted() {
    let mut here = bound(LOOPBACK);
    let egress = egress(address_of(&bound(LOOPBACK)), &numbered(&[500, 500, 50]));
    let to = SocketName::of_peer(egress.messages()[0].to, false).expect("both are of IPv4");
    let message = outbound(&egress.messages()[0], to);
    for code in [libc::EAGAIN, libc::ENOBUFS, libc::EPERM, libc::EMSGSIZE] {
        assert_eq!(here.refused(egress.bytes(), &message, &io::Error::from_raw_os_error(code)), 3);
    }
    assert!(here.can_segment);
}

#[test]
fn a_datagram_that_no_path_takes_does_not_stop_the_others() {
    let (mut here, there) = (bound(LOOPBACK), bound(LOOPBACK));
    let nowhere = Address::from(SocketAddr::from(([255, 255, 255, 255], 9))); // EACCES: not a broadcast socket
    let mut egress = egress(nowhere, &numbered(&[10, 10]));
    egress.push_datagram(address_of(&there), b"passes");
    egress.push_datagram(nowhere, b"does not");
    assert_eq!(here.send(&egress), 3);
    assert_eq!(bytes_of(received(&there, 1)), [b"passes".to_vec()]);
}

#[test]
fn a_port_that_is_taken_is_an_error() {
    let here = bound(LOOPBACK);
    assert!(UdpSocket::bind(LOOPBACK, here.port(), 1 << 20).is_err());
}
