/**
 * A client of group calls through a focus: the reference for people who write one.
 *
 *     const client = new FocusClient(matrix, { roomId });
 *     client.addEventListener("streams", () => draw(client.streams));
 *     await client.join({ stream: await navigator.mediaDevices.getUserMedia({ audio: true, video: true }) });
 *     client.show(streamId, { width: 640, height: 360 });
 *     await client.leave();
 *
 * It has no dependencies but its parts in `focus-client/`, one noun a file, and a *Matrix port*, which is whatever sends
 * and receives Matrix events (`matrix-http.js`, `widget.js`). What is said on the wire is in docs/protocol.md, which
 * comments cite by section.
 *
 *     FocusClient  decides when to dial whom, holds what is published, received and wanted
 *       ├ CallRoom        room.js           the call, its members, the focus's place in the room
 *       ├ FocusLeg        leg.js            one dial: peer connection, negotiation, data channel
 *       ├ LocalStream     local.js          what is published
 *       ├ RemoteStreams   streams.js        what the others publish
 *       └ Subscriptions   subscriptions.js  what is wanted of that, said sparingly
 *
 * Events, each with what its `detail` holds:
 *
 * | event | detail |
 * | --- | --- |
 * | "phase" | {phase} |
 * | "streams" | – : `streams` or what it says of one has changed |
 * | "track" | {stream, track}: media of it begins to come |
 * | "members" | – : `members` has changed |
 * | "speakers" | {speakers}, loudest first |
 * | "why" | {tracks}: why the focus sends what it sends |
 * | "layers" | {tracks}: what the focus asks of our encoders; obeyed already |
 * | "stats" | what the focus measures, after `askStats` |
 * | "error" | {code, text, about?}: something of ours was refused, or failed here (code "client") |
 * | "advice" | {text}: whom to ask for what |
 * | "drain" | {deadline_ms, foci?}: this focus goes away; we dial another, where there is one |
 * | "message" | {at, direction: "in" or "out", via: "state", "to-device" or "channel", type, content, leg?, note?}: every signalling message, what was ignored too (`note` says why) |
 */

import { FocusLeg } from "./focus-client/leg.js";
import { CAMERA_ENCODINGS, LocalStream, SCREEN_ENCODINGS } from "./focus-client/local.js";
import { CallRoom, isSameFocus } from "./focus-client/room.js";
import { RemoteStreams } from "./focus-client/streams.js";
import { Subscriptions } from "./focus-client/subscriptions.js";

/** After an invitation or a member event the focus may need a moment to see it; until then a reject is no refusal. */
const SETTLE_MS = 12_000;
const PASSING_REASONS = new Set(["not_in_call", "not_announced", "too_many_invites"]);
/** Pauses between dials double from the first to the last. Shorter: a focus that starts is met by a crowd. */
const FIRST_PAUSE_MS = 300;
const MAX_PAUSE_MS = 10_000;
/** A leg that the focus ended as ours to end: our member event or another session explains it, once the state is here. */
const EXPLANATION_MS = 1_000;

const OURS = "org.matrix_focus.";
const PASS = async (message) => message;

/** There is no call, or no way to it; `code` for programs, the message for people. */
export class FocusError extends Error {
  constructor(code, text) {
    super(text);
    this.name = "FocusError";
    this.code = code;
    this.text = text;
  }
}

/** See the module. */
export class FocusClient extends EventTarget {
  /** Hooks over to-device and channel messages: what they resolve to goes on, null is lost. For tests of the hard paths. */
  wire = { outgoing: PASS, incoming: PASS };

  #matrix;
  #room;
  #options;
  #sessionId = crypto.randomUUID().slice(0, 10);
  #confId;
  #phase = "idle";
  #foci = [];
  #leg = null;
  #advice = null;
  #join = {};
  #locals = new Map();
  #muted = { audio: false, video: false };
  #streams = new RemoteStreams();
  #sizes = new Map();
  #subscriptions = new Subscriptions((content) => this.#leg?.send("m.call.track_subscription", content) ?? false);
  #members = [];
  #statsEveryMs = 0;
  #stop = new AbortController();

