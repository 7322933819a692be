use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;
use crate::stun::serialise;

mod dialled;

const CONSENT_S: i64 = 30;
const START: Instant = Instant(1_000 * NS_PER_S);
const ONE: TransportId = TransportId(1);
const TWO: TransportId = TransportId(2);
const FIRST: [&str; 2] = ["fragment-1", "password-of-the-first"];
const SECOND: [&str; 2] = ["fragment-2", "password-of-the-second"];
const THIRD: [&str; 2] = ["fragment-3", "password-of-the-third"];
const TRANSACTION: [u8; 12] = *b"transaction!";

fn credentials([ufrag, password]: [&str; 2]) -> Credentials {
    Credentials { ufrag: ufrag.into(), password: password.into() }
}

fn address_of(ip: [u8; 4], port: u16) -> Address {
    Address::from(SocketAddr::from((ip, port)))
}

fn here() -> Address {
    address_of([192, 0, 2, 1], 1_000)
}

fn there() -> Address {
    address_of([198, 51, 100, 7], 2_000)
}

fn agent() -> LiteAgent {
    let mut agent = LiteAgent::new(CONSENT_S as f64);
    agent.add(ONE, credentials(FIRST), false).expect("the fragment is free");
    agent
}

/// A browser's check.
fn request([ufrag, password]: [&str; 2], more: &[(Attribute, &[u8])]) -> Vec<u8> {
    let username = format!("{ufrag}:theirs");
    let mut attributes: Vec<(u16, &[u8])> = vec![(Attribute::Username as u16, username.as_bytes())];
    attributes.extend(more.iter().map(|(kind, value)| (*kind as u16, *value)));
    let mut data = Vec::new();
    serialise(&mut data, MessageClass::Request, BINDING, TRANSACTION, &attributes, Some(password));
    data
}

struct Checked {
    result: CheckResult,
    answer: Vec<u8>,
}

impl Checked {
    fn code(&self) -> Option<u32> {
        let message = StunMessage::parse(&self.answer).ok()?;
        let value = message.attribute(Attribute::ErrorCode)?;
        Some(u32::from(value[2]) * 100 + u32::from(value[3]))
    }

    fn is_signed_with(&self, password: &str) -> bool {
        StunMessage::parse(&self.answer).is_ok_and(|message| message.is_signed_with(password))
    }
}

fn handled(agent: &mut LiteAgent, now: Instant, address: Address, data: &[u8]) -> Checked {
    let mut answer = Vec::new();
    let result = agent.handle(now, address, data, &mut answer);
    assert_eq!(result.has_answer, !answer.is_empty());
    Checked { result, answer }
}

fn check(agent: &mut LiteAgent, now: Instant, address: Address, credentials: [&str; 2]) -> Checked {
    handled(agent, now, address, &request(credentials, &[]))
}

fn nominate(agent: &mut LiteAgent, now: Instant, address: Address, credentials: [&str; 2]) -> Checked {
    handled(agent, now, address, &request(credentials, &[(Attribute::UseCandidate, b"")]))
}

fn unsolicited(class: MessageClass) -> Vec<u8> {
    let mut data = Vec::new();
    serialise(&mut data, class, BINDING, TRANSACTION, &[], None);
    data
}

#[test]
fn a_check_binds_its_address_and_a_nomination_selects_it() {
    let mut agent = agent();
    let checked = check(&mut agent, START, here(), FIRST);
    assert_eq!(checked.result, CheckResult { has_answer: true, ..CheckResult::default() });
    assert!(checked.is_signed_with(FIRST[1]));
    assert_eq!(agent.transport_of(here()), Some(ONE));
    assert_eq!(agent.selected(ONE), None);
    assert_eq!(nominate(&mut agent, START, here(), FIRST).result.selected, Some(ONE));
    assert_eq!(agent.selected(ONE), Some(here()));
    assert_eq!(nominate(&mut agent, START, here(), FIRST).result.selected, None);
}

#[test]
fn a_handshake_goes_to_the_newest_address_before_one_is_selected() {
    let mut agent = agent();
    assert_eq!(agent.reachable(ONE), None);
    check(&mut agent, START, here(), FIRST);
    check(&mut agent, START, there(), FIRST);
    check(&mut agent, START, here(), FIRST);
    assert_eq!(agent.reachable(ONE), Some(there()));
    nominate(&mut agent, START, here(), FIRST);
    assert_eq!(agent.reachable(ONE), Some(here()));
}

