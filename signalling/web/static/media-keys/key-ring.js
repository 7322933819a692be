/**
 * The keys of one party (a device of a user, in one session) as its receivers keep them. Pure: time is an argument.
 */

import { FrameRefused, MAX_STEP, frameKey, nextStep, open, readTrailer } from "./frame-cipher.js";

/**
 * How long a key opens frames after a newer one has come to use. Shorter: frames that were resent late are lost when
 * keys change. Longer: whoever left the call, and still has the old key, can be played on for longer.
 */
export const RETIRE_AFTER_MS = 5_000;
/**
 * How many counters back a frame may be. Smaller: video that waits for resends is taken for a replay while audio goes
 * on. Larger: memory, one bit each. A sender of three encodings and sound counts to 4,096 in about half a minute.
 */
export const REPLAY_WINDOW = 4_096;

/** Which counters have been seen: each frame counts once, as in RFC 4303, section 3.4.3. */
export class ReplayWindow {
  #highest = -1;
  #seen = new Uint8Array(REPLAY_WINDOW / 8);

  /** @returns {boolean} Whether a frame with this counter is new, and not too old to know. */
  accepts(counter) {
    if (counter > this.#highest) {
      return true;
    }
    return counter > this.#highest - REPLAY_WINDOW && (this.#seen[this.#byte(counter)] & this.#bit(counter)) === 0;
  }

  /** Note an authentic frame. */
  note(counter) {
    if (counter - this.#highest >= REPLAY_WINDOW) {
      this.#seen.fill(0);
    } else {
      for (let between = this.#highest + 1; between < counter; between += 1) {
        this.#seen[this.#byte(between)] &= ~this.#bit(between);
      }
    }
    this.#seen[this.#byte(counter)] |= this.#bit(counter);
    this.#highest = Math.max(this.#highest, counter);
  }

  #byte(counter) {
    return (counter % REPLAY_WINDOW) >> 3;
  }

  #bit(counter) {
    return 1 << (counter & 7);
  }
}

/** The steps of the key of one index, derived as far as frames have asked for. */
class Chain {
  #context;
  #material;
  #next;
  #steps = new Map();
  #deriving = Promise.resolve();
  /** When a newer key came to use; null: none has. */
  retiredAt = null;

  constructor(material, step, context) {
    this.#material = material;
    this.#next = step;
    this.#context = context;
  }

  /**
   * @param {number} step
   * @returns {Promise<import("./frame-cipher.js").FrameKey>}
   */
  async key(step) {
    // One derivation at a time goes forward, whoever asks.
    this.#deriving = this.#deriving.then(() => this.#forwardTo(step));
    await this.#deriving;
    const key = this.#steps.get(step);
    if (key === undefined) {
      throw new FrameRefused("noKey");
    }
    return key;
  }

  /** Forget the steps before one that has come to use, but for the one just before it: its frames may be under way. */
  cameToUse(step) {
    for (const other of this.#steps.keys()) {
      if (other < step - 1) {
        this.#steps.delete(other);
      }
    }
  }

  async #forwardTo(step) {
    while (this.#next <= step && this.#next <= MAX_STEP) {
      this.#steps.set(this.#next, await frameKey(this.#material, this.#context));
      this.#material = await nextStep(this.#material, this.#context);
      this.#next += 1;
    }
  }
}

/** The keys of one party: at most sixteen, one per index. */
export class KeyRing {
  #context;
  #chains = new Map();
  #window = new ReplayWindow();
  #inUse = null;

  /** @param {string} context - of `keyContext` */
  constructor(context) {
    this.#context = context;
  }

  /**
   * Take a key that its owner has sent. One of the same index is replaced.
   *
   * @param {number} index - 0 to 15
   * @param {number} step - 0 to 255: earlier steps can't be opened with it
   * @param {Uint8Array} material
   */
  add(index, step, material) {
    this.#chains.set(index, new Chain(material, step, this.#context));
  }

  /** @returns {number[]} The indexes of which there are keys. */
  indexes() {
    return [...this.#chains.keys()];
  }

  /**
   * Decrypt one frame of this party.
   *
   * @param {Uint8Array} frame
   * @param {"audio" | "video"} kind
   * @param {number} now - ms, of any clock that only rises
   * @returns {Promise<Uint8Array>}
   * @throws {FrameRefused} noKey, forged, replayed, malformed
   */
  async open(frame, kind, now) {
    const { counter, step, index } = readTrailer(frame);
    this.#forgetRetired(now);
    const chain = this.#chains.get(index);
    if (chain === undefined) {
      throw new FrameRefused("noKey");
    }
    if (!this.#window.accepts(counter)) {
      throw new FrameRefused("replayed");
    }
    const plain = await open(frame, await chain.key(step), kind);
    // Another track may have brought the same frame meanwhile.
    if (!this.#window.accepts(counter)) {
      throw new FrameRefused("replayed");
    }
    this.#window.note(counter);
    this.#cameToUse(chain, step, counter, now);
    return plain;
  }

  #cameToUse(chain, step, counter, now) {
    if (this.#inUse === null || counter > this.#inUse.counter) {
      if (this.#inUse?.chain !== chain) {
        // Keys that were sent ahead, and have not been used yet, stay.
        for (const other of this.#chains.values()) {
          other.retiredAt ??= other === this.#inUse?.chain ? now : null;
        }
      }
      chain.cameToUse(step);
      this.#inUse = { chain, counter };
    }
  }

  #forgetRetired(now) {
    for (const [index, chain] of this.#chains) {
      if (chain.retiredAt !== null && now - chain.retiredAt >= RETIRE_AFTER_MS) {
        this.#chains.delete(index);
      }
    }
  }
}
