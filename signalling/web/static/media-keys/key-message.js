/**
 * The message that carries a key (docs/encryption.md, section 4): written and read. Pure.
 *
 * @typedef {{roomId: string, confId: string, userId: string, deviceId: string, sessionId: string,
 *   index: number, step: number, material: Uint8Array, sentAt: number}} SentKey
 *   sentAt: ms since 1970 by the sender's clock; it orders messages of one sender and says nothing else.
 */

import { KEY_INDEXES, MATERIAL_BYTES, MAX_STEP } from "./frame-cipher.js";

/** Always sent over Olm. */
export const MEDIA_KEYS = "org.matrix_focus.media_keys";
const ALGORITHM = "org.matrix_focus.media_keys.v1.aes-256-gcm";
const MAX_ID_LENGTH = 255;

/**
 * @param {SentKey} key
 * @returns {object} The content.
 */
export function writeKeyMessage(key) {
  return {
    algorithm: ALGORITHM,
    room_id: key.roomId,
    conf_id: key.confId,
    device_id: key.deviceId,
    session_id: key.sessionId,
    key_index: key.index,
    key_step: key.step,
    key: toBase64Url(key.material),
    sent_ts: key.sentAt,
  };
}

/**
 * @param {string} sender - user id
 * @param {unknown} content
 * @returns {SentKey | null} null: it is no key message that we can use.
 */
export function readKeyMessage(sender, content) {
  if (typeof content !== "object" || content === null || content.algorithm !== ALGORITHM) {
    return null;
  }
  const ids = [content.room_id, content.conf_id, content.device_id, content.session_id];
  const material = fromBase64Url(content.key);
  const isFine =
    ids.every((id) => typeof id === "string" && id.length > 0 && id.length <= MAX_ID_LENGTH) &&
    isBetween(content.key_index, KEY_INDEXES - 1) &&
    isBetween(content.key_step, MAX_STEP) &&
    isBetween(content.sent_ts, Number.MAX_SAFE_INTEGER) &&
    material?.length === MATERIAL_BYTES;
  if (!isFine) {
    return null;
  }
  const [roomId, confId, deviceId, sessionId] = ids;
  const { key_index: index, key_step: step, sent_ts: sentAt } = content;
  return { roomId, confId, userId: sender, deviceId, sessionId, index, step, material, sentAt };
}

function isBetween(value, most) {
  return Number.isSafeInteger(value) && value >= 0 && value <= most;
}

function toBase64Url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function fromBase64Url(text) {
  if (typeof text !== "string" || !/^[A-Za-z0-9_-]*$/.test(text)) {
    return null;
  }
  try {
    return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
  } catch {
    return null;
  }
}
