/**
 * A client of group calls through a focus: the reference for people who write one.
 *
 *     const client = new FocusClient(matrix, { roomId });
 *     client.addEventListener("streams", () => draw(client.streams));
 *     await client.join({ stream: await navigator.mediaDevices.getUserMedia({ audio: true, video: true }) });
 *     client.show(streamId, { width: 640, height: 360 });
 *     await client.leave();
 *
 * It has no dependencies but its parts in `focus-client/`, one noun a file, and a *Matrix port*: whatever sends and
 * receives Matrix events (`matrix-http.js`, `widget.js`). Comments cite docs/protocol.md by section.
 *
 *     FocusClient  what is published, received and wanted
 *       ├ CallRoom        room.js           the call, its members, the focus's place in the room
 *       ├ Dialler         dialler.js        whom to dial, and when again
 *       ├ FocusLeg        leg.js            one dial: peer connection, negotiation, data channel
 *       │   ├ Post        post.js           its messages, in order
 *       │   ├ Senders     senders.js        its sections for what we publish
 *       │   └ IceWatch    ice.js            its way through the network
 *       ├ MeshDials       mesh.js           clients that know of no focus
 *       ├ LocalStream     local.js          what is published
 *       ├ RemoteStreams   streams.js        what the others publish
 *       └ Subscriptions   subscriptions.js  what is wanted of that, said sparingly
 *
 * Events, and what their `detail` holds:
 *
 *     phase     {phase}
 *     streams   `streams`, or what is said of one, has changed
 *     track     {stream, track}: media of it begins to come
 *     members   `members` has changed
 *     speakers  {speakers}, loudest first
 *     why       {tracks}: why the focus sends what it sends
 *     layers    {tracks}: what the focus asks of our encoders; obeyed already
 *     stats     what the focus measures, after `askStats`
 *     error     {code, text, about?}: something of ours was refused, or failed here (code "client"), or it is over
 *     advice    {text}: whom to ask for what
 *     drain     {deadline_ms, foci?}: this focus goes away; another is dialled, where there is one
 *     message   {at, direction: "in" | "out", via: "state" | "to-device" | "channel", type, content, leg?, note?}: each
 *               signalling message in order; `note` says why one counts for nothing
 */

import { Dialler, FocusError } from "./focus-client/dialler.js";
import { watchNetwork } from "./focus-client/ice.js";
import { FocusLeg } from "./focus-client/leg.js";
import { CAMERA_ENCODINGS, LocalStream, SCREEN_ENCODINGS } from "./focus-client/local.js";
import { MeshDials } from "./focus-client/mesh.js";
import { CallRoom, isSameFocus } from "./focus-client/room.js";
import { RemoteStreams, roundTile } from "./focus-client/streams.js";
import { Subscriptions } from "./focus-client/subscriptions.js";

const OURS = "org.matrix_focus.";
const PASS = async (message) => message;

export { FocusError };

/** See the module. */
export class FocusClient extends EventTarget {
  /** Hooks over to-device and channel messages: what they resolve to goes on, null is lost. For tests of hard paths. */
  wire = { outgoing: PASS, incoming: PASS };

  #matrix;
  #room;
  #options;
  #sessionId = crypto.randomUUID().slice(0, 10);
  #phase = "idle";
  #dialler = null;
  #leg = null;
  #mesh = null;
  #join = {};
  #locals = new Map();
  #muted = { audio: false, video: false };
  #streams = new RemoteStreams();
  #tiles = new Map();
  #subscriptions = new Subscriptions((content) => this.#leg?.send("m.call.track_subscription", content) ?? false);
  #members = [];
  #statsEveryMs = 0;
  #stop = new AbortController();

