/**
 * Who gets our key when, and whose keys we take: the orders of `Rotation` carried out over the Matrix port, and key
 * messages of others checked against the members of the call.
 */

import { KEY_INDEXES, keyContext, newMaterial, nextStep } from "./frame-cipher.js";
import { MEDIA_KEYS, readKeyMessage, writeKeyMessage } from "./key-message.js";
import { Rotation, partyName } from "./rotation.js";

/** @typedef {import("./rotation.js").Member} Member */
/** @typedef {import("./key-message.js").SentKey} SentKey */

/**
 * Waits before a device that could not be sent to is tried again. Devices without keys of their own (a client that
 * does not encrypt) are given up after the last.
 */
const RETRIES_MS = [1_000, 2_000, 4_000, 8_000, 16_000, 30_000];
/** Keys that came before their sender's member event, per party and of how many parties: the newest are kept. */
const MAX_EARLY_KEYS = 3;
const MAX_EARLY_PARTIES = 256;

export class KeyExchange {
  #matrix;
  #olm;
  #keys;
  #changed;
  #rotation = new Rotation();
  /** @type {{roomId: string, confId: string, userId: string, deviceId: string, sessionId: string} | null} */
  #self = null;
  /** @type {{index: number, step: number, material: Uint8Array} | null} */
  #own = null;
  #fresh = null;
  /** @type {Map<string, Member>} */
  #members = new Map();
  /** @type {Map<string, {sessionId: string, sentAt: Map<number, number>}>} whose keys we have */
  #parties = new Map();
  /** @type {Map<string, SentKey[]>} */
  #early = new Map();
  #orders = Promise.resolve();
  #timer = null;
  #closed = false;
  /** Key messages that were not taken: not encrypted, in somebody else's name, unreadable. */
  refused = 0;

  /**
   * @param {object} parts
   * @param {EventTarget} parts.matrix - Matrix port
   * @param {import("./olm-devices.js").OlmDevices | null} parts.olm - null: a widget's host encrypts
   * @param {{useOwn(context, key), add(party, context, key), forget(party)}} parts.keys - where keys are used
   * @param {() => void} parts.changed - called when `whoHasKeys` has changed
   */
  constructor({ matrix, olm, keys, changed }) {
    this.#matrix = matrix;
    this.#olm = olm;
    this.#keys = keys;
    this.#changed = changed;
    this.#matrix.addEventListener("to-device", this.#onToDevice);
  }

  /** Make the own key. @param {{roomId: string, confId: string | null, sessionId: string}} call */
  start({ roomId, confId, sessionId }) {
    const { userId, deviceId } = this.#matrix;
    this.#self = { roomId, confId, userId, deviceId, sessionId };
    this.#use({ index: 0, step: 0, material: newMaterial() });
  }

  /** Whether `start` was called. */
  get hasStarted() {
    return this.#self !== null;
  }

  /**
   * The others in the call, whenever they change.
   *
   * @param {string} confId
   * @param {Member[]} members
   */
  membersAre(confId, members) {
    this.#self.confId = confId;
    this.#members = new Map(members.map((member) => [partyName(member), member]));
    for (const [name, party] of this.#parties) {
      if (this.#members.get(name)?.sessionId !== party.sessionId) {
        this.#parties.delete(name);
        this.#keys.forget(name);
      }
    }
    // Their devices should be known when their keys come.
    this.#olm?.track([...new Set(members.map((member) => member.userId))]).catch(() => {});
    this.#carryOut(this.#rotation.membersAre(performance.now(), members));
    for (const name of this.#members.keys()) {
      for (const key of this.#early.get(name) ?? []) {
        this.#take(key);
      }
    }
    this.#changed();
  }

