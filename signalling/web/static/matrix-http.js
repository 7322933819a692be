/**
 * A homeserver as the calls of a client need it: the *Matrix port* over the client-server API.
 *
 *     const matrix = await MatrixHttp.login({ homeserver: "example.org", user: "alice", password });
 *     await matrix.start();
 *     const client = new FocusClient(matrix, { roomId });
 *
 * It reads what calls need of chosen rooms (`watchRoom`) and to-device messages, and nothing else. Events:
 *
 * - "state"      detail {roomId, events}: state events that have changed
 * - "to-device"  detail {type, sender, content, encrypted}
 * - "trouble"    detail {text}: the homeserver can't be reached; text null: it can again
 */

/** State that calls depend on; nothing else is asked for. */
const STATE_TYPES = [
  "org.matrix.msc3401.call",
  "m.call",
  "org.matrix.msc3401.call.member",
  "m.call.member",
  "m.room.member",
  "m.room.power_levels",
  "m.room.create",
  "m.room.tombstone",
  "m.room.name",
];
const NOTHING = { types: [], limit: 0 };
const POLL_MS = 30_000;
/** A first sync asks for any patience below this, so that no two are the same. */
const FIRST_POLL_MS = 10_000;
/** Beyond its poll a request may take this long; then the network is given up and tried anew. */
const PATIENCE_MS = 20_000;
const FIRST_PAUSE_MS = 500;
/** Longest pause between tries. Lower: a homeserver that comes back is met by a crowd. Higher: calls come back late. */
const MAX_PAUSE_MS = 10_000;
/** Requests besides to-device messages are tried this often: somebody waits for them. */
const TRIES = 4;
/** Browsers let requests outlive their page only if they are small. */
const MAX_KEEPALIVE_BYTES = 4_096;

/** The homeserver said no. */
export class MatrixRefused extends Error {
  /** @param {{status: number, errcode?: string, message?: string}} refusal */
  constructor({ status, errcode = "M_UNKNOWN", message = "" }) {
    super(message || `${errcode} (${status})`);
    this.name = "MatrixRefused";
    this.status = status;
    this.errcode = errcode;
  }
}

/** See the module. */
export class MatrixHttp extends EventTarget {
  /**
   * Olm, where somebody has set it (`media-keys/`); null: encrypted messages can be neither sent nor read.
   *
   * @type {null | {
   *   encryptToDevice(type: string, messages: object): Promise<object>,
   *   receiveSync(events: object[], deviceLists: object, keyCounts: object, fallbacks: string[]): Promise<object[]>,
   * }}
   */
  crypto = null;

  #baseUrl;
  #accessToken;
  #transactions = `${crypto.randomUUID()}.`;
  #count = 0;
  #rooms = new Map();
  #stop = new AbortController();
  #poll = new AbortController();
  #since = null;
  #isInTrouble = false;

  /** @param {{baseUrl: string, userId: string, deviceId: string, accessToken: string}} session */
  constructor({ baseUrl, userId, deviceId, accessToken }) {
    super();
    this.#baseUrl = baseUrl.replace(/\/+$/, "");
    this.#accessToken = accessToken;
    this.userId = userId;
    this.deviceId = deviceId;
  }

