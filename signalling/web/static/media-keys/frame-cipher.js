/**
 * The frame cipher: one encoded media frame to ciphertext and back. Pure: no worker, no page, no clock.
 *
 * A frame on the wire (docs/encryption.md, section 2):
 *
 *     | head (n bytes) | AES-256-GCM of the whole frame + 16-byte tag | counter (4) | step (1) | n << 4 | key index |
 *
 * The head is what others than the receiver's codec may read of a frame. It says no more than that needs, decoders
 * refuse it, and the receiver throws it away. Head and trailer are authenticated, and so is the kind of media.
 *
 * Why no (key, IV) pair can occur twice: a key encrypts in one place only, the `FrameSealer` of one page's worker,
 * whose counter begins at 0, rises by one for each frame of each of the sender's tracks and encodings, and is never
 * set back, not even when the key changes. Key material is random or derived one-way from random material, lives in
 * memory only, and is bound to the session id, so a reloaded page has other keys. Hence neither the SSRC nor the
 * direction need be part of the IV: simulcast encodings share the counter as they share the key. When the counter
 * is used up, nothing is encrypted any more.
 */

/** @typedef {{key: CryptoKey, salt: Uint8Array}} FrameKey  What encrypts frames: an AES-GCM key and the salt of IVs. */
/** @typedef {"audio" | "video"} Kind */

export const MATERIAL_BYTES = 32;
export const TAG_BYTES = 16;
export const TRAILER_BYTES = 6;
/** Key indexes are 0 to 15: the trailer has four bits for them. */
export const KEY_INDEXES = 16;
/** How often a key may be stepped forward: the trailer has one byte for it. */
export const MAX_STEP = 255;

/**
 * The head of a frame, by codec (`mimeType` in lower case); a codec that is not here is not sent. Decoders refuse the
 * heads: who has no key, and takes the frame for a plain one, sees and hears nothing instead of noise.
 *
 * VP8: as RFC 6386, section 9.1 begins a frame. The focus reads in the first bit where key frames start; the receiver's
 * depacketiser reads that, and the size of key frames, before the frame reaches our transform. The first partition is
 * said to be longer than any frame. Opus: nobody reads it; a packet of no frames (RFC 6716, section 3.2.5).
 *
 * H.264 and AV1 are not here since browsers cut frames into packets at marks within the payload, which a ciphertext
 * does not have; VP9 since it has not been tried (it would need no head).
 */
const HEADS = new Map([
  ["audio/opus", () => [0x03, 0x00]],
  [
    "video/vp8",
    (frame) => {
      const isDelta = frame[0] & 1;
      return [0xf0 | isDelta, 0xff, 0xff, ...(isDelta ? [] : [0x9d, 0x01, 0x2a, ...frame.subarray(6, 10)])];
    },
  ],
]);

const IV_BYTES = 12;
const MAX_COUNTER = 0xffffffff;
const ENCODER = new TextEncoder();
const LABEL = "org.matrix_focus.media_keys.v1";

/** Why a frame could not be opened or must not be sealed. */
export class FrameRefused extends Error {
  /** @param {"noKey" | "forged" | "replayed" | "malformed" | "codec" | "exhausted"} reason */
  constructor(reason) {
    super(`frame refused: ${reason}`);
    this.reason = reason;
  }
}

/**
 * Whose keys they are: a key that is passed off as somebody else's does not open anything.
 *
 * @param {{roomId: string, userId: string, deviceId: string, sessionId: string}} owner
 * @returns {string}
 */
export function keyContext({ roomId, userId, deviceId, sessionId }) {
  return JSON.stringify([roomId, userId, deviceId, sessionId]);
}

/** @returns {Uint8Array} Fresh key material. */
export function newMaterial() {
  return crypto.getRandomValues(new Uint8Array(MATERIAL_BYTES));
}

/**
 * The key material of the next step. From it nobody gets back to this one.
 *
 * @param {Uint8Array} material
 * @param {string} context - of `keyContext`
 * @returns {Promise<Uint8Array>}
 */
export async function nextStep(material, context) {
  return expand(material, context, "step", MATERIAL_BYTES);
}

/**
 * @param {Uint8Array} material
 * @param {string} context - of `keyContext`
 * @returns {Promise<FrameKey>}
 */
export async function frameKey(material, context) {
  const raw = await expand(material, context, "key", 32);
  const key = await crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt", "decrypt"]);
  return { key, salt: await expand(material, context, "salt", IV_BYTES) };
}