#[test]
fn who_does_not_know_the_password_binds_nothing() {
    for wrong in [[FIRST[0], "guessed"], ["unknown", FIRST[1]]] {
        let mut agent = agent();
        let checked = nominate(&mut agent, START, here(), wrong);
        assert_eq!(checked.code(), Some(401));
        assert_eq!(checked.result.drop, Some(DropReason::StunUnauthenticated));
        assert!(!StunMessage::parse(&checked.answer).expect("it is a message").is_signed());
        assert_eq!(agent.transport_of(here()), None);
        assert_eq!(agent.next_timeout(), None);
    }
}

#[test]
fn an_unsigned_check_is_a_bad_request() {
    let with_name: &[(u16, &[u8])] = &[(Attribute::Username as u16, b"fragment-1:x")];
    for attributes in [&[], with_name] {
        let mut agent = agent();
        let mut data = Vec::new();
        serialise(&mut data, MessageClass::Request, BINDING, TRANSACTION, attributes, None);
        assert_eq!(handled(&mut agent, START, here(), &data).code(), Some(400));
        assert_eq!(agent.transport_of(here()), None);
    }
}

#[test]
fn a_controlled_peer_is_told_that_roles_conflict() {
    let mut agent = agent();
    let data = request(FIRST, &[(Attribute::IceControlled, &[0; 8])]);
    let checked = handled(&mut agent, START, here(), &data);
    assert_eq!(checked.code(), Some(487));
    assert_eq!(checked.result.drop, Some(DropReason::StunRoleConflict));
    assert!(checked.is_signed_with(FIRST[1]));
    assert_eq!(agent.transport_of(here()), None);
}

#[test]
fn a_username_that_is_no_text_is_nobodys() {
    let mut agent = agent();
    let mut data = Vec::new();
    let attributes: &[(u16, &[u8])] = &[(Attribute::Username as u16, b"\xff\xfe:\x00")];
    serialise(&mut data, MessageClass::Request, BINDING, TRANSACTION, attributes, Some(FIRST[1]));
    assert_eq!(handled(&mut agent, START, here(), &data).code(), Some(401));
}

#[test]
fn answers_are_for_nobody() {
    for class in [MessageClass::Success, MessageClass::Error] {
        let checked = handled(&mut agent(), START, here(), &unsolicited(class));
        assert_eq!(checked.result, dropped(DropReason::UnknownPeer));
    }
}

#[test]
fn keepalives_of_a_bound_address_are_taken_in_silence() {
    let mut agent = agent();
    let data = unsolicited(MessageClass::Indication);
    assert_eq!(handled(&mut agent, START, here(), &data).result, dropped(DropReason::UnknownPeer));
    check(&mut agent, START, here(), FIRST);
    assert_eq!(handled(&mut agent, START, here(), &data).result, CheckResult::default());
}

#[test]
fn garbage_is_malformed() {
    let checked = handled(&mut agent(), START, here(), &[0; 30]);
    assert_eq!(checked.result, dropped(DropReason::StunMalformed));
}

#[test]
fn the_unauthenticated_get_a_limited_number_of_answers() {
    let mut agent = agent();
    let refused = |agent: &mut LiteAgent, now, count: u32| {
        (0..count).filter(|_| check(agent, now, here(), ["unknown", "password"]).result.has_answer).count()
    };
    assert_eq!(refused(&mut agent, START, MAX_REFUSALS_PER_S + 10), MAX_REFUSALS_PER_S as usize);
    let last = check(&mut agent, START, here(), ["unknown", "password"]);
    assert_eq!(last.result, dropped(DropReason::StunRate));
    // Those who do know their password are not in it.
    assert_eq!(check(&mut agent, START, here(), FIRST).result.drop, None);
    let later = START.after_ms(101);
    assert_eq!(refused(&mut agent, later, MAX_REFUSALS_PER_S), MAX_REFUSALS_PER_S as usize / 10);
}

#[test]
fn a_peer_that_checks_from_elsewhere_has_moved() {
    let mut agent = agent();
    nominate(&mut agent, START, here(), FIRST);
    assert_eq!(nominate(&mut agent, START, there(), FIRST).result.selected, Some(ONE));
    assert_eq!(agent.selected(ONE), Some(there()));
    assert_eq!(agent.transport_of(here()), Some(ONE));
}

