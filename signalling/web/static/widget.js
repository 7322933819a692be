/**
 * The Matrix port of `FocusClient` (see focus-client.js) over the widget API: the page is a widget, opened by a Matrix
 * client (the host) in a room, and whoever is logged in there is in the call, without a second login. The host sends,
 * receives and encrypts; it holds the access token, the page never sees it. docs/widget.md says how to add the page to
 * a room, and what a host must support.
 *
 * MSC1236 (base), MSC2762 (events, state pushed or read by MSC2876), MSC2871 and MSC2974 (capabilities),
 * MSC2873 (theme, language), MSC3819 (to-device), MSC3846 (TURN), MSC4039 (URL of the homeserver).
 */

import { MatrixRefused, announcedFoci } from "./matrix-http.js";
import { filled, readAddress } from "./widget-address.js";
import {
  ALWAYS_ON_SCREEN,
  TURN_SERVERS,
  capabilitiesFor,
  readState,
  sendState,
  sendToDevice,
  stateTypes,
} from "./widget-capabilities.js";
import { WidgetChannel, WidgetError, isObject } from "./widget-channel.js";
import { WidgetPermissions } from "./widget-permissions.js";
import { HostedState } from "./widget-state.js";
import { comes, pause, promiseWithResolvers } from "./widget-waiting.js";

export { WidgetError };

const API_VERSIONS = [
  "0.0.1",
  "0.0.2",
  "org.matrix.msc2762",
  "org.matrix.msc2762_update_state",
  "org.matrix.msc2871",
  "org.matrix.msc2873",
  "org.matrix.msc2876",
  "org.matrix.msc2974",
  "org.matrix.msc3819",
  "town.robin.msc3846",
];
const UPDATE_STATE = "org.matrix.msc2762_update_state";
const READ_EVENTS = "org.matrix.msc2876.read_events";

/** How long to wait for TURN servers. Longer: the first picture of a call waits for a host that has none. */
const TURN_PATIENCE_MS = 3_000;
const STATE_PATIENCE_MS = 10_000;
/** Pauses before a request is repeated. Shorter: a homeserver in trouble gets more of it. */
const RETRY_PAUSES_MS = [500, 1_000, 2_000, 4_000, 8_000];

/** The Matrix port as a widget. Events: "state", "to-device", "trouble", and "theme" ({theme}). */
export class WidgetMatrix extends EventTarget {
  #channel;
  #permissions;
  #state;
  #baseUrl;
  #began = null;
  #isHeard = false;
  #isPushed = true;
  #firstPush = promiseWithResolvers();
  #newest = new Map();
  #turn = null;
  #troubles = 0;

  /**
   * The widget that a page was opened as.
   *
   * Listens at once: call it while the page's first module is evaluated, since hosts ask when the frame has loaded.
   *
   * @param {Location|URL} location of the page
   * @param {Window} [own] the page's window
   * @returns {WidgetMatrix|null} null: the page was not opened as a widget
   * @throws {WidgetError} it was, but the host did not say in which room, or as whom
   */
  static fromLocation(location, own = window) {
    const address = own.parent === own ? null : readAddress(location);
    return address && new WidgetMatrix(address, own);
  }

  /**
   * @param {WidgetAddress} address
   * @param {Window} [own] the page's window; its parent is the host's
   */
  constructor({ widgetId, hostOrigin, roomId, userId, deviceId, baseUrl, theme, language }, own = window) {
    super();
    this.roomId = roomId;
    this.userId = userId;
    this.deviceId = deviceId;
    /** The host's name for its colours, often "light" or "dark"; null: not said. */
    this.theme = theme;
    /** BCP 47; null: not said. */
    this.language = language;
    /** What the host did not allow, in words; the call goes on without. */
    this.refused = [];
    this.#baseUrl = baseUrl;
    this.#channel = new WidgetChannel({ widgetId, hostOrigin, own });
    this.#permissions = new WidgetPermissions(this.#channel, capabilitiesFor(roomId, userId));
    this.#state = new HostedState(roomId);
    this.#handle();
  }

