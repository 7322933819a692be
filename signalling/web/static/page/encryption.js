/** End-to-end encryption of media: whether it can be had here, and its state in a call. The work is done in media-keys/. */

/** Where the library that encrypts messages between devices lies; whoever deploys the page puts it there. */
const LIBRARY = new URL("../vendor/matrix-sdk-crypto-wasm/index.mjs", import.meta.url);

/**
 * Whether the switch can be offered.
 *
 * @param {boolean} isWidget the host encrypts: no library is needed
 * @returns {Promise<{ok: boolean, text: string}>} in words, why not or what it means
 */
export async function encryptionSupport(isWidget) {
  if (!("RTCRtpScriptTransform" in globalThis)) {
    return { ok: false, text: "This browser can't do it: it has no RTCRtpScriptTransform." };
  }
  if (!isWidget && !(await isThere(LIBRARY))) {
    return { ok: false, text: "Not installed on this server: its operator has not added matrix-sdk-crypto-wasm." };
  }
  return { ok: true, text: "The focus forwards what it can't see or hear. Everybody in the call must have it on." };
}

/** Keys of one call. Event: "state" {text, ok}. */
export class Encryption extends EventTarget {
  #keys = null;
  #state = { text: "Not encrypted end to end", ok: false };

  /** What there is to say now. */
  get state() {
    return this.#state;
  }

  /** Whether media is encrypted end to end. */
  get isOn() {
    return this.#keys !== null;
  }

  /**
   * Make keys; before the client joins.
   *
   * @param {Matrix} matrix started
   * @param {string} roomId
   */
  async open(matrix, roomId) {
    const { MediaKeys } = await import("../media-keys/media-keys.js");
    this.#keys = await MediaKeys.open({ matrix, roomId });
    this.#keys.addEventListener("state", ({ detail }) => this.#tell(detail));
    this.#tell(this.#keys.state ?? { text: "Exchanging keys…", ok: false });
  }

  /** Follow who joins and leaves; right after the client was made. */
  attach(client) {
    this.#keys?.attach(client);
  }

  /** What FocusClient.join wants of it; nothing where it is off. */
  get hooks() {
    if (!this.#keys) return {};
    return { prepareSender: this.#keys.prepareSender, prepareReceiver: this.#keys.prepareReceiver };
  }

  /**
   * Whether somebody's media can be decrypted.
   *
   * @returns {{ok: boolean, text: string}|null} null: encryption is off, or nothing is known
   */
  stateOf(userId, deviceId) {
    return this.#keys?.parties?.get(`${userId} ${deviceId}`) ?? null;
  }

  /** Forget the keys. */
  close() {
    this.#keys?.close();
    this.#keys = null;
  }

  #tell(state) {
    this.#state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}

async function isThere(url) {
  try {
    return (await fetch(url, { method: "HEAD" })).ok;
  } catch {
    return false;
  }
}
