/** What a client wants to receive, and the shortest way to say so (protocol: section 6.4). */

/**
 * Sizes of tiles change in bursts, while a window is dragged or a layout moves. Lower: the focus changes layers that
 * nobody comes to see. Higher: a picture that was made large stays coarse for longer.
 */
const SETTLE_MS = 250;

/**
 * @typedef {object} Wish
 * @property {string} streamId
 * @property {string} trackId
 * @property {import("./streams.js").Tile | null} tile   null for audio
 */

/**
 * The wishes of one leg: says only what has changed; what is new or comes into sight at once, the rest when it has
 * settled.
 */
export class Subscriptions {
  #send;
  #wishes = new Map();
  #told = new Map();
  #timer = null;
  #isUrgent = false;

  /**
   * @param {(content: {subscribe: object[], unsubscribe: object[]}) => boolean} send
   *     says it to the focus; false where it can't be said now: it is then said after `restart`
   */
  constructor(send) {
    this.#send = send;
  }

  /**
   * Want exactly these tracks from now on.
   *
   * @param {Wish[]} wishes
   */
  want(wishes) {
    this.#wishes = new Map(wishes.map((wish) => [keyOf(wish), wish]));
    const isUrgent = wishes.some((wish) => isAwaited(wish, this.#told.get(keyOf(wish))));
    if (isUrgent && !this.#isUrgent) queueMicrotask(() => this.#isUrgent && this.#flush());
    this.#isUrgent ||= isUrgent;
    this.#timer ??= setTimeout(() => this.#flush(), SETTLE_MS);
  }

  /** The focus knows of no wishes (any more): say all of them. */
  restart() {
    this.#told.clear();
    this.#flush();
  }

  /** Say nothing any more. */
  stop() {
    clearTimeout(this.#timer);
    this.#isUrgent = false;
    this.#wishes.clear();
    this.#told.clear();
  }

  #flush() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#isUrgent = false;
    const subscribe = [...this.#wishes].filter(([key, wish]) => !isSame(wish, this.#told.get(key)));
    const unsubscribe = [...this.#told].filter(([key]) => !this.#wishes.has(key));
    if (subscribe.length === 0 && unsubscribe.length === 0) return;
    const content = {
      subscribe: subscribe.map(([, wish]) => ({ ...idsOf(wish), ...contentOf(wish.tile) })),
      unsubscribe: unsubscribe.map(([, wish]) => idsOf(wish)),
    };
    if (this.#send(content)) this.#told = new Map(this.#wishes);
  }
}

function keyOf({ streamId, trackId }) {
  return `${streamId} ${trackId}`;
}

function idsOf({ streamId, trackId }) {
  return { stream_id: streamId, track_id: trackId };
}

/** What is not said is not pinned, and visible. */
function contentOf(tile) {
  if (tile === null) return {};
  const { width, height, isPinned, isVisible } = tile;
  return { width, height, ...(isPinned && { pinned: true }), ...(!isVisible && { visible: false }) };
}

/** Whether somebody looks at the place where it is to be. */
function isAwaited({ tile }, told) {
  return told === undefined || (tile?.isVisible === true && !told.tile?.isVisible);
}

function isSame({ tile }, told) {
  if (told === undefined) return false;
  if (tile === null || told.tile === null) return tile === told.tile;
  return Object.keys(tile).every((name) => tile[name] === told.tile[name]);
}
