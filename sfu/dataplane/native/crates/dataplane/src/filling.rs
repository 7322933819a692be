//! What is sent for its size alone, to probe or to pad: payloads once more, then padding.

use focus_plane::DropReason;
use focus_units::{Instant, PayloadType, Ssrc};

use crate::program::Program;
use crate::transport::{Content, Outgoing};

/// Padding of one packet, the most that its length byte can say.
pub const PADDING_BYTES: u8 = 255;

/// What carries padding where nothing with RTX is routed. libwebrtc probes on it before it sends media, and feeds
/// back what comes on it.
pub const NO_SSRC: Ssrc = Ssrc(0);

/// Reserved by RFC 3551 section 6, so that no section has it. Of 64 to 95 libwebrtc takes any for RTCP.
pub const NO_PAYLOAD_TYPE: PayloadType = 1;

impl Program {
    /// Whether fillers are wanted and can be sent: one that has no transport-wide number tells nothing.
    pub fn fills(&self, peer: usize) -> bool {
        self.peers[peer].departures.pacer.wants_fillers()
            && self.can_send(peer)
            && self.numbered(peer).next().is_some()
    }

    /// Send one filler; only while `fills`.
    ///
    /// # Errors
    ///
    /// Why it is not sent.
    pub fn fill(&mut self, now: Instant, peer: usize) -> Result<(), DropReason> {
        let numbered: Vec<usize> = self.numbered(peer).collect();
        let over_rtx = || numbered.iter().copied();
        for route in over_rtx() {
            if self.routes[route].resends_over_rtx() && self.fill_over_rtx(now, route) {
                return Ok(());
            }
        }
        for route in over_rtx() {
            if self.routes[route].resends_over_rtx()
                && let Some(outcome) = self.pad_over_rtx(now, route)
            {
                return outcome;
            }
        }
        let Some(first) = numbered.first() else { return Ok(()) };
        let peer = &mut self.peers[peer];
        let outgoing = Outgoing {
            payload_type: NO_PAYLOAD_TYPE,
            sequence_number: peer.transport.next_blank_number(),
            timestamp: 0,
            ssrc: NO_SSRC,
            content: Content::Padding { bytes: PADDING_BYTES, is_placed: false },
        };
        let to = self.ice.selected(peer.transport.id);
        let around = (&mut self.egress, &mut peer.departures.pacer, &mut self.agenda);
        peer.transport.send_rtp(now, to, &outgoing, &self.routes[*first].translation, around)?;
        Ok(())
    }

    /// There may be something now that carries the fillers that wait.
    pub fn wake(&mut self, now: Instant, peer: usize) {
        let peer = &self.peers[peer];
        if peer.departures.pacer.wants_fillers() {
            self.agenda.plan(peer.transport.id, Some(now));
        }
    }

    /// Routes to a peer whose packets have a transport-wide number.
    fn numbered(&self, peer: usize) -> impl Iterator<Item = usize> + '_ {
        let routes = self.peers[peer].routes.values().copied();
        routes.filter(|route| self.routes[*route].translation.transport_cc.is_some())
    }

    /// Send a payload of a route once more; false where that can't be.
    fn fill_over_rtx(&mut self, now: Instant, route: usize) -> bool {
        let resender = self.routes[route].over_rtx.as_mut();
        let filler = resender.and_then(|resender| resender.filler(now, &self.caches));
        filler.is_some_and(|(sent, packet)| self.send_over_rtx(now, route, &sent, &packet) == Ok(true))
    }

    /// Send padding of a route over RTX; `None` where it has no format with RTX.
    fn pad_over_rtx(&mut self, now: Instant, route: usize) -> Option<Result<(), DropReason>> {
        let route = &mut self.routes[route];
        let payload_type = route.spec.formats.iter().find_map(|form| form.rtx_payload_type)?;
        let resender = route.over_rtx.as_mut()?;
        let outgoing = Outgoing {
            payload_type,
            sequence_number: resender.next_seq as u16,
            timestamp: resender.newest_timestamp,
            ssrc: resender.ssrc,
            content: Content::Padding { bytes: PADDING_BYTES, is_placed: true },
        };
        let peer = &mut self.peers[route.peer];
        let to = self.ice.selected(peer.transport.id);
        let around = (&mut self.egress, &mut peer.departures.pacer, &mut self.agenda);
        let outcome = peer.transport.send_rtp(now, to, &outgoing, &route.translation, around);
        resender.next_seq += i64::from(outcome.is_ok());
        Some(outcome.map(|_| ()))
    }
}
