/**
 * The worker between codecs and the network: seals what this page sends and opens what others send
 * (RTCRtpScriptTransform). It alone uses keys; the page hands them in and is told how frames fare.
 *
 * From the page:
 *     {type: "own-key", context, index, step, material}     from now on seal with it
 *     {type: "party-key", party, context, index, step, material}
 *     {type: "party-gone", party}                           forget its keys
 *     {type: "owner", receiver, party: string | null}       whose media a receiver carries now
 *     {type: "ask-counters", ask}
 * To the page:
 *     {type: "ready"}                                       transforms may be made from now on
 *     {type: "opened", party, index}                        frames of this key can be opened: told once
 *     {type: "not-opened", party, reason}                   for a while they couldn't
 *     {type: "counters", ask, counters}
 */

import { FrameRefused, FrameSealer, frameKey, readTrailer } from "./frame-cipher.js";
import { KeyRing } from "./key-ring.js";

/**
 * Shortest time between two requests for a key frame of one track.
 * Shorter: a sender is made to send nothing but key frames. Longer: a picture waits.
 */
const KEY_FRAME_INTERVAL_MS = 1_000;
/** For so long no frame of a party can be opened before the page is told. Shorter: it hears of each change of keys. */
const COMPLAIN_AFTER_MS = 2_000;
/** After these drops the decoder misses a frame. */
const GAPS = new Set(["noKey", "forged", "malformed"]);

const counters = { encrypted: 0, decrypted: 0, dropped: {} };
const sealer = new FrameSealer();
/** @type {Map<string, {ring: KeyRing, context: string, opened: Set<number>, fineAt: number}>} by party */
const parties = new Map();
/** @type {Map<string, Opener>} by receiver */
const openers = new Map();
/** @type {Map<string, string | null>} receiver to party: also told before the receiver has its transform. */
const owners = new Map();
/** Keys are taken into use in the order in which they were handed in. */
let using = Promise.resolve();

self.onmessage = ({ data }) => {
  switch (data.type) {
    case "own-key":
      using = using.then(() => useOwnKey(data));
      break;
    case "party-key":
      takeKey(data);
      break;
    case "party-gone":
      parties.delete(data.party);
      break;
    case "owner":
      owners.set(data.receiver, data.party);
      break;
    case "ask-counters":
      self.postMessage({ type: "counters", ask: data.ask, counters });
      break;
    default:
      throw new Error(`unknown message: ${data.type}`);
  }
};

self.onrtctransform = ({ transformer }) => {
  const { direction, kind, receiver } = transformer.options;
  const transform = direction === "out" ? new Sealer(kind) : new Opener(kind, receiver, transformer);
  transformer.readable
    .pipeThrough(new TransformStream({ transform: (frame, controller) => transform.take(frame, controller) }))
    .pipeTo(transformer.writable)
    // The track has ended.
    .catch(() => {})
    .finally(() => transform.end());
};

async function useOwnKey({ context, index, step, material }) {
  sealer.use(await frameKey(material, context), index, step);
}

function takeKey({ party, context, index, step, material }) {
  let known = parties.get(party);
  if (known === undefined || known.context !== context) {
    known = { ring: new KeyRing(context), context, opened: new Set(), fineAt: performance.now() };
    parties.set(party, known);
  }
  known.ring.add(index, step, material);
  known.opened.delete(index);
  for (const opener of openers.values()) {
    opener.keyCame(party);
  }
}

function drop(reason) {
  counters.dropped[reason] = (counters.dropped[reason] ?? 0) + 1;
}

/** What this page sends of one track, in all its encodings. */
class Sealer {
  #kind;

  constructor(kind) {
    this.#kind = kind;
  }

  async take(frame, controller) {
    if (frame.data.byteLength === 0) {
      return;
    }
    const mimeType = frame.getMetadata().mimeType ?? (this.#kind === "video" ? "video/VP8" : "audio/opus");
    try {
      // A frame that could not be sealed is not sent.
      frame.data = (await sealer.seal(new Uint8Array(frame.data), this.#kind, mimeType)).buffer;
    } catch (error) {
      drop(reasonOf(error));
      return;
    }
    counters.encrypted += 1;
    controller.enqueue(frame);
  }

  end() {}
}

/** What one receiver receives; whose media that is changes when its section is used anew. */
class Opener {
  #kind;
  #receiver;
  #transformer;
  #askedAt = -Infinity;
  /** Whether the decoder has missed something. */
  #hasGap = false;

  constructor(kind, receiver, transformer) {
    this.#kind = kind;
    this.#receiver = receiver;
    this.#transformer = transformer;
    openers.set(receiver, this);
  }

  async take(frame, controller) {
    const party = owners.get(this.#receiver) ?? null;
    const data = new Uint8Array(frame.data);
    try {
      frame.data = (await this.#open(party, data)).buffer;
    } catch (error) {
      const reason = reasonOf(error);
      drop(reason);
      if (GAPS.has(reason)) {
        this.#hasGap = true;
        complain(party, reason);
      }
      return;
    }
    counters.decrypted += 1;
    if (this.#hasGap) {
      this.#askForKeyFrame();
      this.#hasGap = false;
    }
    controller.enqueue(frame);
  }

  end() {
    openers.delete(this.#receiver);
    owners.delete(this.#receiver);
  }

  /** A party's key has come: what is on its way need not wait for the decoder to miss a picture. */
  keyCame(party) {
    if (this.#hasGap && owners.get(this.#receiver) === party) {
      this.#askForKeyFrame();
    }
  }

  async #open(party, data) {
    const known = parties.get(party);
    if (known === undefined) {
      throw new FrameRefused("noKey");
    }
    const plain = await known.ring.open(data, this.#kind, performance.now());
    known.fineAt = performance.now();
    const { index } = readTrailer(data);
    if (!known.opened.has(index)) {
      known.opened.add(index);
      self.postMessage({ type: "opened", party, index });
    }
    return plain;
  }

  #askForKeyFrame() {
    const now = performance.now();
    if (this.#kind !== "video" || now - this.#askedAt < KEY_FRAME_INTERVAL_MS) {
      return;
    }
    this.#askedAt = now;
    // The receiver may have been stopped meanwhile.
    this.#transformer.sendKeyFrameRequest().catch(() => {});
  }
}

function complain(party, reason) {
  const known = parties.get(party);
  const now = performance.now();
  if (known !== undefined && now - known.fineAt >= COMPLAIN_AFTER_MS) {
    known.fineAt = now;
    known.opened.clear();
    self.postMessage({ type: "not-opened", party, reason });
  }
}

function reasonOf(error) {
  if (error instanceof FrameRefused) {
    return error.reason;
  }
  // A mistake of ours costs this frame, and is seen in the console; nothing unsealed or unopened passes.
  console.error(error);
  return "failed";
}

self.postMessage({ type: "ready" });