  /**
   * Agree with the host on what this page may do, and read the room. Takes as long as the host's person takes. After a
   * refusal it can be tried again.
   *
   * @throws {WidgetError} no host answers, or it refuses something that a call can't do without; says what
   */
  async start() {
    this.#isHeard = true;
    this.#began ??= this.#begin().catch((error) => {
      this.#began = null;
      throw error;
    });
    await this.#began;
  }

  /** Tell nothing any more. The host is still answered, and `start` goes on where it was. */
  async stop() {
    this.#isHeard = false;
    if (!this.#turn) return;
    this.#turn = null;
    await this.#channel.request("unwatch_turn_servers", {}).catch(() => {});
  }

  /**
   * @param {string} roomId a widget sees the room that it was opened in
   * @throws {WidgetError} it is another one
   */
  async watchRoom(roomId) {
    this.#requireOwn(roomId);
    await this.start();
  }

  /**
   * @param {string} roomId
   * @param {string} type
   * @returns {Promise<object[]>} the current event of each state key
   */
  async readState(roomId, type) {
    this.#requireOwn(roomId);
    await this.start();
    return this.#state.read(type);
  }

  /**
   * @param {string} roomId
   * @param {string} type
   * @param {string} stateKey
   * @param {object} content
   * @throws {MatrixRefused} host or homeserver does not let us
   */
  async sendState(roomId, type, stateKey, content) {
    this.#requireOwn(roomId);
    this.#require(sendState(type), sendState(type, stateKey));
    const key = JSON.stringify([type, stateKey]);
    const turn = Symbol(key);
    this.#newest.set(key, turn);
    const data = { type, state_key: stateKey, content, room_id: roomId };
    await this.#deliver("send_event", data, () => this.#newest.get(key) === turn);
  }

  /**
   * Invite somebody; the host's person is asked for the permission first.
   *
   * @param {string} roomId
   * @param {string} userId
   * @throws {MatrixRefused} host, homeserver or person do not let us
   */
  async invite(roomId, userId) {
    this.#requireOwn(roomId);
    const capability = sendState("m.room.member", userId);
    if (!this.#permissions.has(capability) && !(await this.#permissions.askFor(capability))) {
      throw refused(`invite ${userId}`);
    }
    await this.sendState(roomId, "m.room.member", userId, { membership: "invite" });
  }

  /**
   * @param {string} type
   * @param {{[userId: string]: {[deviceId: string]: object}}} messages
   * @param {{encrypted?: boolean}} [options] whether the host shall encrypt them
   * @throws {MatrixRefused} host or homeserver does not let us
   */
  async sendToDevice(type, messages, { encrypted = false } = {}) {
    this.#require(sendToDevice(type));
    await this.#deliver("send_to_device", { type, encrypted, messages });
  }

  /** @returns {Promise<RTCIceServer[]>} the TURN servers of the homeserver, with credentials that hold now */
  async iceServers() {
    if (!this.#permissions.has(TURN_SERVERS)) return [];
    const isFirst = !this.#turn;
    this.#turn ??= { isTold: promiseWithResolvers(), servers: [] };
    const turn = this.#turn;
    if (isFirst) {
      this.#channel.request("watch_turn_servers", {}).catch(() => {
        // It has none, now; it is asked again the next time.
        if (this.#turn === turn) this.#turn = null;
        turn.isTold.resolve();
      });
    }
    await Promise.race([turn.isTold.promise, pause(TURN_PATIENCE_MS)]);
    return turn.servers;
  }

  /** @returns {Promise<Focus[]>} those that the homeserver announces, best first */
  async foci() {
    return announcedFoci(this.userId, this.#baseUrl);
  }

  /**
   * Ask the host to keep the page alive while its person looks at something else.
   *
   * @param {boolean} value
   * @returns {Promise<boolean>} whether it does as it was asked
   */
  async stayOnScreen(value) {
    if (!this.#permissions.has(ALWAYS_ON_SCREEN)) return false;
    const told = await this.#channel.request("set_always_on_screen", { value }).catch(() => ({ success: false }));
    return told.success !== false;
  }

  /* --- the host asks --- */

  #handle() {
    const channel = this.#channel;
    channel.handle("supported_api_versions", () => ({ supported_versions: API_VERSIONS }));
    channel.handle("update_state", ({ state }) => {
      this.#changed(this.#state.apply(state));
      this.#firstPush.resolve();
    });
    channel.handle("send_event", (event) => this.#seen(event));
    channel.handle("send_to_device", ({ type, sender, content, encrypted }) => {
      if (typeof type !== "string" || typeof sender !== "string" || !isObject(content)) {
        throw new WidgetError("no to-device message");
      }
      // Which device encrypted it is not told (MSC3819); that it was somebody of the sender's is the host's word.
      this.#emit("to-device", { type, sender, content, encrypted: encrypted === true, senderDevice: null });
    });
    channel.handle("update_turn_servers", ({ uris, username, password }) => {
      if (!this.#turn || !Array.isArray(uris)) return;
      this.#turn.servers = [{ urls: uris, username, credential: password }];
      this.#turn.isTold.resolve();
    });
    channel.handle("theme_change", ({ name }) => {
      this.theme = filled(name);
      this.#emit("theme", { theme: this.theme });
    });
    channel.handle("language_change", ({ lang }) => {
      this.language = filled(lang);
    });
    channel.handle("visibility", () => {});
  }

  /* An event of the timeline. A host that pushes state pushes this one too where it counts (it may have lost against
     another); the others are asked what counts now. */
  #seen({ type }) {
    if (!this.#isPushed && stateTypes().includes(type)) this.#read(type).catch(() => {});
  }

  #changed(events) {
    if (events.length > 0) this.#emit("state", { roomId: this.roomId, events });
  }

  #emit(name, detail) {
    if (this.#isHeard) this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /* --- the handshake --- */

  async #begin() {
    await this.#permissions.agree();
    const missing = this.#permissions.missing();
    this.refused = missing.filter(({ required }) => !required).map(({ words }) => words);
    const vital = missing.filter(({ required }) => required).map(({ words, id }) => `${words} (${id})`);
    if (vital.length > 0) {
      throw new WidgetError(`Your Matrix client does not allow what a call needs: ${vital.join("; ")}.`);
    }
    const { supported_versions: versions } = await this.#channel.request("supported_api_versions", {});
    this.#isPushed = Array.isArray(versions) && versions.includes(UPDATE_STATE);
    if (this.#isPushed && !(await comes(this.#firstPush.promise, STATE_PATIENCE_MS))) {
      throw new WidgetError("Your Matrix client does not tell the state of the room.");
    }
    const types = stateTypes().filter((type) => this.#permissions.has(readState(type)));
    await Promise.all(types.map((type) => this.#read(type)));
  }

  /* Who pushes state has the timeline read: to a page that was loaded anew the push tells what was long ago. */
  async #read(type) {
    const query = { type, state_key: true, room_ids: [this.roomId] };
    const { events } = await this.#channel.request(READ_EVENTS, query);
    this.#changed(this.#isPushed ? this.#state.applyNewer(events) : this.#state.apply(events));
  }

  /* --- asking the host --- */

  #require(...capabilities) {
    if (capabilities.some((one) => this.#permissions.has(one))) return;
    const known = this.#permissions.missing().find(({ id }) => capabilities.includes(id));
    throw refused(known?.words ?? `do this: ${capabilities.at(-1)}`);
  }

  #requireOwn(roomId) {
    if (roomId !== this.roomId) throw new WidgetError(`a widget of ${this.roomId} can't see ${roomId}`);
  }

  /* What failed at a busy homeserver is repeated until `stop`, since a message that is missing ends a leg; what failed
     without a reason given (no network, or the host's own fault), a few times. A message that went out twice is
     harmless, since call messages are numbered; state that has been written anew meanwhile is not written again. */
  async #deliver(action, data, isWanted = () => true) {
    let failures = 0;
    try {
      do {
        const error = await this.#channel.request(action, data).then(
          () => null,
          (refusal) => refusal,
        );
        if (error === null) return;
        const { status = 0, errcode = "M_UNKNOWN", retryAfterMs = 0 } = error.homeserver ?? {};
        const isBusy = status === 429 || status >= 500;
        const mayHelp = isBusy || (status === 0 && failures < RETRY_PAUSES_MS.length);
        if (!mayHelp || !this.#isHeard) throw new MatrixRefused({ status, errcode, message: error.message });
        if (failures === 0) this.#trouble(1, error.message);
        await pause(Math.max(RETRY_PAUSES_MS[failures] ?? RETRY_PAUSES_MS.at(-1), retryAfterMs));
        failures += 1;
      } while (isWanted());
    } finally {
      if (failures > 0) this.#trouble(-1);
    }
  }

  /* Any number of requests may be in trouble at once; it is over when the last one is. */
  #trouble(change, text) {
    this.#troubles += change;
    if (change > 0) this.#emit("trouble", { text });
    else if (this.#troubles === 0) this.#emit("trouble", { text: null });
  }
}

function refused(words) {
  const message = `Your Matrix client does not let this page ${words}.`;
  return new MatrixRefused({ status: 403, errcode: "M_FORBIDDEN", message });
}
