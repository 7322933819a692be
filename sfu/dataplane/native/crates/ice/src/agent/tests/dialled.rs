//! Of whom we dial: requests of ours, what answers them, and ports that transports have for themselves.

use super::*;

/// `here` by the port that a transport has for itself.
fn by(transport: TransportId) -> Address {
    here().carried_by(AddressKind::Own(transport))
}

#[test]
fn an_answer_to_a_request_of_ours_is_for_who_sent_it_and_comes_once() {
    for class in [MessageClass::Success, MessageClass::Error] {
        let mut agent = agent();
        agent.ask(ONE, here(), &request(SECOND, &[])).expect("it is a request");
        let answer = unsolicited(class);
        assert!(agent.is_awaited(here(), &answer));
        assert!(!agent.is_awaited(there(), &answer));
        assert_eq!(handled(&mut agent, START, there(), &answer).result, dropped(DropReason::UnknownPeer));
        let over_tcp = Address::over_tcp(SocketAddr::from(([192, 0, 2, 1], 1_000)), 7);
        assert_eq!(handled(&mut agent, START, over_tcp, &answer).result, dropped(DropReason::UnknownPeer));
        let checked = handled(&mut agent, START, here(), &answer);
        assert_eq!(checked.result, CheckResult { asked_by: Some(ONE), ..CheckResult::default() });
        assert_eq!(handled(&mut agent, START, here(), &answer).result, dropped(DropReason::UnknownPeer));
        assert_eq!((agent.transport_of(here()), agent.next_timeout()), (None, None));
    }
}

#[test]
fn what_answers_another_request_or_none_is_for_nobody() {
    let mut agent = agent();
    agent.ask(ONE, here(), &request(SECOND, &[])).expect("it is a request");
    let mut of_another = Vec::new();
    serialise(&mut of_another, MessageClass::Success, BINDING, *b"transaction?", &[], None);
    let mut of_another_method = Vec::new();
    serialise(&mut of_another_method, MessageClass::Success, 3, TRANSACTION, &[], None);
    for data in [of_another, of_another_method, unsolicited(MessageClass::Indication)] {
        assert_eq!(handled(&mut agent, START, here(), &data).result, dropped(DropReason::UnknownPeer));
    }
    assert!(agent.is_awaited(here(), &unsolicited(MessageClass::Success)));
    agent.remove(ONE);
    assert!(!agent.is_awaited(here(), &unsolicited(MessageClass::Success)));
}

#[test]
fn what_is_no_request_of_ice_is_not_sent() {
    let mut agent = agent();
    let mut of_another_method = Vec::new();
    serialise(&mut of_another_method, MessageClass::Request, 3, TRANSACTION, &[], None);
    for data in [&[][..], &[0; 20], &of_another_method, &unsolicited(MessageClass::Success)] {
        assert!(agent.ask(ONE, here(), data).is_err());
    }
    assert!(!agent.is_awaited(here(), &unsolicited(MessageClass::Success)));
}

#[test]
fn an_address_that_we_have_checked_is_selected_and_asks_for_no_consent() {
    let mut agent = agent();
    assert!(agent.select(ONE, here()));
    assert!(!agent.select(ONE, here()));
    assert_eq!((agent.selected(ONE), agent.transport_of(here())), (Some(here()), Some(ONE)));
    assert!(agent.select(ONE, there()));
    assert_eq!((agent.selected(ONE), agent.transport_of(here())), (Some(there()), Some(ONE)));
    assert_eq!(agent.next_timeout(), None);
    assert!(!agent.select(TWO, here()));
    assert_eq!(agent.transport_of(here()), Some(ONE));
}

#[test]
fn who_has_a_port_of_its_own_is_found_there_and_nowhere_else() {
    let mut agent = agent();
    agent.add(TWO, credentials(SECOND), true).expect("the fragment is free");
    for (address, name) in [(here(), SECOND), (by(TWO), FIRST), (by(ONE), FIRST), (by(ONE), SECOND)] {
        let checked = check(&mut agent, START, address, name);
        assert_eq!((checked.result, checked.answer.len()), (dropped(DropReason::UnknownPeer), 0));
        assert_eq!(agent.transport_of(address), None);
    }
    for (address, name, transport) in [(here(), FIRST, ONE), (by(TWO), SECOND, TWO)] {
        assert_eq!(nominate(&mut agent, START, address, name).result.selected, Some(transport));
    }
    assert_eq!([here(), by(TWO)].map(|address| agent.transport_of(address)), [Some(ONE), Some(TWO)]);
}

#[test]
fn two_that_dial_one_address_from_ports_of_their_own_keep_it_both() {
    let mut agent = LiteAgent::new(CONSENT_S as f64);
    agent.add(ONE, credentials(FIRST), true).expect("the fragment is free");
    agent.add(TWO, credentials(SECOND), true).expect("the fragment is free");
    let data = request(THIRD, &[]);
    let addresses = [ONE, TWO].map(|transport| {
        let address = agent.address_for(transport, "192.0.2.1", 1_000).expect("it is an address");
        agent.ask(transport, address, &data).expect("it is a request");
        assert!(agent.select(transport, address));
        address
    });
    assert_eq!(addresses, [by(ONE), by(TWO)]);
    assert_eq!(addresses.map(|address| agent.transport_of(address)), [Some(ONE), Some(TWO)]);
    // One transaction for both: what comes back is theirs to whose port it comes.
    let mut answer = Vec::new();
    serialise(&mut answer, MessageClass::Success, BINDING, TRANSACTION, &[], None);
    for transport in [TWO, ONE] {
        let asked_by = handled(&mut agent, START, by(transport), &answer).result.asked_by;
        assert_eq!(asked_by, Some(transport));
    }
    assert_eq!(handled(&mut agent, START, here(), &answer).result.drop, Some(DropReason::UnknownPeer));
    agent.remove(ONE);
    assert_eq!(addresses.map(|address| agent.transport_of(address)), [None, Some(TWO)]);
}
