/** One dial: the peer connection with the focus, from invite to hangup (protocol: sections 4, 6 and 7). */

import { IceWatch } from "./ice.js";
import { Post } from "./post.js";
import { Senders } from "./senders.js";
import { isOlder, withOpusDtx } from "./sdp.js";

const LATE = "older than what was agreed since";
const METADATA_KEYS = ["sdp_stream_metadata", "org.matrix.msc3077.sdp_stream_metadata"];

const INVITE_LIFETIME_MS = 60_000;
/** No answer by then: no focus. Lower: a slow homeserver looks like a dead focus. Higher: the next one waits. */
const ANSWER_PATIENCE_MS = 15_000;
/** From the answer to the open channel. */
const CONNECT_PATIENCE_MS = 20_000;
/** An offer without an answer is sent again, byte for byte; the last time by to-device message. */
const OFFER_PATIENCE_MS = 5_000;
const OFFER_TRIES = 3;
/** The focus pings every 10 s, and every 30 s at most (protocol: section 6.5). */
const PING_PATIENCE_MS = 32_000;
const REOPEN_PATIENCE_MS = 5_000;

/**
 * @typedef {object} LegEnd
 * @property {string} reason        of the hangup or reject, or ours
 * @property {"reject" | "hangup" | "us"} by
 * @property {boolean} wasOpen      whether the data channel ever was
 */

/**
 * What a leg needs of its owner.
 *
 * @typedef {object} LegOwner
 * @property {object} matrix                              the Matrix port
 * @property {string} confId
 * @property {string} sessionId
 * @property {boolean} opusDtx
 * @property {{outgoing: Function, incoming: Function}} wire
 * @property {(message: object) => void} tell             every message, in and out
 * @property {(metadata: object) => void} onMetadata      the focus's newest picture
 * @property {() => void} onDescription                   sections have changed
 * @property {(type: string, content: object) => void} onMessage   other messages of the channel
 * @property {(error: Error) => void} onFailure           a step failed here
 * @property {(isUp: boolean) => void} onConnection       the channel is open and ICE holds, or not
 * @property {(sender: RTCRtpSender, about: object) => void} prepareSender
 * @property {(receiver: RTCRtpReceiver, about: object) => void} prepareReceiver
 */

/** See the module. `ended` resolves once, whoever ends it. */
export class FocusLeg {
  /** @type {Promise<LegEnd>} */
  ended;
  callId = `${Date.now()}${crypto.randomUUID().slice(0, 8)}`;
  /** Whether the data channel has been open. */
  wasOpen = false;

  #owner;
  #focus;
  #pc;
  #channel = null;
  #senders;
  #post;
  #end;
  #stop = new AbortController();
  #timers = {};
  #turns = Promise.resolve();
  #offer = null;
  #isDirty = false;
  #hasAnswer = false;
  #lastAnswer = "";

