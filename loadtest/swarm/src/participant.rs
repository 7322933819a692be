//! One participant: str0m's connection, and whoever takes care of its media.

use std::net::SocketAddr;
use std::sync::Arc;

use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::ChannelId;
use str0m::config::{CryptoProvider, DtlsVersion};
use str0m::format::Codec;
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, IceConnectionState, Input, Output, Rtc};

use crate::clock::Clock;
use crate::description::Description;
use crate::effects::{Datagram, Effects, Event, Traffic};
use crate::error::Error;
use crate::inbound::Inbound;
use crate::keytap::{Slot, Tap, tapped};
use crate::media::{Media, Taken, Track};
use crate::publisher::{Frame, Publisher};
use crate::rtp::{is_media, is_rtcp};
use crate::schedule::Schedule;

/// The label that clients give their data channel.
pub const CHANNEL_LABEL: &str = "datachannel";

/// m-sections of one kind that a receiver may offer. More: larger calls; fewer: descriptions that fit anywhere.
pub const MAX_SECTIONS: u32 = 256;

/// What a participant is.
#[derive(Debug, Clone)]
pub enum Role {
    /// Receives so many tracks of sound and video, over the path that is named.
    Receiver {
        /// m-sections of sound.
        audio: u32,
        /// m-sections of video.
        video: u32,
        /// Whether str0m carries the media.
        is_full: bool,
    },
    /// Sends one video track.
    Publisher(Schedule),
}

/// One connection to whatever is under test.
pub struct Participant {
    local: SocketAddr,
    clock: Clock,
    rtc: Rtc,
    slot: Slot,
    ssrc: u32,
    offer: Option<SdpPendingOffer>,
    channel: Option<ChannelId>,
    description: Option<Description>,
    media: Media,
    media_from: Option<SocketAddr>,
    next_timeout_ns: i64,
    is_connected: bool,
    is_closed: bool,
    traffic: Traffic,
}