async function expand(material, context, purpose, bytes) {
  const base = await crypto.subtle.importKey("raw", material, "HKDF", false, ["deriveBits"]);
  const info = ENCODER.encode(`${LABEL}\0${purpose}\0${context}`);
  const algorithm = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info };
  return new Uint8Array(await crypto.subtle.deriveBits(algorithm, base, bytes * 8));
}

/**
 * What of a frame may be read.
 *
 * @param {string} mimeType
 * @param {Uint8Array} frame - not encrypted, not empty
 * @returns {Uint8Array}
 * @throws {FrameRefused} codec
 */
export function headOf(mimeType, frame) {
  const head = HEADS.get(mimeType.toLowerCase());
  if (head === undefined) {
    throw new FrameRefused("codec");
  }
  return Uint8Array.from(head(frame));
}

/** Encrypts all frames that one session sends; there must be no second one for the same key. */
export class FrameSealer {
  #current = null;
  #counter;

  /** @param {number} [counter] - of the first frame; only tests begin elsewhere than at 0. */
  constructor(counter = 0) {
    this.#counter = counter;
  }

  /**
   * From now on encrypt with this key.
   *
   * @param {FrameKey} key
   * @param {number} index - 0 to 15
   * @param {number} step - 0 to 255
   */
  use(key, index, step) {
    this.#current = { key, index, step };
  }

  /**
   * Encrypt one frame.
   *
   * @param {Uint8Array} frame
   * @param {Kind} kind
   * @param {string} mimeType
   * @returns {Promise<Uint8Array>}
   * @throws {FrameRefused} noKey, codec, exhausted
   */
  async seal(frame, kind, mimeType) {
    const current = this.#current;
    if (current === null) {
      throw new FrameRefused("noKey");
    }
    const head = headOf(mimeType, frame);
    // Taken before anything is awaited: two frames that are sealed at the same time have different ones.
    const counter = this.#counter;
    if (counter > MAX_COUNTER) {
      throw new FrameRefused("exhausted");
    }
    this.#counter += 1;
    const trailer = new Uint8Array(TRAILER_BYTES);
    new DataView(trailer.buffer).setUint32(0, counter);
    trailer[4] = current.step;
    trailer[5] = (head.length << 4) | current.index;
    const algorithm = gcm(current.key.salt, counter, associated(kind, head, trailer));
    const secret = await crypto.subtle.encrypt(algorithm, current.key.key, frame);
    return joined(head, new Uint8Array(secret), trailer);
  }
}

/**
 * What the end of a frame says.
 *
 * @param {Uint8Array} frame - encrypted
 * @returns {{counter: number, step: number, index: number, headBytes: number}}
 * @throws {FrameRefused} malformed
 */
export function readTrailer(frame) {
  const at = frame.length - TRAILER_BYTES;
  if (at < TAG_BYTES) {
    throw new FrameRefused("malformed");
  }
  const view = new DataView(frame.buffer, frame.byteOffset + at, TRAILER_BYTES);
  const headBytes = view.getUint8(5) >> 4;
  if (at < headBytes + TAG_BYTES) {
    throw new FrameRefused("malformed");
  }
  return { counter: view.getUint32(0), step: view.getUint8(4), index: view.getUint8(5) & 0x0f, headBytes };
}

/**
 * Decrypt one frame, whose trailer has been read and has named the key.
 *
 * @param {Uint8Array} frame - encrypted
 * @param {FrameKey} key
 * @param {Kind} kind
 * @returns {Promise<Uint8Array>}
 * @throws {FrameRefused} forged, malformed
 */
export async function open(frame, key, kind) {
  const { counter, headBytes } = readTrailer(frame);
  const end = frame.length - TRAILER_BYTES;
  const head = frame.subarray(0, headBytes);
  const algorithm = gcm(key.salt, counter, associated(kind, head, frame.subarray(end)));
  try {
    return new Uint8Array(await crypto.subtle.decrypt(algorithm, key.key, frame.subarray(headBytes, end)));
  } catch (error) {
    if (error instanceof DOMException && error.name === "OperationError") {
      throw new FrameRefused("forged");
    }
    throw error;
  }
}

function gcm(salt, counter, additionalData) {
  const iv = salt.slice();
  const view = new DataView(iv.buffer);
  view.setUint32(IV_BYTES - 4, (view.getUint32(IV_BYTES - 4) ^ counter) >>> 0);
  return { name: "AES-GCM", iv, additionalData, tagLength: TAG_BYTES * 8 };
}

function associated(kind, head, trailer) {
  return joined(Uint8Array.of(kind === "video" ? 1 : 0), head, trailer);
}

function joined(...parts) {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