  /** @returns {Map<string, number[]>} Party to the indexes of its keys that we have. */
  get whoHasKeys() {
    return new Map([...this.#parties].map(([name, party]) => [name, [...party.sentAt.keys()]]));
  }

  /** Devices that our key could not be sent to so far. */
  get unreachable() {
    return new Set([...(this.#olm?.unreachable ?? [])].filter((name) => this.#members.has(name)));
  }

  /** Which of our keys is in use. */
  get ownKey() {
    return this.#own === null ? null : { index: this.#own.index, step: this.#own.step };
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#matrix.removeEventListener("to-device", this.#onToDevice);
  }

  #carryOut(orders) {
    for (const order of orders) {
      // An order that fails leaves the others be.
      this.#orders = this.#orders.then(() => this.#perform(order)).catch(console.error);
    }
    this.#orders.then(() => this.#arm());
  }

  async #perform(order) {
    if (this.#closed) {
      return;
    }
    switch (order.do) {
      case "step": {
        const { index, step, material } = this.#own;
        const next = await nextStep(material, keyContext(this.#self));
        this.#use({ index, step: step + 1, material: next });
        this.#tell(this.#own, order.tell);
        break;
      }
      case "fresh": {
        const fresh = { index: (this.#own.index + 1) % KEY_INDEXES, step: 0, material: newMaterial() };
        this.#fresh = fresh;
        this.#tell(fresh, order.tell).then(() => {
          if (this.#fresh === fresh) {
            this.#rotation.delivered(performance.now());
            this.#arm();
          }
        });
        break;
      }
      case "tell-fresh":
        this.#tell(this.#fresh, order.tell);
        break;
      case "use-fresh":
        this.#use(this.#fresh);
        this.#fresh = null;
        break;
      default:
        throw new Error(`unknown order: ${order.do}`);
    }
  }

  #arm() {
    clearTimeout(this.#timer);
    const { nextAt } = this.#rotation;
    if (!this.#closed && nextAt !== Infinity) {
      const tick = () => this.#carryOut(this.#rotation.tick(performance.now()));
      this.#timer = setTimeout(tick, Math.max(0, nextAt - performance.now()));
    }
  }

  #use(key) {
    this.#own = key;
    this.#keys.useOwn(keyContext(this.#self), key);
    this.#changed();
  }

  /** Send a key to members; resolves when the homeserver has it, or will not take it. */
  async #tell(key, members, tries = 0) {
    const present = members.filter((one) => this.#members.get(partyName(one))?.sessionId === one.sessionId);
    if (present.length === 0 || this.#closed) {
      return;
    }
    const content = writeKeyMessage({ ...this.#self, ...key, sentAt: Date.now() });
    const messages = {};
    for (const { userId, deviceId } of present) {
      (messages[userId] ??= {})[deviceId] = content;
    }
    let missed = present;
    try {
      await this.#matrix.sendToDevice(MEDIA_KEYS, messages, { encrypted: true });
      missed = present.filter((one) => this.#olm?.unreachable.has(partyName(one)));
    } catch (error) {
      console.warn("a media key could not be sent:", error);
    }
    this.#changed();
    if (missed.length > 0 && tries < RETRIES_MS.length) {
      setTimeout(() => this.#tellAgain(key, missed, tries + 1), RETRIES_MS[tries]);
    }
  }

  /** Also when the key has been stepped forward meanwhile; one that is out of use is not told any more. */
  #tellAgain(key, members, tries) {
    const current = [this.#own, this.#fresh].find((one) => one?.index === key.index);
    if (current !== undefined) {
      this.#tell(current, members, tries);
    }
  }

  #onToDevice = ({ detail: { type, sender, content, encrypted, senderDevice } }) => {
    if (type !== MEDIA_KEYS) {
      return;
    }
    const key = encrypted ? readKeyMessage(sender, content) : null;
    // A host of widgets proves the user only; it does not say which device a message is from.
    const isProven = this.#olm === null || senderDevice === key?.deviceId;
    if (key === null || !isProven) {
      this.refused += 1;
      return;
    }
    this.#take(key);
  };

  #take(key) {
    const name = partyName(key);
    if (this.#members.get(name)?.sessionId !== key.sessionId || this.#self === null) {
      this.#keepEarly(name, key);
      return;
    }
    if (key.roomId !== this.#self.roomId || key.confId !== this.#self.confId) {
      this.refused += 1;
      return;
    }
    const party = this.#parties.get(name) ?? { sessionId: key.sessionId, sentAt: new Map() };
    if ((party.sentAt.get(key.index) ?? -1) >= key.sentAt) {
      return;
    }
    party.sentAt.set(key.index, key.sentAt);
    this.#parties.set(name, party);
    this.#keys.add(name, keyContext(key), key);
    this.#changed();
  }

  #keepEarly(name, key) {
    const kept = this.#early.get(name) ?? [];
    this.#early.delete(name);
    this.#early.set(name, [...kept, key].slice(-MAX_EARLY_KEYS));
    if (this.#early.size > MAX_EARLY_PARTIES) {
      this.#early.delete(this.#early.keys().next().value);
    }
  }
}