#[test]
fn a_peer_that_proved_its_place_in_another_way_has_moved() {
    let mut agent = agent();
    nominate(&mut agent, START, here(), FIRST);
    agent.move_to(ONE, there());
    assert_eq!(agent.selected(ONE), Some(there()));
    assert_eq!(agent.transport_of(there()), Some(ONE));
    assert_eq!(nominate(&mut agent, START, there(), FIRST).result.selected, None);
}

#[test]
fn a_restart_takes_both_until_a_check_with_the_new_ones() {
    let mut agent = agent();
    nominate(&mut agent, START, here(), FIRST);
    agent.restart(ONE, credentials(SECOND)).expect("the fragment is free");
    assert_eq!(check(&mut agent, START, here(), FIRST).result.drop, None);
    assert_eq!(nominate(&mut agent, START, there(), SECOND).result.selected, Some(ONE));
    assert_eq!(agent.selected(ONE), Some(there()));
    let refused = check(&mut agent, START, here(), FIRST);
    assert_eq!(refused.result.drop, Some(DropReason::StunUnauthenticated));
    assert_eq!(check(&mut agent, START, there(), SECOND).result.drop, None);
}

#[test]
fn a_restart_on_the_same_address_is_a_nomination_anew() {
    let mut agent = agent();
    nominate(&mut agent, START, here(), FIRST);
    agent.restart(ONE, credentials(SECOND)).expect("the fragment is free");
    assert_eq!(nominate(&mut agent, START, here(), SECOND).result.selected, Some(ONE));
}

#[test]
fn a_restart_that_came_to_nothing_is_replaced_by_the_next() {
    let mut agent = agent();
    check(&mut agent, START, here(), FIRST);
    for next in [SECOND, SECOND, THIRD] {
        agent.restart(ONE, credentials(next)).expect("the fragment is free, or the same");
    }
    let refused = check(&mut agent, START, here(), SECOND);
    assert_eq!(refused.result.drop, Some(DropReason::StunUnauthenticated));
    assert_eq!(check(&mut agent, START, here(), FIRST).result.drop, None);
    assert_eq!(check(&mut agent, START, here(), THIRD).result.drop, None);
}

#[test]
fn a_fragment_is_never_given_twice() {
    let mut agent = agent();
    assert!(agent.add(TWO, credentials(FIRST), false).is_err());
    agent.add(TWO, credentials(SECOND), false).expect("the fragment is free");
    assert!(agent.restart(ONE, credentials(SECOND)).is_err());
    assert!(agent.restart(ONE, credentials([FIRST[0], "another password"])).is_err());
}

#[test]
fn an_address_passes_to_who_proves_that_it_is_theirs_now() {
    let mut agent = agent();
    agent.add(TWO, credentials(SECOND), false).expect("the fragment is free");
    nominate(&mut agent, START, here(), FIRST);
    nominate(&mut agent, START, here(), SECOND);
    assert_eq!(agent.transport_of(here()), Some(TWO));
    assert_eq!((agent.selected(ONE), agent.selected(TWO)), (None, Some(here())));
}

#[test]
fn addresses_of_one_peer_are_bounded_and_the_selected_stays() {
    let mut agent = agent();
    nominate(&mut agent, START, here(), FIRST);
    for port in 1..50 {
        check(&mut agent, START, address_of([192, 0, 2, 9], port), FIRST);
    }
    let bound: Vec<_> =
        (1..50).filter(|port| agent.transport_of(address_of([192, 0, 2, 9], *port)) == Some(ONE)).collect();
    assert_eq!(bound, (50 - MAX_ADDRESSES as u16 + 1..50).collect::<Vec<_>>());
    assert_eq!(agent.selected(ONE), Some(here()));
}

#[test]
fn a_silent_peer_loses_consent_and_gets_it_back_by_a_check() {
    let mut agent = agent();
    nominate(&mut agent, START, here(), FIRST);
    let later = START.after_s(20);
    check(&mut agent, later, here(), FIRST);
    let end = later.after_s(CONSENT_S);
    assert_eq!(agent.next_timeout(), Some(end));
    assert_eq!(agent.poll(end.after_ns(-1)), []);
    assert_eq!(agent.poll(end), [ONE]);
    assert_eq!(agent.poll(end), []);
    assert_eq!(agent.next_timeout(), None);
    assert_eq!((agent.selected(ONE), agent.transport_of(here())), (None, None));
    assert_eq!(nominate(&mut agent, end, here(), FIRST).result.selected, Some(ONE));
}