  /**
   * @param {LegOwner} owner
   * @param {{user_id: string, device_id: string}} focus
   * @param {RTCConfiguration} configuration
   */
  constructor(owner, focus, configuration) {
    this.#owner = owner;
    this.#focus = focus;
    this.ended = new Promise((resolve) => (this.#end = resolve));
    this.#pc = new RTCPeerConnection({ bundlePolicy: "max-bundle", ...configuration });
    const { signal } = this.#stop;
    const handle = (via, message) => this.#turn(() => this.#handle(via, message));
    this.#post = new Post(owner, { focus, callId: this.callId, handle, signal });
    this.#senders = new Senders(this.#pc, owner.prepareSender);
    const hooks = {
      send: (candidates) => this.#turn(() => this.#sendToDevice("m.call.candidates", { candidates })),
      onChange: (isUp) => owner.onConnection(isUp && this.isOpen),
      restart: () => (this.wasOpen ? this.restartIce() : this.hangUp("ice_failed")),
      giveUp: () => this.hangUp("ice_failed"),
    };
    new IceWatch(this.#pc, hooks, signal);
    const prepare = ({ receiver, track, transceiver }) =>
      owner.prepareReceiver(receiver, { kind: track.kind, transceiver });
    this.#pc.addEventListener("track", prepare, { signal });
    this.#openChannel();
  }

  get pc() {
    return this.#pc;
  }

  get channel() {
    return this.#channel;
  }

  /** Whether messages get through on the channel. */
  get isOpen() {
    return this.#channel.readyState === "open" && !this.#stop.signal.aborted;
  }

  // --- dial and hang up -----------------------------------------------------------------------------------------

  /** Send the invite. */
  dial() {
    this.#after("connect", ANSWER_PATIENCE_MS, () => this.hangUp("invite_timeout"));
    return this.#turn(async () => {
      await this.#pc.setLocalDescription(await this.#pc.createOffer());
      this.#sendToDevice("m.call.invite", {
        lifetime: INVITE_LIFETIME_MS,
        invitee: this.#focus.user_id,
        offer: this.#description(),
        capabilities: { "m.call.transferee": false, "m.call.dtmf": false },
        ...this.#metadataUnder(METADATA_KEYS),
      });
    });
  }

  /**
   * End the leg from our side. The hangup is on its way when this returns: the page may be going.
   *
   * @param {string} reason   of protocol: section 4.3
   */
  hangUp(reason) {
    if (this.#stop.signal.aborted) return;
    this.#post.sendFarewell("m.call.hangup", { reason });
    this.#close({ reason, by: "us" });
  }

  #close(end) {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    this.#pc.close();
    this.#end({ ...end, wasOpen: this.wasOpen });
  }

  // --- what we publish ------------------------------------------------------------------------------------------

  /**
   * Send a stream; `renegotiate` makes it known once there was a dial.
   *
   * @param {import("./local.js").LocalStream} local
   */
  place(local) {
    const kinds = ["audio", "video"].filter((kind) => local.has(kind));
    return this.#turn(async () => {
      for (const kind of kinds) await this.#senders.place(local, kind);
    });
  }

  /** Send a stream no more; `renegotiate` makes it known. */
  remove(local) {
    return this.#turn(() => this.#senders.remove(local));
  }

  /** Send the track that a stream has now of a kind, and tell of it. */
  refresh(local, kind) {
    return this.#turn(async () => {
      if (this.#senders.has(local, kind)) {
        await this.#senders.refresh(local, kind);
        this.send("m.call.sdp_stream_metadata_changed", this.#metadataUnder(METADATA_KEYS.slice(0, 1)));
      } else if (local.has(kind)) {
        await this.#senders.place(local, kind);
        this.#isDirty = true;
        await this.#offerIfDirty();
      }
    });
  }

  /** Encode what the focus asks for (`org.matrix_focus.layers`). */
  activate(tracks) {
    return this.#turn(async () => {
      for (const track of tracks) await this.#senders.activate(track);
    });
  }

  #metadataUnder(keys) {
    const { userId, deviceId } = this.#owner.matrix;
    const metadata = this.#senders.metadata({ user_id: userId, device_id: deviceId });
    return Object.fromEntries(keys.map((key) => [key, metadata]));
  }

  // --- negotiation: we are the impolite side (protocol: section 7.6) --------------------------------------------

  /** Offer what we publish now; after the offer that is out, if one is. */
  renegotiate() {
    return this.#turn(async () => {
      // Not before its turn: an offer made at the end of another one would not have what is placed in between.
      this.#isDirty = true;
      await this.#offerIfDirty();
    });
  }

  /**
   * Find a new way through the network, within this leg. It is offered by to-device message: while the path is dead
   * the channel is called open, and keeps what is sent on it.
   */
  restartIce() {
    return this.#turn(async () => {
      if (!this.#hasAnswer) return;
      // An offer that is stuck on the channel may still come out of it later, and must not be the last word.
      this.#isDirty ||= this.#offer !== null;
      this.#pc.restartIce();
      await this.#makeOffer("to-device");
    });
  }

  async #offerIfDirty() {
    if (!this.#isDirty || !this.wasOpen || this.#pc.signalingState !== "stable") return;
    this.#isDirty = false;
    await this.#makeOffer(this.isOpen ? "channel" : "to-device");
  }

  async #makeOffer(way) {
    await this.#pc.setLocalDescription(await this.#pc.createOffer());
    this.#offer = { content: this.#negotiation(), tries: 0 };
    this.#sendOffer(way);
  }

  #sendOffer(way) {
    this.#sendNegotiation(this.#offer.content, way);
    this.#offer.tries += 1;
    this.#after("offer", OFFER_PATIENCE_MS, () => {
      if (this.#offer.tries >= OFFER_TRIES) this.hangUp("unknown_error");
      else this.#sendOffer(this.#offer.tries === OFFER_TRIES - 1 ? "to-device" : way);
    });
  }

  async #negotiate(description, way) {
    await this.#pc.setRemoteDescription(description);
    if (description.type === "answer") {
      clearTimeout(this.#timers.offer);
      this.#offer = null;
      this.#lastAnswer = description.sdp;
    } else {
      await this.#pc.setLocalDescription(await this.#pc.createAnswer());
      this.#sendNegotiation(this.#negotiation(), way);
    }
    this.#owner.onDescription();
    await this.#senders.restore();
    await this.#offerIfDirty();
  }

  #negotiation() {
    return { description: this.#description(), ...this.#metadataUnder(METADATA_KEYS.slice(0, 1)) };
  }

  #description() {
    const { type, sdp } = this.#pc.localDescription;
    return { type, sdp: this.#owner.opusDtx ? withOpusDtx(sdp) : sdp };
  }

  #sendNegotiation(content, way) {
    if (way === "channel") this.send("m.call.negotiate", content);
    else {
      const metadata = content[METADATA_KEYS[0]];
      const more = { lifetime: INVITE_LIFETIME_MS, [METADATA_KEYS[1]]: metadata };
      this.#sendToDevice("m.call.negotiate", { ...content, ...more });
    }
  }

  // --- the data channel (protocol: section 6) -------------------------------------------------------------------

  #openChannel() {
    const { signal } = this.#stop;
    this.#channel = this.#pc.createDataChannel("datachannel");
    this.#channel.addEventListener("open", () => this.#opened(), { signal });
    this.#channel.addEventListener("close", () => this.#closed(), { signal });
    this.#channel.addEventListener("message", ({ data }) => this.#post.arriveByChannel(data), { signal });
  }

  #opened() {
    this.wasOpen = true;
    clearTimeout(this.#timers.connect);
    this.#pinged();
    this.#owner.onConnection(true);
    this.#turn(() => this.#offerIfDirty());
  }

  /** A channel that is cut is opened anew, as long as there is something to open it on. */
  #closed() {
    if (this.#pc.sctp?.state !== "connected") {
      this.hangUp("ice_failed");
      return;
    }
    this.#owner.onConnection(false);
    this.#openChannel();
    this.#after("connect", REOPEN_PATIENCE_MS, () => this.hangUp("ice_failed"));
  }

  #pinged() {
    this.#after("ping", PING_PATIENCE_MS, () => this.hangUp("keep_alive_timeout"));
  }

  /**
   * Say something on the channel.
   *
   * @returns {boolean} false where it is not open
   */
  send(type, content) {
    if (!this.isOpen) return false;
    this.#post.sendByChannel(() => this.#channel, type, content).catch((error) => this.#failed(error));
    return true;
  }

  #sendToDevice(type, content) {
    this.#post.sendToDevice(type, content).catch((error) => this.#failed(error));
  }

  // --- what the focus says --------------------------------------------------------------------------------------

  /**
   * Take a message to this device, whoever sent it.
   *
   * @param {{type: string, sender: string, content: object}} event
   */
  receive(event) {
    this.#post.arriveToDevice(event);
  }

  async #handle(via, message) {
    const { type, content } = message;
    const why = this.#whyUseless(type, content);
    this.#post.note("in", via, message, why);
    // Before the description, which may need it; and it counts where the description does not, but for an old one.
    const metadata = METADATA_KEYS.map((key) => content[key]).find((one) => one instanceof Object);
    if (metadata !== undefined && why !== LATE) this.#owner.onMetadata(metadata);
    if (why !== "") return;
    switch (type) {
      case "m.call.answer":
        this.#hasAnswer = true;
        this.#after("connect", CONNECT_PATIENCE_MS, () => this.hangUp("ice_failed"));
        await this.#negotiate(content.answer, via);
        this.#sendToDevice("m.call.select_answer", { selected_party_id: content.party_id });
        break;
      case "m.call.negotiate":
        await this.#negotiate(content.description, via);
        break;
      case "m.call.candidates":
        // A focus has its candidates in the SDP, and says here only that there are no more.
        for (const one of content.candidates ?? []) if (one.candidate) await this.#pc.addIceCandidate(one);
        break;
      case "m.call.hangup":
        this.#close({ reason: content.reason ?? "user_hangup", by: "hangup" });
        break;
      case "m.call.reject":
        this.#close({ reason: content.reason ?? "unknown_error", by: "reject" });
        break;
      case "m.call.ping":
        this.#pinged();
        this.send("m.call.pong", {});
        break;
      default:
        this.#owner.onMessage(type, content);
    }
  }

  /** Why a message counts for nothing now; "" where it counts. */
  #whyUseless(type, { description }) {
    if (["m.call.answer", "m.call.reject"].includes(type)) return this.#hasAnswer ? "answered before" : "";
    if (type !== "m.call.negotiate") return "";
    const state = this.#pc.signalingState;
    if (description?.type === "answer") {
      // An offer that was repeated is answered twice, and nothing says that the second answer is not the next offer's.
      if (description.sdp === this.#lastAnswer) return "it was there before";
      return state === "have-local-offer" ? "" : "no offer of ours waits for it";
    }
    if (state !== "stable") return "an offer of ours is out: the focus gives way";
    // An offer is repeated the other way, and may arrive when a newer one has been agreed on.
    return isOlder(description?.sdp, this.#pc.remoteDescription?.sdp) ? LATE : "";
  }

  // --- turns ----------------------------------------------------------------------------------------------------

  /** One step after the other: applying a description takes a while. */
  #turn(step) {
    this.#turns = this.#turns.then(async () => {
      if (this.#stop.signal.aborted) return;
      try {
        await step();
      } catch (error) {
        this.#failed(error);
      }
    });
    return this.#turns;
  }

  #failed(error) {
    if (this.#stop.signal.aborted) return;
    this.#owner.onFailure(error);
    // An invite that can't be sent, or an answer that can't be applied, will not become better.
    if (!this.wasOpen) this.hangUp("unknown_error");
  }

  #after(name, delayMs, step) {
    clearTimeout(this.#timers[name]);
    if (!this.#stop.signal.aborted) this.#timers[name] = setTimeout(step, delayMs);
  }
}
