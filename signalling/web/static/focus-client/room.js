/** The room of a call: the call, its members, and the focus's place in the room (protocol: sections 2 and 3). */

export const CALL_TYPES = ["org.matrix.msc3401.call", "m.call"];
export const CALL_MEMBER_TYPES = ["org.matrix.msc3401.call.member", "m.call.member"];
const POWER_LEVELS = "m.room.power_levels";
const ROOM_MEMBER = "m.room.member";
const CREATE = "m.room.create";
const INTENTS = ["m.ring", "m.prompt", "m.room"];
const TYPES = ["m.voice", "m.video"];
const FOCI_PREFERRED = "org.matrix.msc3898.foci.preferred";
const FOCI_ACTIVE = ["org.matrix.msc3898.foci.active", "m.foci.active"];
const WATCHED = [...CALL_TYPES, ...CALL_MEMBER_TYPES, ROOM_MEMBER, POWER_LEVELS, CREATE];

/** What a member event says of its end. Longer: who has crashed is shown for longer. Shorter: more events. */
const LIFETIME_MS = 60 * 60_000;
const RENEW_MS = 45 * 60_000;
/** An invited focus follows within a second or so; after this we dial all the same and see what it says. */
const FOCUS_PATIENCE_MS = 4_000;

/**
 * @typedef {object} Focus
 * @property {string} user_id
 * @property {string} device_id
 * @property {boolean} [appservice]   true: it sees rooms without being in them, and needs no invitation
 */

/**
 * @typedef {object} Member   one device of somebody else in the call
 * @property {string} userId
 * @property {string} deviceId
 * @property {string} sessionId
 * @property {Focus[]} foci
 * @property {"here" | "hop" | "other-focus" | "mesh"} reach   whether media can come through the focus that we use; `hop`: it
 *   comes, from the focus that they are on
 */

/** State of one room, kept up to date, and our own entry in it. Event "change": something of it has changed. */
export class CallRoom extends EventTarget {
  /** The call that is meant: state key of its event. */
  confId = null;

  #matrix;
  #roomId;
  #describe;
  #tell;
  #state = new Map(WATCHED.map((type) => [type, new Map()]));
  #stop = new AbortController();
  #entry = null;
  #wasNamed = false;
  #putting = 0;
  #renewal = null;
  #expiry = null;

  /**
   * @param {object} matrix   the Matrix port
   * @param {string} roomId
   * @param {() => {sessionId: string, purposes: string[]}} describe   what our entry says of us
   * @param {(message: object) => void} tell                           gets every state event of calls, in and out
   */
  constructor(matrix, roomId, describe, tell) {
    super();
    this.#matrix = matrix;
    this.#roomId = roomId;
    this.#describe = describe;
    this.#tell = tell;
  }