  /**
   * @param {object} matrix                  the Matrix port, started
   * @param {object} options
   * @param {string} options.roomId          a room that the user has joined
   * @param {string | null} [options.confId] null: the room's live call, else a new one
   * @param {object | null} [options.focus]  {user_id, device_id}; null: the one that others in the call use, else `foci`
   * @param {object[] | null} [options.foci] best first; null: those that the homeserver announces. `appservice: true` on one
   *     of them says that it sees rooms without being in them
   */
  constructor(matrix, { roomId, confId = null, focus = null, foci = null }) {
    super();
    this.#matrix = matrix;
    this.#confId = confId;
    this.#options = { focus, foci };
    this.#room = new CallRoom(matrix, roomId, (message) => this.#tell(message));
  }

  get confId() {
    return this.#confId;
  }

  get sessionId() {
    return this.#sessionId;
  }

  /** Of the dial that stands; null before the first. */
  get callId() {
    return this.#leg?.callId ?? null;
  }

  /** The focus that is used or dialled. */
  get focus() {
    return this.#foci[0] ?? null;
  }

  /** "idle", "dialling", "connected", "reconnecting" or "left". */
  get phase() {
    return this.#phase;
  }

  /** The peer connection that stands; null before the first. */
  get pc() {
    return this.#leg?.pc ?? null;
  }

  /** Its data channel. */
  get channel() {
    return this.#leg?.channel ?? null;
  }

  /** What we publish: stream id → {stream, purpose, audioMuted, videoMuted}. */
  get localStreams() {
    return this.#locals;
  }

  /** What the others publish: stream id → `RemoteStream`. */
  get streams() {
    return this.#streams.byId;
  }

  /** Everybody else in the call by room state, device by device: `Member` of room.js. */
  get members() {
    return this.#members;
  }

  // --- join and leave --------------------------------------------------------------------------------------------