impl Participant {
    /// A participant at a local address, and its offer.
    ///
    /// # Errors
    ///
    /// Where the address can't be a candidate, or too many sections are asked for.
    pub fn new(
        role: Role,
        local: SocketAddr,
        provider: &Arc<CryptoProvider>,
        clock: Clock,
        ssrc: u32,
        now_ns: i64,
    ) -> Result<(Self, String), Error> {
        let tap = match role {
            Role::Receiver { is_full: false, .. } => Tap::Take,
            _ => Tap::Pass,
        };
        let config = Rtc::builder()
            .set_crypto_provider(Arc::clone(provider))
            .set_dtls_version(DtlsVersion::Dtls12)
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true);
        let (mut rtc, slot) = tapped(tap, || config.build(clock.instant(now_ns)));
        rtc.add_local_candidate(Candidate::host(local, "udp").map_err(invalid)?);
        let mut api = rtc.sdp_api();
        let media = match role {
            Role::Receiver { audio, video, is_full } => {
                if audio > MAX_SECTIONS || video > MAX_SECTIONS {
                    return Err(Error::Invalid(format!("at most {MAX_SECTIONS} sections of a kind")));
                }
                for (kind, count) in [(MediaKind::Audio, audio), (MediaKind::Video, video)] {
                    for _ in 0..count {
                        api.add_media(kind, Direction::RecvOnly, None, None, None);
                    }
                }
                if is_full { Media::Full(Vec::new()) } else { Media::Awaited }
            }
            Role::Publisher(schedule) => {
                let mid = api.add_media(MediaKind::Video, Direction::SendOnly, None, None, None);
                Media::Publishing(Track { mid, publisher: Publisher::new(schedule), is_wanted: false })
            }
        };
        api.add_channel(CHANNEL_LABEL.into());
        let Some((offer, pending)) = api.apply() else {
            unreachable!("a channel was added");
        };
        let participant = Self {
            local,
            clock,
            rtc,
            slot,
            ssrc,
            offer: Some(pending),
            channel: None,
            description: None,
            media,
            media_from: None,
            next_timeout_ns: now_ns,
            is_connected: false,
            is_closed: false,
            traffic: Traffic::default(),
        };
        Ok((participant, offer.to_sdp_string()))
    }

    // --- negotiation ---------------------------------------------------------------------------------------------

    /// Take the answer to the offer that waits.
    ///
    /// # Errors
    ///
    /// Where none waits, or the answer doesn't fit; one that can't be read leaves the offer waiting.
    pub fn accept_answer(&mut self, sdp: &str, now_ns: i64, effects: &mut Effects) -> Result<(), Error> {
        let answer = SdpAnswer::from_sdp_string(sdp).map_err(invalid)?;
        let pending = self.offer.take().ok_or(Error::NoOfferWaits)?;
        self.rtc.sdp_api().accept_answer(pending, answer).map_err(invalid)?;
        self.describe(sdp);
        self.advance(now_ns, effects);
        Ok(())
    }

    /// Answer an offer of the other side; an offer of ours that waits is given up.
    ///
    /// # Errors
    ///
    /// Where the offer can't be read or accepted.
    pub fn accept_offer(&mut self, sdp: &str, now_ns: i64, effects: &mut Effects) -> Result<String, Error> {
        let offer = SdpOffer::from_sdp_string(sdp).map_err(invalid)?;
        let answer = self.rtc.sdp_api().accept_offer(offer).map_err(invalid)?.to_sdp_string();
        self.offer = None;
        self.describe(sdp);
        self.advance(now_ns, effects);
        Ok(answer)
    }

    /// Take a candidate of the other side.
    ///
    /// # Errors
    ///
    /// Where it can't be read.
    pub fn add_candidate(
        &mut self,
        candidate: &str,
        now_ns: i64,
        effects: &mut Effects,
    ) -> Result<(), Error> {
        self.rtc.add_remote_candidate(Candidate::from_sdp_string(candidate).map_err(invalid)?);
        self.advance(now_ns, effects);
        Ok(())
    }

    /// Say something on the data channel.
    ///
    /// # Errors
    ///
    /// While it is not open or full.
    pub fn send_text(&mut self, text: &str, now_ns: i64, effects: &mut Effects) -> Result<(), Error> {
        let channel = self.channel.and_then(|id| self.rtc.channel(id));
        let mut channel = channel.ok_or(Error::Channel("not open"))?;
        if !channel.write(false, text.as_bytes()).map_err(invalid)? {
            return Err(Error::Channel("full"));
        }
        self.advance(now_ns, effects);
        Ok(())
    }

    /// Say goodbye; nothing comes after.
    pub fn close(&mut self, effects: &mut Effects) {
        if self.rtc.close().is_ok() {
            self.drain(effects);
        }
        self.is_closed = true;
    }

    // --- time and datagrams --------------------------------------------------------------------------------------

    /// Take a datagram; media of the lean path is decrypted in place.
    pub fn receive(
        &mut self,
        from: SocketAddr,
        datagram: &mut [u8],
        arrived_at_ns: i64,
        effects: &mut Effects,
    ) {
        self.traffic.datagrams_received += 1;
        self.traffic.bytes_received += datagram.len() as i64;
        if is_media(datagram) {
            match self.media.receive(datagram, arrived_at_ns, &mut effects.delays) {
                Taken::Read => self.media_from = Some(from),
                Taken::Unreadable => self.traffic.unreadable += 1,
                Taken::TooEarly => {}
                Taken::NotOurs => self.give_datagram(from, datagram, arrived_at_ns, effects),
            }
        } else {
            self.give_datagram(from, datagram, arrived_at_ns, effects);
            self.adopt_keys(arrived_at_ns);
        }
    }

    /// Do what is due.
    pub fn poll(&mut self, now_ns: i64, effects: &mut Effects) {
        if self.next_timeout_ns <= now_ns {
            self.advance(now_ns, effects);
        }
        if let Some(to) = self.media_from {
            for bytes in self.media.feedback(now_ns) {
                self.traffic.feedback_sent += 1;
                effects.datagrams.push(Datagram { to, bytes });
            }
        }
        let asking = self.media.without_key_frame(now_ns);
        for ssrc in &asking {
            if let Some(stream) = self.rtc.direct_api().stream_rx(&(*ssrc).into()) {
                stream.request_keyframe(KeyframeRequestKind::Pli);
            }
        }
        if !asking.is_empty() {
            self.advance(now_ns, effects);
        }
    }

    /// When the track's next frame is due; None while nothing is sent.
    pub fn next_frame_ns(&self) -> Option<i64> {
        let track = self.media.track().filter(|track| track.is_wanted && self.is_connected())?;
        Some(track.publisher.next_at_ns().unwrap_or(0)) // the first is due at once
    }

    /// Send the frame that is due, if one is.
    pub fn publish(&mut self, now_ns: i64, effects: &mut Effects) {
        let is_connected = self.is_connected();
        let Some(track) = self.media.track_mut().filter(|track| track.is_wanted && is_connected) else {
            return;
        };
        track.publisher.start(now_ns);
        let mid = track.mid;
        if let Some(frame) = track.publisher.poll(now_ns) {
            self.write(mid, frame, now_ns);
            self.advance(now_ns, effects);
        }
    }

    /// Begin to send the track, as soon as there is a connection, or end it.
    pub fn set_sending(&mut self, is_sending: bool) {
        if let Some(track) = self.media.track_mut() {
            track.is_wanted = is_sending;
            if !is_sending {
                track.publisher.stop();
            }
        }
    }

    // --- what is known of it -------------------------------------------------------------------------------------

    /// Its counters.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// The streams it receives.
    pub fn streams(&self) -> Vec<&Inbound> {
        self.media.streams()
    }

    /// Beats that its track let pass.
    pub fn frames_skipped(&self) -> u64 {
        self.media.track().map_or(0, |track| track.publisher.frames_skipped())
    }

    /// Whether it sends a track.
    pub fn is_publisher(&self) -> bool {
        self.media.track().is_some()
    }

    /// Whether str0m carries its media.
    pub fn is_full(&self) -> bool {
        self.media.is_full()
    }

    /// Whether it is in.
    pub fn is_connected(&self) -> bool {
        self.is_connected && !self.is_closed
    }

    /// Whether its data channel is open.
    pub fn is_open(&self) -> bool {
        self.channel.is_some() && !self.is_closed
    }

    // --- str0m ---------------------------------------------------------------------------------------------------

    fn describe(&mut self, sdp: &str) {
        let description = Description::parse(sdp);
        self.media.describe(&description);
        self.description = Some(description);
    }

    fn advance(&mut self, now_ns: i64, effects: &mut Effects) {
        self.give(Input::Timeout(self.clock.instant(now_ns)), effects);
        self.adopt_keys(now_ns);
    }

    fn give_datagram(&mut self, from: SocketAddr, bytes: &[u8], arrived_at_ns: i64, effects: &mut Effects) {
        match Receive::new(Protocol::Udp, from, self.local, bytes) {
            Ok(datagram) => {
                self.give(Input::Receive(self.clock.instant(arrived_at_ns), datagram), effects);
            }
            Err(_) => self.traffic.unreadable += 1,
        }
    }

    fn adopt_keys(&mut self, now_ns: i64) {
        if self.media.awaits_keys() {
            self.media.adopt(self.slot.outcome(), self.description.as_ref(), self.ssrc, now_ns);
        }
    }

    fn give(&mut self, input: Input<'_>, effects: &mut Effects) {
        if self.is_closed {
            return;
        }
        if let Err(error) = self.rtc.handle_input(input) {
            self.end(error.to_string(), effects);
            return;
        }
        self.drain(effects);
    }

    fn drain(&mut self, effects: &mut Effects) {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.next_timeout_ns = self.clock.nanos(at);
                    return;
                }
                Ok(Output::Transmit(transmit)) => {
                    let bytes = Vec::from(transmit.contents);
                    self.traffic.feedback_sent += i64::from(is_media(&bytes) && is_rtcp(&bytes));
                    effects.datagrams.push(Datagram { to: transmit.destination, bytes });
                }
                Ok(Output::Event(event)) => self.take(event, effects),
                Err(error) => {
                    self.end(error.to_string(), effects);
                    return;
                }
            }
        }
    }

    fn take(&mut self, event: str0m::Event, effects: &mut Effects) {
        match event {
            str0m::Event::Connected => {
                self.is_connected = true;
                effects.events.push(Event::Connected);
            }
            str0m::Event::ChannelOpen(id, label) => {
                self.channel = Some(id);
                effects.events.push(Event::ChannelOpen(label));
            }
            str0m::Event::ChannelData(message) => {
                effects.events.push(Event::Text(String::from_utf8_lossy(&message.data).into_owned()));
            }
            str0m::Event::ChannelClose(_) => self.channel = None,
            str0m::Event::RtpPacket(packet) => {
                let arrived_at_ns = self.clock.nanos(packet.timestamp);
                self.media.take(&packet, self.description.as_ref(), arrived_at_ns, &mut effects.delays);
            }
            str0m::Event::KeyframeRequest(_) => {
                self.traffic.keyframes_wanted += 1;
                if let Some(track) = self.media.track_mut() {
                    track.publisher.want_key_frame();
                }
                effects.events.push(Event::KeyframeWanted);
            }
            str0m::Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                self.end("ICE lost its path".to_owned(), effects);
            }
            str0m::Event::Closed => self.end("the other side closed".to_owned(), effects),
            _ => {}
        }
    }

    fn write(&mut self, mid: Mid, frame: Frame, now_ns: i64) {
        let wallclock = self.clock.instant(now_ns);
        let format = self.rtc.codec_config().find(|format| format.spec().codec == Codec::Vp8);
        let Some(payload_type) = format.map(str0m::format::PayloadParams::pt) else {
            return;
        };
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_tx_by_mid(mid, None) else {
            return;
        };
        let last = frame.payloads.len() - 1;
        self.traffic.media_sent += frame.payloads.len() as i64;
        for (index, payload) in frame.payloads.into_iter().enumerate() {
            let seq = (frame.seq + index as u64).into();
            let packet = RtpWrite::new(payload_type, seq, frame.timestamp, wallclock, payload);
            stream.write_rtp(packet.marker(index == last).nackable(true));
        }
    }

    fn end(&mut self, reason: String, effects: &mut Effects) {
        if !self.is_closed {
            self.is_closed = true;
            effects.events.push(Event::Closed(reason));
        }
    }
}

fn invalid(error: impl std::fmt::Display) -> Error {
    Error::Invalid(error.to_string())
}
