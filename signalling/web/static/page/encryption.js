/** End-to-end encryption of media: whether it can be had here, and its state in a call. media-keys/ does the work. */

/**
 * Whether the switch can be offered.
 *
 * @param {WidgetMatrix|null} widget its host encrypts; null: the page does, with a library that must be there
 * @returns {Promise<{ok: boolean, text: string}>} in words, why not or what it means
 */
export async function encryptionSupport(widget) {
  try {
    const { MediaKeys } = await import("../media-keys/media-keys.js");
    const { ok, text } = await MediaKeys.available(widget ?? { crypto: null });
    return { ok, text: ok ? `${text} Whoever has it switched off can't take part.` : text };
  } catch (error) {
    return { ok: false, text: `It can't be loaded: ${error.message}` };
  }
}

/** Load what takes longest; somebody has moved the switch. What goes wrong is told when it is needed. */
export function preloadEncryption(widget) {
  const load = async () => (await import("../media-keys/media-keys.js")).MediaKeys.preload(widget ?? { crypto: null });
  load().catch(() => {});
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