  /**
   * Enter the call; resolves when the focus has been reached.
   *
   * @param {object} [options]
   * @param {MediaStream | null | Promise<MediaStream | null>} [options.stream]   microphone and camera
   * @param {RTCRtpEncodingParameters[]} [options.videoEncodings]                 of the camera
   * @param {boolean} [options.opusDtx]                                           send less while nobody speaks
   * @param {RTCConfiguration} [options.rtcConfiguration]                         `iceServers` instead of the homeserver's
   * @param {(sender: RTCRtpSender, about: object) => void} [options.prepareSender]
   *     called with {kind, purpose, transceiver} before anything is negotiated for it
   * @param {(receiver: RTCRtpReceiver, about: object) => void} [options.prepareReceiver]
   *     called with {kind, transceiver} before media can come
   * @throws {FocusError}
   */
  async join(options = {}) {
    if (this.#phase !== "idle") throw new FocusError("joined_before", "A client joins once; make another one.");
    this.#setPhase("dialling");
    this.#join = { opusDtx: true, rtcConfiguration: {}, prepareSender() {}, prepareReceiver() {}, ...options };
    const { signal } = this.#stop;
    try {
      const [stream, iceServers] = await Promise.all([options.stream ?? null, this.#iceServers(), this.#enterRoom()]);
      this.#join.rtcConfiguration = { iceServers, ...this.#join.rtcConfiguration };
      if (stream !== null) this.#addLocal(stream, "m.usermedia", this.#join.videoEncodings ?? CAMERA_ENCODINGS);
      signal.throwIfAborted();
      this.#matrix.addEventListener("to-device", ({ detail }) => this.#receive(detail), { signal });
      globalThis.addEventListener("pagehide", () => this.#close(), { signal });
      await this.#reach();
    } catch (error) {
      await this.#close();
      throw error instanceof FocusError ? error : new FocusError("failed", error.message);
    }
  }

  /** Leave the call. The connection is closed at once; resolves when the room knows. */
  async leave() {
    await this.#close();
  }

  async #iceServers() {
    // Without them most networks work all the same.
    return this.#join.rtcConfiguration.iceServers ?? this.#matrix.iceServers().catch(() => []);
  }

  async #enterRoom() {
    await this.#room.open();
    this.#confId ??= this.#room.findCall() ?? (await this.#room.startCall());
    this.#foci = await this.#findFoci();
    if (this.#foci.length === 0) {
      throw new FocusError("no_focus", "No media server (focus) is used in this call or announced by the homeserver.");
    }
    this.#room.addEventListener("change", () => this.#roomChanged(), { signal: this.#stop.signal });
    this.#roomChanged();
  }

  /** The focus that others in the call use goes before those that are announced. */
  async #findFoci() {
    const { focus, foci } = this.#options;
    if (focus !== null) return [focus];
    const announced = foci ?? (await this.#matrix.foci());
    const used = this.#room.members(this.#confId, null).flatMap((member) => member.foci.slice(0, 1));
    const all = used.map((one) => announced.find((other) => isSameFocus(one, other)) ?? one).concat(announced);
    return all.filter((one, index) => all.findIndex((other) => isSameFocus(one, other)) === index);
  }

  #roomChanged() {
    const members = this.#room.members(this.#confId, this.focus);
    const hasChanged = JSON.stringify(members) !== JSON.stringify(this.#members);
    this.#members = members;
    if (hasChanged) this.#dispatch("members");
    if (this.#room.hasEnded(this.#confId)) this.#over("call_ended", "The call has been ended.");
    else if (!this.#room.isJoined()) this.#over("not_joined", "We are not in the room any more.");
  }

  /** It is over, and not because we left. */
  #over(code, text) {
    if (this.#stop.signal.aborted) return;
    this.#dispatch("error", { code, text });
    this.#close(new FocusError(code, text));
  }

  /** Sends its farewells before it waits for anything: the page may be going. */
  async #close(reason = new FocusError("left", "The call was left.")) {
    if (this.#stop.signal.aborted) return;
    const withdrawn = this.#room.withdraw();
    this.#leg?.hangUp("user_hangup");
    this.#stop.abort(reason);
    this.#room.close();
    this.#subscriptions.stop();
    this.#streams.describe({});
    this.#dispatch("streams");
    this.#setPhase("left");
    await withdrawn.catch(() => {}); // The entry expires by itself.
  }

  // --- dialling --------------------------------------------------------------------------------------------------

  /** Go on dialling as long as we take part; resolves when the first leg is up. */
  #reach() {
    const { signal } = this.#stop;
    return new Promise((resolve, reject) => {
      this.addEventListener("phase", () => this.#phase === "connected" && resolve(), { signal });
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      this.#keepDialling().catch((error) => {
        if (this.#phase === "dialling") reject(error);
        else this.#over(error.code ?? "client", error.message);
      });
    });
  }

  async #keepDialling() {
    let [failures, untried, since] = [0, this.#foci.length, Date.now()];
    while (!this.#stop.signal.aborted) {
      const { focus } = this;
      const end = await this.#holdLeg(focus);
      if (this.#stop.signal.aborted) return;
      const hasMoved = !isSameFocus(this.focus, focus);
      if (end.wasOpen || hasMoved) [failures, untried, since] = [0, this.#foci.length, Date.now()];
      if (end.wasOpen) {
        if (end.by === "hangup" && end.reason === "user_hangup") await this.#explain();
        continue;
      }
      failures += 1;
      const isPassing = PASSING_REASONS.has(end.reason) && this.#advice === null && Date.now() - since < SETTLE_MS;
      if (!isPassing && !hasMoved) {
        if (end.reason === "not_in_call") this.#advise();
        this.#foci.push(this.#foci.shift());
        untried -= 1;
        if (untried <= 0 && this.#phase === "dialling") throw refusedBy(end);
      }
      await this.#pause(backOffMs(failures));
    }
  }

  /** Dial, and wait for the end of it. */
  async #holdLeg(focus) {
    const leg = new FocusLeg(this.#owner(), focus, this.#join.rtcConfiguration);
    this.#leg = leg;
    this.#roomChanged();
    for (const local of this.#locals.values()) leg.place(local);
    await Promise.all([this.#bring(focus, leg), this.#announce(focus, leg)]);
    const end = await leg.ended;
    this.#streams.unbind();
    this.#dispatch("streams");
    if (this.#phase === "connected") this.#setPhase("reconnecting");
    return end;
  }

  async #bring(focus, leg) {
    this.#advice = await this.#room.bring(focus);
    // Whatever the room says: it may see the call in another way.
    leg.dial();
  }

  #advise() {
    const text = `${this.focus.user_id} does not know this call. Ask somebody of its own server to invite it to the room.`;
    this.#dispatch("advice", { text: this.#advice ?? text });
  }

  async #announce(focus, leg) {
    try {
      await this.#room.announce(this.#confId, this.#entry(focus));
    } catch (error) {
      leg.hangUp("unknown_error");
      if (error.status !== 403) return; // Trouble of the homeserver passes.
      const text = this.#room.adviceOnAnnouncing();
      this.#dispatch("advice", { text });
      throw new FocusError("member_refused", text);
    }
  }

  #entry(focus) {
    const purposes = [...this.#locals.values()].map(({ purpose }) => purpose);
    return { sessionId: this.#sessionId, focus, purposes };
  }

  /** The focus ended the leg as if we had: find out whether we are still meant to be here. */
  async #explain() {
    await this.#pause(EXPLANATION_MS);
    const session = this.#room.ownSession(this.#confId);
    if (session !== null && session !== this.#sessionId) this.#over("replaced", "This device has joined elsewhere.");
  }

  #pause(ms) {
    return new Promise((resolve) => {
      AbortSignal.any([this.#stop.signal, AbortSignal.timeout(ms)]).addEventListener("abort", resolve, { once: true });
    });
  }

  #owner() {
    const { opusDtx, prepareSender, prepareReceiver } = this.#join;
    return {
      matrix: this.#matrix,
      confId: this.#confId,
      sessionId: this.#sessionId,
      opusDtx,
      prepareSender,
      prepareReceiver,
      wire: { outgoing: (message) => this.wire.outgoing(message), incoming: (message) => this.wire.incoming(message) },
      tell: (message) => this.#tell(message),
      onMetadata: (metadata) => this.#described(metadata),
      onDescription: () => this.#bind(),
      onMessage: (type, content) => this.#hear(type, content),
      onFailure: (error) => this.#dispatch("error", { code: "client", text: String(error) }),
      onConnection: (isUp) => this.#connectionChanged(isUp),
    };
  }

  #connectionChanged(isUp) {
    if (this.#stop.signal.aborted) return;
    if (isUp && this.#phase !== "connected") {
      this.#subscriptions.restart();
      if (this.#statsEveryMs > 0) this.askStats(this.#statsEveryMs);
    }
    this.#setPhase(isUp ? "connected" : this.#phase === "dialling" ? "dialling" : "reconnecting");
  }

  // --- what we publish -------------------------------------------------------------------------------------------

  /**
   * Publish one more stream, such as a screen.
   *
   * @param {MediaStream} stream
   * @param {string} [purpose]
   * @returns {Promise<string>} its id
   */
  async publish(stream, purpose = "m.screenshare") {
    const encodings = purpose === "m.screenshare" ? SCREEN_ENCODINGS : CAMERA_ENCODINGS;
    this.#leg?.place(this.#addLocal(stream, purpose, encodings));
    await this.#republish();
    return stream.id;
  }

  /** Publish a stream no more; its tracks go on, they are the caller's. */
  async unpublish(streamId) {
    const local = this.#locals.get(streamId);
    if (local === undefined) return;
    this.#locals.delete(streamId);
    this.#leg?.remove(local);
    await this.#republish();
  }

  /**
   * Mute or unmute our microphone ("audio") or camera ("video"); also before `join`.
   *
   * @param {"audio" | "video"} kind
   * @param {boolean} muted
   */
  async setMuted(kind, muted) {
    this.#muted[kind] = muted;
    const local = this.#userMedia();
    if (local === undefined) return;
    local.mute(kind, muted);
    await this.#leg?.refresh(local, kind);
  }

  /**
   * Send another microphone or camera; muted as before.
   *
   * @param {"audio" | "video"} kind
   * @param {MediaStreamTrack | null} track
   */
  async replaceTrack(kind, track) {
    const local = this.#userMedia() ?? this.#addLocal(new MediaStream(), "m.usermedia", CAMERA_ENCODINGS);
    local.replace(kind, track);
    await this.#leg?.refresh(local, kind);
  }

  #addLocal(stream, purpose, encodings) {
    const local = new LocalStream(stream, purpose, encodings);
    this.#locals.set(stream.id, local);
    if (purpose === "m.usermedia") for (const [kind, muted] of Object.entries(this.#muted)) local.mute(kind, muted);
    return local;
  }

  #userMedia() {
    return [...this.#locals.values()].find(({ purpose }) => purpose === "m.usermedia");
  }

  async #republish() {
    if (this.#leg === null) return;
    const announced = this.#room.announce(this.#confId, this.#entry(this.focus));
    await Promise.all([this.#leg.renegotiate(), announced]);
  }

  // --- what we receive -------------------------------------------------------------------------------------------

  /**
   * Say how large somebody's picture is shown; nothing is sent of one that is not shown.
   *
   * @param {string} streamId
   * @param {{width: number, height: number} | null} size   CSS pixels; null: not to be seen
   */
  show(streamId, size) {
    this.#sizes.set(streamId, size && { width: Math.round(size.width), height: Math.round(size.height) });
    this.#subscribe();
  }

  #described(metadata) {
    this.#streams.describe(metadata);
    for (const streamId of this.#sizes.keys()) if (!this.streams.has(streamId)) this.#sizes.delete(streamId);
    this.#bind();
    this.#subscribe();
  }

  #bind() {
    const begun = this.#streams.bind(this.#leg.pc);
    this.#dispatch("streams");
    for (const detail of begun) this.#dispatch("track", detail);
  }

  #subscribe() {
    const wishes = [];
    for (const { streamId, tracks } of this.streams.values()) {
      const size = this.#sizes.get(streamId) ?? null;
      for (const track of tracks.values()) {
        const isWanted = track.kind !== "video" || (size !== null && size.width > 0 && size.height > 0);
        track.wanted = isWanted && (track.kind === "video" ? size : true);
        if (isWanted) wishes.push({ streamId, trackId: track.trackId, size: track.kind === "video" ? size : null });
      }
    }
    this.#subscriptions.want(wishes);
  }

  /**
   * Have the focus tell what it measures.
   *
   * @param {number} everyMs   0: no more
   */
  askStats(everyMs) {
    this.#statsEveryMs = everyMs;
    this.#leg?.send(`${OURS}stats`, { every_ms: everyMs });
  }

  // --- the connection --------------------------------------------------------------------------------------------

  /** Find a new way through the network. */
  async restartIce() {
    await this.#leg?.restartIce();
  }

  /** Offer anew what is published. */
  async renegotiate() {
    await this.#leg?.renegotiate();
  }

  /** Hang up and dial again. */
  async redial() {
    this.#leg?.hangUp("user_hangup");
  }

  #receive(detail) {
    if (/^(m|org\.matrix)\.call\.|^m\.room\.encrypted$/.test(detail.type)) this.#leg?.receive(detail);
  }

  /** What the focus says on the channel in words of its own (protocol: section 6.7). */
  #hear(type, content) {
    switch (type) {
      case `${OURS}layers`:
        this.#leg.activate(content.tracks).then(() => this.#dispatch("layers", content));
        break;
      case `${OURS}why`:
        for (const why of content.tracks) {
          const track = this.streams.get(why.stream_id)?.tracks.get(why.track_id);
          if (track !== undefined) track.why = why;
        }
        this.#dispatch("why", content);
        break;
      case `${OURS}drain`:
        this.#dispatch("drain", content);
        this.#moveAway(content.foci ?? []);
        break;
      case `${OURS}speakers`:
      case `${OURS}stats`:
      case `${OURS}error`:
        this.#dispatch(type.slice(OURS.length), content);
    }
  }

  /** This focus goes away: the next one, where there is one; else we come back when it does. */
  #moveAway(named) {
    const [current, ...others] = this.#foci;
    const known = [...named, ...others].filter((one) => !isSameFocus(one, current));
    if (known.length === 0) return;
    this.#foci = [...known, current];
    this.#leg.hangUp("user_hangup");
  }

  #setPhase(phase) {
    if (this.#phase === phase) return;
    this.#phase = phase;
    this.#dispatch("phase", { phase });
  }

  #tell(message) {
    this.#dispatch("message", { at: Date.now(), ...message });
  }

  #dispatch(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function backOffMs(failures) {
  const pause = Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), MAX_PAUSE_MS);
  return pause * (0.8 + 0.4 * Math.random());
}

function refusedBy({ by, reason }) {
  if (by === "reject") return new FocusError(reason, `The focus has refused the call: ${reason}.`);
  if (reason === "invite_timeout") return new FocusError("no_answer", "The focus does not answer.");
  return new FocusError("not_connected", `There is no connection to the focus: ${reason}.`);
}
