/**
 * End-to-end encryption of media for the page: what it switches on (docs/encryption.md).
 *
 *     const keys = await MediaKeys.open({ matrix, roomId });   // matrix: started Matrix port
 *     const client = new FocusClient(matrix, { roomId });
 *     keys.attach(client);
 *     await client.join({ stream, prepareSender: keys.prepareSender, prepareReceiver: keys.prepareReceiver });
 *     …
 *     await client.leave();
 *     keys.close();
 *
 * FocusClient knows nothing of it: its two hooks hand over senders and receivers as soon as they exist, its events say
 * who is in the call and whose media a receiver carries.
 */

import { KeyExchange } from "./key-exchange.js";
import { OlmDevices, hasLibrary, loadLibrary } from "./olm-devices.js";
import { partyName } from "./rotation.js";

/** The video codec that is sent, with its resends: of others the browser needs to read what would be encrypted. */
const SENT_VIDEO = /^video\/(vp8|rtx)$/i;
const SWITCH_TEXT =
  "Picture and sound are encrypted between the devices in the call; the focus forwards what it cannot read. " +
  "Keys go to every device that is in the call: devices are not verified.";

export class MediaKeys extends EventTarget {
  #matrix;
  #roomId;
  #olm;
  #worker;
  #exchange;
  #client = null;
  /** @type {WeakMap<RTCRtpReceiver, string>} */
  #receivers = new WeakMap();
  #receiverCount = 0;
  /** @type {Map<string, string>} receiver to party, as the worker was told */
  #owners = new Map();
  /** @type {Map<string, string | null>} party to what the worker says of its frames; null: they can be opened */
  #frames = new Map();
  #asked = new Map();
  #askCount = 0;
  #telling = false;

  /**
   * Whether the switch can be offered, and what to say beside it.
   *
   * @param {EventTarget} matrix - Matrix port
   * @returns {Promise<{ok: boolean, text: string}>}
   */
  static async available(matrix) {
    if (!("RTCRtpScriptTransform" in globalThis)) {
      return { ok: false, text: "This browser cannot encrypt media (it has no RTCRtpScriptTransform)." };
    }
    if (encryptsItself(matrix) && !(await hasLibrary())) {
      return {
        ok: false,
        text: "This server of the page has no encryption library. Its operator can add it: scripts/vendor.sh",
      };
    }
    return { ok: true, text: SWITCH_TEXT };
  }

  /** Have ready what `open` takes longest for; as soon as somebody moves the switch. @param {EventTarget} matrix */
  static async preload(matrix) {
    if (encryptsItself(matrix)) {
      await loadLibrary();
    }
  }

  /**
   * Get ready to encrypt: the device's Olm keys are at the homeserver afterwards, and the worker runs.
   *
   * @param {{matrix: EventTarget, roomId: string}} call - matrix: a Matrix port that has started
   * @returns {Promise<MediaKeys>}
   * @throws {Error} with a message for people
   */
  static async open({ matrix, roomId }) {
    const olm = encryptsItself(matrix) ? await OlmDevices.open(matrix) : null;
    if (olm !== null) {
      matrix.crypto = olm;
    }
    const keys = new MediaKeys(matrix, roomId, olm);
    await keys.#isReady;
    return keys;
  }