  /** Read the room, and follow it from now on. */
  async open() {
    const { signal } = this.#stop;
    this.#matrix.addEventListener("state", ({ detail }) => this.#take(detail), { signal });
    await this.#matrix.watchRoom(this.#roomId);
    const events = await Promise.all(WATCHED.map((type) => this.#matrix.readState(this.#roomId, type)));
    this.#take({ roomId: this.#roomId, events: events.flat() });
  }

  /** Follow it no more. */
  close() {
    this.#stop.abort();
    clearInterval(this.#renewal);
    clearTimeout(this.#expiry);
    this.#entry = null;
  }

  /** Take part in the live call of the room, the newest of several; begin one where there is none. */
  async findOrStartCall() {
    const calls = CALL_TYPES.flatMap((type) => [...this.#state.get(type).values()]).filter(isLive);
    calls.sort((one, other) => (other.origin_server_ts ?? 0) - (one.origin_server_ts ?? 0));
    this.confId = calls[0]?.state_key ?? null;
    if (this.confId !== null) return;
    this.confId = `${Date.now()}${crypto.randomUUID().slice(0, 8)}`;
    const content = { "m.intent": "m.room", "m.type": "m.video", "io.element.ptt": false };
    await this.#send(CALL_TYPES[0], this.confId, content);
  }

  /** Whether the call has been ended for everybody. */
  get hasEnded() {
    const events = CALL_TYPES.map((type) => this.#state.get(type).get(this.confId)).filter(Boolean);
    return events.length > 0 && !events.some(isLive);
  }

  /**
   * Everybody else in the call, device by device.
   *
   * @param {Focus | null} focus   the one that we use
   * @returns {Member[]}
   */
  members(focus) {
    const { userId, deviceId } = this.#matrix;
    return this.#liveDevices()
      .filter((device) => device.userId !== userId || device.deviceId !== deviceId)
      .map(({ expiresTs, ...member }) => ({ ...member, reach: reachOf(member.foci, focus) }));
  }

  /** Whether we ourselves may (still) take part. */
  get isJoined() {
    return isJoined(this.#state.get(ROOM_MEMBER), this.#matrix.userId);
  }

  /** Whether another session of this device has taken our place. */
  get isReplaced() {
    const session = this.#ownSession();
    return this.#wasNamed && session !== undefined && session !== this.#describe().sessionId;
  }

  #ownSession() {
    return this.#ownDevice()?.sessionId;
  }

  #ownDevice() {
    const { userId, deviceId } = this.#matrix;
    return this.#liveDevices().find((device) => device.userId === userId && device.deviceId === deviceId);
  }

  #liveDevices() {
    const events = CALL_MEMBER_TYPES.flatMap((type) => [...this.#state.get(type).values()]);
    return liveDevices(events, this.#state.get(ROOM_MEMBER), this.confId, Date.now());
  }

  /**
   * Say that this device takes part, and renew that as long as it does.
   *
   * @param {Focus} focus
   */
  async announce({ user_id, device_id }) {
    const { sessionId, purposes } = this.#describe();
    const entry = {
      device_id: this.#matrix.deviceId,
      session_id: sessionId,
      feeds: purposes.map((purpose) => ({ purpose })),
      [FOCI_ACTIVE[0]]: [{ user_id, device_id }],
      [FOCI_PREFERRED]: [],
    };
    // What stands is not written anew: it might overwrite another session's that we do not know of yet.
    const left = (this.#ownDevice()?.expiresTs ?? 0) - Date.now();
    const stands = this.#ownSession() === sessionId && left > LIFETIME_MS - RENEW_MS;
    if (stands && JSON.stringify(entry) === JSON.stringify(this.#entry)) return;
    this.#entry = entry;
    clearInterval(this.#renewal);
    // A renewal that fails is made up for by the next dial: the focus lets an entry count a while longer.
    this.#renewal = setInterval(() => this.#putEntry().catch(() => {}), RENEW_MS);
    await this.#putEntry();
  }

  /** Say that this device takes part no more. Sends at once, without waiting for anything: the page may be going. */
  async withdraw() {
    clearInterval(this.#renewal);
    if (this.#entry === null) return;
    this.#entry = null;
    // Another session of this device goes on: the entry is its own.
    if (this.isReplaced) return;
    const isOvertaking = this.#putting > 0;
    await this.#putEntry();
    // An announcement that was under way may have arrived after it.
    if (isOvertaking) await this.#putEntry();
  }

  /**
   * See to it that a focus can see the call.
   *
   * @param {Focus} focus
   * @returns {Promise<string | null>} null: it is in the room, or follows our invitation; else whom to ask for what
   */
  async bring(focus) {
    if (focus.appservice || this.#membershipOf(focus.user_id) === "join") return null;
    const ask = `Ask an admin of the room to invite ${focus.user_id}: the media server (focus) has to be in the room.`;
    if (this.#membershipOf(focus.user_id) !== "invite") {
      if (!this.#mayInvite()) return ask;
      try {
        await this.#matrix.invite(this.#roomId, focus.user_id);
      } catch (error) {
        return `${ask} We were not allowed to (${error.message}).`;
      }
    }
    await this.#until(() => this.#membershipOf(focus.user_id) === "join", FOCUS_PATIENCE_MS);
    return null;
  }

  /** Who has to do what, when `announce` was refused. */
  adviceOnAnnouncing() {
    return `Ask an admin of the room to let members send ${CALL_MEMBER_TYPES[0]} (power level 0).`;
  }

  #membershipOf(userId) {
    return this.#state.get(ROOM_MEMBER).get(userId)?.content.membership;
  }

  #mayInvite() {
    const { userId } = this.#matrix;
    const levels = this.#state.get(POWER_LEVELS).get("")?.content ?? {};
    const create = this.#state.get(CREATE).get("");
    // From room version 12 on creators stand above all levels, and are in no list of them.
    const isCreator = create?.sender === userId || create?.content.additional_creators?.includes(userId);
    if (isCreator && Number(create.content.room_version) >= 12) return true;
    return (levels.users?.[userId] ?? levels.users_default ?? 0) >= (levels.invite ?? 0);
  }

  /** Our member event anew: the other devices of this user keep their entries. */
  async #putEntry() {
    const { userId, deviceId } = this.#matrix;
    const calls = this.#state.get(CALL_MEMBER_TYPES[0]).get(userId)?.content["m.calls"];
    const content = { "m.calls": withEntry(calls, this.confId, deviceId, this.#entry, Date.now()) };
    this.#putting += 1;
    try {
      await this.#send(CALL_MEMBER_TYPES[0], userId, content);
    } finally {
      this.#putting -= 1;
    }
  }

  async #send(type, stateKey, content) {
    this.#tell({ direction: "out", via: "state", type, content });
    await this.#matrix.sendState(this.#roomId, type, stateKey, content);
  }

  #take({ roomId, events }) {
    if (roomId !== this.#roomId || this.#stop.signal.aborted) return;
    let hasChanged = false;
    for (const event of events) {
      const known = this.#state.get(event.type);
      if (known === undefined) continue;
      known.set(event.state_key, event);
      hasChanged = true;
      const isOfCalls = CALL_TYPES.includes(event.type) || CALL_MEMBER_TYPES.includes(event.type);
      if (isOfCalls) this.#tell({ direction: "in", via: "state", type: event.type, content: event.content });
    }
    if (hasChanged) this.#changed();
  }

  #changed() {
    // What a session before ours has left there comes first.
    this.#wasNamed ||= this.#ownSession() === this.#describe().sessionId;
    this.#expectExpiry();
    this.dispatchEvent(new Event("change"));
  }

  /** Entries end by themselves: that changes the members, too. */
  #expectExpiry() {
    clearTimeout(this.#expiry);
    const ends = this.#liveDevices();
    if (ends.length === 0) return;
    const next = Math.min(...ends.map(({ expiresTs }) => expiresTs)) - Date.now();
    this.#expiry = setTimeout(() => this.#changed(), Math.min(Math.max(next, 0) + 1, RENEW_MS));
  }

  #until(isSo, patienceMs) {
    if (isSo()) return Promise.resolve();
    return new Promise((resolve) => {
      const watch = new AbortController();
      const signal = AbortSignal.any([watch.signal, this.#stop.signal, AbortSignal.timeout(patienceMs)]);
      signal.addEventListener("abort", resolve, { once: true });
      this.addEventListener("change", () => isSo() && watch.abort(), { signal });
    });
  }
}

/**
 * The devices in a call that count (protocol: section 2.2).
 *
 * @param {object[]} events                   member events of calls
 * @param {Map<string, object>} memberships   `m.room.member` events by user; who is not in it is not known to be out
 * @param {string} confId
 * @param {number} now                        ms since the epoch
 */
export function liveDevices(events, memberships, confId, now) {
  const found = new Map();
  for (const { state_key: userId, sender, content } of events) {
    if (sender !== userId || !isJoined(memberships, userId) || !Array.isArray(content["m.calls"])) continue;
    for (const call of content["m.calls"].filter((one) => one?.["m.call_id"] === confId)) {
      for (const device of Array.isArray(call["m.devices"]) ? call["m.devices"] : []) {
        if (!isValid(device) || device.expires_ts <= now) continue;
        const { device_id: deviceId, session_id: sessionId, expires_ts: expiresTs } = device;
        const foci = FOCI_ACTIVE.map((key) => device[key]).find(Array.isArray) ?? [];
        found.set(`${userId} ${deviceId}`, { userId, deviceId, sessionId, foci: foci.filter(isFocus), expiresTs });
      }
    }
  }
  return [...found.values()];
}

/**
 * `m.calls` with one device's entry replaced: entries of other devices and calls stay, expired ones go.
 *
 * @param {object[] | undefined} calls
 * @param {string} confId
 * @param {string} deviceId
 * @param {object | null} entry   null: the device leaves
 * @param {number} now            ms since the epoch
 */
export function withEntry(calls, confId, deviceId, entry, now) {
  const others = (Array.isArray(calls) ? calls : [])
    .map((call) => ({
      ...call,
      "m.devices": (call["m.devices"] ?? []).filter((one) => one.device_id !== deviceId && one.expires_ts > now),
    }))
    .filter((call) => call["m.devices"].length > 0);
  if (entry === null) return others;
  const own = others.find((call) => call["m.call_id"] === confId) ?? { "m.call_id": confId, "m.devices": [] };
  own["m.devices"].push({ ...entry, expires_ts: now + LIFETIME_MS });
  return [...others.filter((call) => call !== own), own];
}

function isLive({ content }) {
  const isOurs = INTENTS.includes(content["m.intent"]) && TYPES.includes(content["m.type"]);
  return isOurs && !content["m.terminated"] && content["io.element.livekit_service_url"] === undefined;
}

function isJoined(memberships, userId) {
  return (memberships.get(userId)?.content.membership ?? "join") === "join";
}

function isValid(device) {
  return (
    typeof device?.device_id === "string" &&
    typeof device.session_id === "string" &&
    typeof device.expires_ts === "number" &&
    Array.isArray(device.feeds)
  );
}

function isFocus(focus) {
  return typeof focus?.user_id === "string" && typeof focus.device_id === "string";
}

/** Whether two name the same focus. */
export function isSameFocus(one, other) {
  return one?.user_id === other?.user_id && one?.device_id === other?.device_id;
}

function reachOf(foci, focus) {
  if (foci.length === 0) return "mesh";
  return foci.some((one) => isSameFocus(one, focus)) ? "here" : "other-focus";
}