  /**
   * Log in with a password.
   *
   * @param {object} who
   * @param {string} who.homeserver   server name, or base URL
   * @param {string} who.user         user id or its local part
   * @param {string} who.password
   * @param {string} [who.deviceId]   to be the same device again
   */
  static async login({ homeserver, user, password, deviceId }) {
    return MatrixHttp.#enter(await baseUrlOf(homeserver), "login", {
      type: "m.login.password",
      identifier: { type: "m.id.user", user },
      password,
      initial_device_display_name: "matrix-focus",
      ...(deviceId ? { device_id: deviceId } : {}),
    });
  }

  /**
   * Register somebody new at a homeserver with open registration.
   *
   * @param {object} who
   * @param {string} who.homeserver   server name, or base URL
   * @param {string} [who.name]       as shown to others
   */
  static async registerGuest({ homeserver, name }) {
    const random = () => crypto.randomUUID().replaceAll("-", "");
    const matrix = await MatrixHttp.#enter(await baseUrlOf(homeserver), "register", {
      auth: { type: "m.login.dummy" },
      username: `guest-${random().slice(0, 10)}`,
      password: random(),
      initial_device_display_name: "matrix-focus",
    });
    if (name) {
      const path = `/_matrix/client/v3/profile/${encodeURIComponent(matrix.userId)}/displayname`;
      await matrix.request("PUT", path, { displayname: name });
    }
    return matrix;
  }

  static async #enter(baseUrl, how, body) {
    const nobody = new MatrixHttp({ baseUrl, userId: "", deviceId: "", accessToken: "" });
    const told = await nobody.request("POST", `/_matrix/client/v3/${how}`, body);
    return new MatrixHttp({
      baseUrl,
      userId: told.user_id,
      deviceId: told.device_id,
      accessToken: told.access_token,
    });
  }

  /** What to keep in order to construct it again. */
  get session() {
    const { userId, deviceId } = this;
    return { baseUrl: this.#baseUrl, userId, deviceId, accessToken: this.#accessToken };
  }

  /** Begin to listen: what comes from now on is told. */
  async start() {
    await this.#syncOnce(0);
    this.#listen();
  }

  /** Listen no more; what is under way is abandoned. */
  async stop() {
    this.#stop.abort();
    this.#poll.abort();
  }

  /**
   * Tell changes of a room's state from now on.
   *
   * @param {string} roomId
   */
  async watchRoom(roomId) {
    if (this.#rooms.has(roomId)) return;
    this.#rooms.set(roomId, new Map());
    // The poll that is out does not ask for this room.
    this.#poll.abort();
    const events = await this.request("GET", `${roomPath(roomId)}/state`);
    // What a poll has told meanwhile is newer.
    const known = this.#rooms.get(roomId);
    this.#remember(roomId, events.filter((event) => !known.has(keyOf(event))));
  }

  /**
   * All state events of a type in a watched room.
   *
   * @param {string} roomId
   * @param {string} type
   */
  async readState(roomId, type) {
    const events = this.#rooms.get(roomId)?.values() ?? [];
    return [...events].filter((event) => event.type === type);
  }

  /** Write a state event. */
  async sendState(roomId, type, stateKey, content) {
    const path = `${roomPath(roomId)}/state/${encodeURIComponent(type)}/${encodeURIComponent(stateKey)}`;
    await this.request("PUT", path, content);
  }

  /** Invite somebody. */
  async invite(roomId, userId) {
    await this.request("POST", `${roomPath(roomId)}/invite`, { user_id: userId });
  }

  /** Join a room by id or alias; its id. */
  async joinRoom(idOrAlias) {
    return (await this.request("POST", `/_matrix/client/v3/join/${encodeURIComponent(idOrAlias)}`, {})).room_id;
  }

  /** Make a room that anybody may join and hold calls in; its id. */
  async createCallRoom(name) {
    const free = Object.fromEntries(STATE_TYPES.filter((type) => type.includes("call")).map((type) => [type, 0]));
    const room = await this.request("POST", "/_matrix/client/v3/createRoom", {
      name,
      preset: "public_chat",
      // Clients of this dialect's days cannot read version 12 (protocol: section 2.3).
      room_version: "11",
      power_level_content_override: { invite: 0, events: free },
    });
    return room.room_id;
  }

  /**
   * Send to-device messages; resolves when the homeserver has them. Trouble of the network does not end it: it is
   * tried under the same transaction id until `stop`, so that nothing arrives twice and no number is missing.
   *
   * @param {string} type
   * @param {{[userId: string]: {[deviceId: string]: object}}} messages
   * @param {{encrypted?: boolean}} [options]   with Olm
   */
  async sendToDevice(type, messages, { encrypted = false } = {}) {
    if (encrypted && this.crypto === null) throw new Error("no encryption of messages is set up");
    const sentType = encrypted ? "m.room.encrypted" : type;
    const body = encrypted ? await this.crypto.encryptToDevice(type, messages) : messages;
    const transaction = `${this.#transactions}${this.#count++}`;
    const path = `/_matrix/client/v3/sendToDevice/${encodeURIComponent(sentType)}/${transaction}`;
    await this.#insist("PUT", path, { messages: body }, {}, Infinity);
  }

  /** TURN and STUN servers of the homeserver; none where it has none. */
  async iceServers() {
    try {
      const { uris = [], username, password } = await this.request("GET", "/_matrix/client/v3/voip/turnServer");
      return uris.length === 0 ? [] : [{ urls: uris, username, credential: password }];
    } catch (error) {
      if (error instanceof MatrixRefused) return [];
      throw error;
    }
  }

  /** The foci that the homeserver announces, best first (protocol: section 3.3). */
  async foci() {
    return announcedFoci(this.userId, this.#baseUrl);
  }

  /**
   * Any request of the client-server API; network trouble, a homeserver's own faults and its wish for patience are
   * met by trying again a few times.
   *
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   * @param {object} [query]
   * @returns {Promise<any>}
   * @throws {MatrixRefused}
   */
  request(method, path, body, query = {}) {
    return this.#insist(method, path, body, query, TRIES);
  }

  async #insist(method, path, body, query, tries) {
    for (let failures = 1; ; failures++) {
      try {
        return await this.#attempt(method, path, body, query, AbortSignal.timeout(PATIENCE_MS));
      } catch (error) {
        const mayHelp = !(error instanceof MatrixRefused) || error.status >= 500 || error.status === 429;
        if (this.#stop.signal.aborted || !mayHelp || failures >= tries) throw error;
        await this.#pause(error.retryAfterMs ?? backOffMs(failures));
      }
    }
  }

  async #attempt(method, path, body, query, signal) {
    const url = new URL(this.#baseUrl + path);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    const text = body === undefined ? undefined : JSON.stringify(body);
    const answer = await fetch(url, {
      method,
      headers: {
        ...(this.#accessToken ? { Authorization: `Bearer ${this.#accessToken}` } : {}),
        ...(text === undefined ? {} : { "Content-Type": "application/json" }),
      },
      body: text,
      // A farewell survives the page that says it.
      keepalive: text !== undefined && text.length <= MAX_KEEPALIVE_BYTES,
      signal: AbortSignal.any([signal, this.#stop.signal]),
    });
    // A body that breaks off is no answer: a sync would go on from nowhere.
    if (answer.ok) return answer.json();
    const content = await answer.json().catch(() => ({}));
    const refusal = new MatrixRefused({ status: answer.status, errcode: content.errcode, message: content.error });
    refusal.retryAfterMs = answer.status === 429 ? (content.retry_after_ms ?? null) : null;
    throw refusal;
  }

  async #listen() {
    for (let failures = 0; !this.#stop.signal.aborted; ) {
      try {
        await this.#syncOnce(POLL_MS);
        failures = 0;
        this.#trouble(null);
      } catch (error) {
        if (error.name === "AbortError") continue;
        failures += 1;
        this.#trouble(error.message);
        await this.#pause(error.retryAfterMs ?? backOffMs(failures));
      }
    }
  }

  async #syncOnce(pollMs) {
    this.#poll = new AbortController();
    const signal = AbortSignal.any([this.#poll.signal, AbortSignal.timeout(pollMs + PATIENCE_MS)]);
    const query = { timeout: pollMs, filter: this.#filter(), set_presence: "offline" };
    if (this.#since !== null) query.since = this.#since;
    // Synapse answers the same first question out of its memory for two minutes: a page that is loaded anew would be told
    // all that has happened since the time before. It never waits with a first answer, whatever the patience asked for.
    else query.timeout = 1 + Math.floor(Math.random() * FIRST_POLL_MS);
    const answer = await this.#attempt("GET", "/_matrix/client/v3/sync", undefined, query, signal);
    for (const [roomId, room] of Object.entries(answer.rooms?.join ?? {})) {
      this.#remember(roomId, [...(room.state?.events ?? []), ...(room.timeline?.events ?? [])]);
    }
    await this.#receive(answer);
    // Only now: what comes before an error is asked for again.
    this.#since = answer.next_batch;
  }

  #filter() {
    const state = { types: STATE_TYPES, lazy_load_members: false };
    const room = {
      rooms: [...this.#rooms.keys()],
      state,
      timeline: { types: STATE_TYPES, limit: 100 },
      ephemeral: NOTHING,
      account_data: NOTHING,
    };
    return JSON.stringify({ room, presence: NOTHING, account_data: NOTHING });
  }

  #remember(roomId, events) {
    const known = this.#rooms.get(roomId);
    if (known === undefined) return;
    const ours = events.filter((event) => event.state_key !== undefined && STATE_TYPES.includes(event.type));
    // A timeline may begin before what is known: of several events under one key the last counts.
    const newest = new Map(ours.map((event) => [keyOf(event), event]));
    const fresh = [...newest.values()].filter((event) => known.get(keyOf(event))?.event_id !== event.event_id);
    for (const event of fresh) known.set(keyOf(event), event);
    if (fresh.length > 0) this.dispatchEvent(new CustomEvent("state", { detail: { roomId, events: fresh } }));
  }

  async #receive(answer) {
    let events = answer.to_device?.events ?? [];
    if (this.crypto !== null) {
      const { device_lists: lists = {}, device_one_time_keys_count: counts = {} } = answer;
      events = await this.crypto.receiveSync(events, lists, counts, answer.device_unused_fallback_key_types);
    }
    for (const { type, sender, content, encrypted = type === "m.room.encrypted", senderDevice = null } of events) {
      this.dispatchEvent(new CustomEvent("to-device", { detail: { type, sender, content, encrypted, senderDevice } }));
    }
  }

  #trouble(text) {
    if (text === null && !this.#isInTrouble) return;
    this.#isInTrouble = text !== null;
    this.dispatchEvent(new CustomEvent("trouble", { detail: { text } }));
  }

  #pause(ms) {
    return new Promise((resolve) => {
      const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(ms)]);
      if (signal.aborted) resolve();
      signal.addEventListener("abort", resolve, { once: true });
      globalThis.addEventListener("online", resolve, { once: true, signal });
    });
  }
}

function keyOf(event) {
  return `${event.type} ${event.state_key}`;
}

function backOffMs(failures) {
  return Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), MAX_PAUSE_MS);
}

function roomPath(roomId) {
  return `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}`;
}

async function baseUrlOf(homeserver) {
  if (/^https?:\/\//.test(homeserver)) return homeserver;
  const found = await wellKnown(`https://${homeserver}`);
  return found?.["m.homeserver"]?.base_url ?? `https://${homeserver}`;
}

/**
 * The foci that somebody's homeserver announces, best first (protocol: section 3.3).
 *
 * @param {string} userId
 * @param {string | null} baseUrl   of the homeserver, where it is known
 * @returns {Promise<object[]>} none where none are announced
 */
export async function announcedFoci(userId, baseUrl) {
  const serverName = userId.slice(userId.indexOf(":") + 1);
  for (const base of [baseUrl, `https://${serverName}`].filter(Boolean)) {
    const foci = (await wellKnown(base))?.["org.matrix_focus.foci"];
    if (Array.isArray(foci)) return foci.filter((focus) => focus?.user_id && focus.device_id);
  }
  return [];
}

async function wellKnown(base) {
  try {
    const answer = await fetch(`${base}/.well-known/matrix/client`, { signal: AbortSignal.timeout(5_000) });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null; // No such server, no such file, no permission to read it: nothing is announced.
  }
}