  /** Use `open`. */
  constructor(matrix, roomId, olm) {
    super();
    this.#matrix = matrix;
    this.#roomId = roomId;
    this.#olm = olm;
    this.#worker = new Worker(new URL("./frame-worker.js", import.meta.url), { type: "module", name: "media-keys" });
    // A transform that is made before the worker listens would pass nothing on, ever.
    this.#isReady = new Promise((resolve, reject) => {
      this.#worker.onerror = (event) => reject(new Error(`The worker for encryption does not run: ${event.message}`));
      this.#worker.onmessage = ({ data }) => (data.type === "ready" ? resolve() : this.#hear(data));
    });
    this.#exchange = new KeyExchange({
      matrix,
      olm,
      changed: () => this.#tellSoon(),
      keys: {
        useOwn: (context, { index, step, material }) =>
          this.#worker.postMessage({ type: "own-key", context, index, step, material }),
        add: (party, context, { index, step, material }) =>
          this.#worker.postMessage({ type: "party-key", party, context, index, step, material }),
        forget: (party) => {
          this.#frames.delete(party);
          this.#worker.postMessage({ type: "party-gone", party });
        },
      },
    });
  }

  #isReady;

  /** Follow a call: before its `join`. @param {EventTarget} client - FocusClient */
  attach(client) {
    this.#client = client;
    client.addEventListener("members", this.#onMembers);
    client.addEventListener("streams", this.#onStreams);
    client.addEventListener("track", this.#onStreams);
    this.#onMembers();
    this.#onStreams();
  }

  /** Hook of `FocusClient.join`: what this sender sends is encrypted, or not sent. */
  prepareSender = (sender, { kind, transceiver = null }) => {
    this.#start();
    if (kind === "video") {
      const of = transceiver ?? this.#client.pc.getTransceivers().find((one) => one.sender === sender);
      of.setCodecPreferences(
        RTCRtpReceiver.getCapabilities("video").codecs.filter((codec) => SENT_VIDEO.test(codec.mimeType)),
      );
    }
    sender.transform = new RTCRtpScriptTransform(this.#worker, { direction: "out", kind });
  };

  /** Hook of `FocusClient.join`: what this receiver receives is decrypted, or dropped. */
  prepareReceiver = (receiver, { kind = receiver.track.kind } = {}) => {
    if (this.#receivers.has(receiver)) {
      return;
    }
    const name = `receiver-${(this.#receiverCount += 1)}`;
    this.#receivers.set(receiver, name);
    receiver.transform = new RTCRtpScriptTransform(this.#worker, { direction: "in", kind, receiver: name });
    this.#onStreams();
  };

  /** What can be said of all: the text, and whether everybody's media can be read and ours by everybody. */
  get state() {
    const parties = [...this.parties.values()];
    const lacking = parties.filter((party) => !party.ok);
    if (parties.length === 0) {
      return { ok: true, text: "Encrypted. Nobody else is here yet." };
    }
    if (lacking.length === 0) {
      return { ok: true, text: `Encrypted. Keys of all ${parties.length} others are here.` };
    }
    const who = lacking.map((party) => `${party.userId}: ${party.text}`).join("; ");
    return { ok: false, text: `Encrypted, but not with everybody. ${who}` };
  }

  /**
   * How it stands with each other party in the call.
   *
   * @returns {Map<string, {userId: string, deviceId: string, sessionId: string, ok: boolean, text: string,
   *   keyIndex: number | null}>} by "user device"
   */
  get parties() {
    const keys = this.#exchange.whoHasKeys;
    const unreachable = this.#exchange.unreachable;
    const described = new Map();
    for (const member of this.#members()) {
      const name = partyName(member);
      const problem = !keys.has(name)
        ? "no key has come yet (is encryption on there?)"
        : unreachable.has(name)
          ? "our key could not be sent: the device has no encryption keys"
          : PROBLEMS[this.#frames.get(name) ?? ""];
      const { userId, deviceId, sessionId } = member;
      const ok = problem === undefined;
      const keyIndex = keys.get(name)?.at(-1) ?? null;
      described.set(name, { userId, deviceId, sessionId, ok, text: problem ?? "encrypted", keyIndex });
    }
    return described;
  }

  /** Which of our own keys is in use: {index, step}; null before the call. */
  get ownKey() {
    return this.#exchange.ownKey;
  }

  /**
   * Frames since the beginning.
   *
   * @returns {Promise<{encrypted: number, decrypted: number, dropped: Record<string, number>}>} dropped: by reason
   */
  counters() {
    return new Promise((resolve) => {
      const ask = (this.#askCount += 1);
      this.#asked.set(ask, resolve);
      this.#worker.postMessage({ type: "ask-counters", ask });
    });
  }

  /** Forget all keys. What was prepared sends and shows nothing any more. */
  close() {
    this.#client?.removeEventListener("members", this.#onMembers);
    this.#client?.removeEventListener("streams", this.#onStreams);
    this.#client?.removeEventListener("track", this.#onStreams);
    this.#exchange.close();
    this.#worker.terminate();
    if (this.#olm !== null) {
      this.#matrix.crypto = null;
      this.#olm.close();
    }
  }

  #start() {
    if (!this.#exchange.hasStarted) {
      const { confId, sessionId } = this.#client;
      this.#exchange.start({ roomId: this.#roomId, confId, sessionId });
    }
  }

  /** Those who can be reached through a focus; others have no use for a key. */
  #members() {
    return (this.#client?.members ?? []).filter((member) => member.reach !== "mesh");
  }

  #onMembers = () => {
    if (this.#client.confId !== null && this.#client.sessionId) {
      this.#start();
      this.#exchange.membersAre(this.#client.confId, this.#members());
    }
  };

  #onStreams = () => {
    const owners = new Map();
    for (const stream of this.#client?.streams.values() ?? []) {
      for (const { receiver } of stream.tracks.values()) {
        const name = receiver ? this.#receivers.get(receiver) : undefined;
        if (name !== undefined) {
          owners.set(name, partyName(stream));
        }
      }
    }
    for (const receiver of new Set([...owners.keys(), ...this.#owners.keys()])) {
      const party = owners.get(receiver) ?? null;
      if (party !== (this.#owners.get(receiver) ?? null)) {
        this.#worker.postMessage({ type: "owner", receiver, party });
      }
    }
    this.#owners = owners;
  };

  #hear(message) {
    switch (message.type) {
      case "opened":
        this.#frames.set(message.party, null);
        this.#tellSoon();
        break;
      case "not-opened":
        this.#frames.set(message.party, message.reason);
        this.#tellSoon();
        break;
      case "counters":
        this.#asked.get(message.ask)(message.counters);
        this.#asked.delete(message.ask);
        break;
      default:
        throw new Error(`unknown message: ${message.type}`);
    }
  }

  /** Say once what several changes of one turn come to. */
  #tellSoon() {
    if (!this.#telling) {
      this.#telling = true;
      queueMicrotask(() => {
        this.#telling = false;
        this.dispatchEvent(new CustomEvent("state", { detail: this.state }));
      });
    }
  }
}

/** What people are told when frames of somebody can't be opened although there is a key. */
const PROBLEMS = {
  noKey: "a newer key has not come yet",
  forged: "what arrives is not what was sent, or not encrypted",
  malformed: "what arrives is not encrypted",
};

/** MatrixHttp has a place for Olm; a widget's host has its own. */
function encryptsItself(matrix) {
  return "crypto" in matrix;
}