  /**
   * @param {object} matrix                  the Matrix port, started
   * @param {object} options
   * @param {string} options.roomId          a room that the user has joined
   * @param {string | null} [options.confId] null: the room's live call, else a new one
   * @param {object | null} [options.focus]  {user_id, device_id}; null: the one that others use, else one of `foci`
   * @param {object[] | null} [options.foci] best first; null: those that the homeserver announces. `appservice: true`
   *     says that one sees rooms without being in them
   */
  constructor(matrix, { roomId, confId = null, focus = null, foci = null }) {
    super();
    this.#matrix = matrix;
    this.#options = { focus, foci };
    const describe = () => ({
      sessionId: this.#sessionId,
      purposes: [...this.#locals.values()].map(({ purpose }) => purpose),
    });
    this.#room = new CallRoom(matrix, roomId, describe, (message) => this.#tell(message));
    this.#room.confId = confId;
  }

  get confId() {
    return this.#room.confId;
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
    return this.#dialler?.focus ?? null;
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
    return this.#members.map((one) => (this.#isBehindHop(one) ? { ...one, reach: "hop" } : one));
  }

  // --- join and leave -------------------------------------------------------------------------------------------

  /**
   * Enter the call; resolves when the focus has been reached.
   *
   * @param {object} [options]
   * @param {MediaStream | null | Promise<MediaStream | null>} [options.stream]   microphone and camera
   * @param {RTCRtpEncodingParameters[]} [options.videoEncodings]   of the camera
   * @param {boolean} [options.opusDtx]   send less while nobody speaks
   * @param {RTCConfiguration} [options.rtcConfiguration]   with `iceServers`, instead of the homeserver's
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
      watchNetwork(() => this.restartIce(), signal);
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
    if (this.confId === null) await this.#room.findOrStartCall();
    this.#mesh = new MeshDials(this.#owner());
    const foci = await this.#findFoci();
    if (foci.length === 0) {
      throw new FocusError("no_focus", "No media server (focus) is used in this call or announced by the homeserver.");
    }
    const { signal } = this.#stop;
    this.#dialler = new Dialler({
      room: this.#room,
      foci,
      openLeg: (focus) => this.#openLeg(focus),
      onAdvice: (text) => this.#dispatch("advice", { text }),
      signal,
    });
    this.#room.addEventListener("change", () => this.#roomChanged(), { signal });
    this.#roomChanged();
  }

  /** The focus that others in the call use goes before those that are announced. */
  async #findFoci() {
    const { focus, foci } = this.#options;
    if (focus !== null) return [focus];
    const announced = foci ?? (await this.#matrix.foci());
    const used = this.#room.members(null).flatMap((member) => member.foci.slice(0, 1));
    const all = used.map((one) => announced.find((other) => isSameFocus(one, other)) ?? one).concat(announced);
    return all.filter((one, index) => all.findIndex((other) => isSameFocus(one, other)) === index);
  }

  #roomChanged() {
    const members = this.#room.members(this.focus);
    const hasChanged = JSON.stringify(members) !== JSON.stringify(this.#members);
    this.#members = members;
    if (hasChanged) this.#dispatch("members");
    if (this.#room.isReplaced) this.#over("replaced", "This device has joined the call elsewhere.");
    else if (this.#room.hasEnded) this.#over("call_ended", "The call has been ended.");
    else if (!this.#room.isJoined) this.#over("not_joined", "We are not in the room any more.");
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

  // --- dialling -------------------------------------------------------------------------------------------------

  /** Go on dialling as long as we take part; resolves when the first leg is up. */
  /** Whether somebody is on another focus from which ours brings what they send (docs/cascade.md). */
  #isBehindHop({ reach, userId, deviceId }) {
    if (reach !== "other-focus") return false;
    return [...this.streams.values()].some((one) => one.userId === userId && one.deviceId === deviceId);
  }

  #reach() {
    const { signal } = this.#stop;
    return new Promise((resolve, reject) => {
      this.addEventListener("phase", () => this.#phase === "connected" && resolve(), { signal });
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      this.#dialler.run().catch((error) => {
        reject(error);
        if (this.#phase !== "dialling") this.#over(error.code ?? "client", error.message);
      });
    });
  }

  #openLeg(focus) {
    const leg = new FocusLeg(this.#owner(), focus, this.#join.rtcConfiguration);
    for (const local of this.#locals.values()) leg.place(local);
    leg.ended.then(() => this.#legEnded(leg));
    this.#leg = leg;
    this.#roomChanged();
    return leg;
  }

  #legEnded(leg) {
    if (leg !== this.#leg || this.#stop.signal.aborted) return;
    this.#streams.unbind();
    this.#dispatch("streams");
    if (this.#phase === "connected") this.#setPhase("reconnecting");
  }

  #owner() {
    const { opusDtx, prepareSender, prepareReceiver } = this.#join;
    return {
      matrix: this.#matrix,
      confId: this.confId,
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

  // --- what we publish ------------------------------------------------------------------------------------------

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
    // That the others do not read of it in the room's state is no reason not to show it to them.
    const announced = this.#room.announce(this.focus).catch(() => {});
    await Promise.all([this.#leg.renegotiate(), announced]);
  }

  // --- what we receive ------------------------------------------------------------------------------------------

  /**
   * Say how somebody's picture is shown; nothing is sent of one that is not, or is out of sight.
   *
   * @param {string} streamId
   * @param {import("./focus-client/streams.js").Tile | null} tile   null: there is none, and none is about to come
   */
  show(streamId, tile) {
    this.#tiles.set(streamId, tile && roundTile(tile));
    this.#subscribe();
  }

  #described(metadata) {
    this.#streams.describe(metadata);
    for (const streamId of this.#tiles.keys()) if (!this.streams.has(streamId)) this.#tiles.delete(streamId);
    this.#bind();
    this.#subscribe();
  }

  #bind() {
    const begun = this.#streams.bind(this.#leg.pc);
    this.#dispatch("streams");
    for (const detail of begun) this.#dispatch("track", detail);
  }

  #subscribe() {
    this.#subscriptions.want(this.#streams.wishes(this.#tiles));
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

  // --- the connection -------------------------------------------------------------------------------------------

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
    if (!/^(m|org\.matrix)\.call\.|^m\.room\.encrypted$/.test(detail.type)) return;
    if (detail.sender !== this.focus.user_id) this.#mesh.receive(detail);
    this.#leg?.receive(detail);
  }

  /** What the focus says on the channel in words of its own (protocol: section 6.7). */
  #hear(type, content) {
    switch (type) {
      case `${OURS}layers`:
        this.#leg.activate(content.tracks).then(() => this.#dispatch("layers", content));
        break;
      case `${OURS}why`:
        this.#streams.explain(content.tracks);
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
    if (this.#dialler.moveAway(named)) this.#leg.hangUp("user_hangup");
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