#[test]
fn a_peer_that_never_checked_is_not_waited_for() {
    let mut agent = agent();
    assert_eq!(agent.next_timeout(), None);
    assert_eq!(agent.poll(START.after_s(1_000)), []);
}

#[test]
fn a_peer_that_is_removed_is_unknown() {
    let mut agent = agent();
    check(&mut agent, START, here(), FIRST);
    agent.restart(ONE, credentials(SECOND)).expect("the fragment is free");
    agent.remove(ONE);
    assert_eq!(agent.transport_of(here()), None);
    assert_eq!((agent.selected(ONE), agent.reachable(ONE)), (None, None));
    assert_eq!(agent.restart(ONE, credentials(THIRD)), Ok(()));
    for gone in [FIRST, SECOND, THIRD] {
        let refused = check(&mut agent, START, here(), gone);
        assert_eq!(refused.result.drop, Some(DropReason::StunUnauthenticated));
    }
    agent.add(ONE, credentials(FIRST), false).expect("the fragment is free again");
    assert_eq!(nominate(&mut agent, START, here(), FIRST).result.selected, Some(ONE));
}

#[test]
fn a_connection_that_was_closed_is_no_address_any_more() {
    let mut agent = agent();
    let connection = Address::over_tcp(SocketAddr::from(([192, 0, 2, 1], 1_000)), 7);
    check(&mut agent, START, here(), FIRST);
    nominate(&mut agent, START, connection, FIRST);
    agent.forget(connection);
    assert_eq!((agent.selected(ONE), agent.transport_of(connection)), (None, None));
    assert_eq!(agent.reachable(ONE), Some(here()));
    agent.forget(connection);
}

#[derive(Clone, Debug)]
enum Step {
    Check { peer: u32, after_ms: i64 },
    Poll { after_ms: i64 },
    Remove { peer: u32 },
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u32..5, -50_i64..9_000).prop_map(|(peer, after_ms)| Step::Check { peer, after_ms }),
        3 => (0_i64..20_000).prop_map(|after_ms| Step::Poll { after_ms }),
        1 => (0_u32..5).prop_map(|peer| Step::Remove { peer }),
    ]
}

proptest! {
    #[test]
    fn consent_ends_when_a_look_at_all_peers_would_say_so(steps in prop::collection::vec(steps(), 1..80)) {
        let mut agent = LiteAgent::new(CONSENT_S as f64);
        let mut checked_at: FxHashMap<TransportId, Option<Instant>> = FxHashMap::default();
        let mut now = START;
        for step in steps {
            match step {
                Step::Check { peer, after_ms } => {
                    now = now.after_ms(after_ms);
                    let (transport, ufrag) = (TransportId(peer), format!("f{peer}"));
                    if !checked_at.contains_key(&transport) {
                        agent.add(transport, credentials([&ufrag, "p"]), false).expect("the fragment is free");
                    }
                    let address = address_of([192, 0, 2, 1], peer as u16);
                    prop_assert_eq!(check(&mut agent, now, address, [&ufrag, "p"]).result.drop, None);
                    checked_at.insert(transport, Some(now));
                }
                Step::Poll { after_ms } => {
                    now = now.after_ms(after_ms);
                    let mut lost: Vec<_> = checked_at
                        .iter()
                        .filter(|(_, at)| at.is_some_and(|at| now >= at.after_s(CONSENT_S)))
                        .map(|(transport, _)| *transport)
                        .collect();
                    lost.sort_unstable();
                    prop_assert_eq!(agent.poll(now), lost.clone());
                    checked_at.extend(lost.into_iter().map(|transport| (transport, None)));
                }
                Step::Remove { peer } => {
                    agent.remove(TransportId(peer));
                    checked_at.remove(&TransportId(peer));
                }
            }
            let expected = checked_at.values().flatten().min().map(|at| at.after_s(CONSENT_S));
            prop_assert_eq!(agent.next_timeout(), expected);
        }
    }

    #[test]
    fn any_bytes_from_anywhere_are_survived(
        datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..10),
        after_check: bool,
    ) {
        let mut agent = agent();
        for data in datagrams {
            let data = if after_check { [&request(FIRST, &[])[..], &data].concat() } else { data };
            handled(&mut agent, START, here(), &data);
        }
    }
}
