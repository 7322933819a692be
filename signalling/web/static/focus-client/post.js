/** The way of messages, in and out: in order, through the wire's hooks, and told to whoever looks on. */

/** Brings to-device messages of one dial back into the order of their numbers (protocol: section 4.4). */
export class SeqOrder {
  #next = 0;
  #held = new Map();

  /**
   * Take a message.
   *
   * @param {{content: {seq?: number}}} message
   * @returns {object[] | null} what can be processed now, in order; null: it was there before
   */
  take(message) {
    const { seq } = message.content;
    if (!Number.isInteger(seq)) return [message];
    if (seq < this.#next || this.#held.has(seq)) return null;
    this.#held.set(seq, message);
    return this.#drain();
  }

  /** Whether messages wait for one that is missing. */
  get hasGap() {
    return this.#held.size > 0;
  }

  /** Give up what is missing; what can be processed now. */
  skip() {
    if (!this.hasGap) return [];
    this.#next = Math.min(...this.#held.keys());
    return this.#drain();
  }

  #drain() {
    const ready = [];
    for (; this.#held.has(this.#next); this.#next++) {
      ready.push(this.#held.get(this.#next));
      this.#held.delete(this.#next);
    }
    return ready;
  }
}

/**
 * One dial's messages.
 *
 * A hook that takes its time holds up what comes after it on the same way, and nothing else.
 */
export class Post {
  #callId;
  #wire;
  #tell;
  #signal;
  #queues = new Map();

  /**
   * @param {object} options
   * @param {string} options.callId
   * @param {{outgoing: Function, incoming: Function}} options.wire   hooks: message → message, or null where it is lost
   * @param {(message: object) => void} options.tell                  gets every message
   * @param {AbortSignal} options.signal                              from then on nothing passes
   */
  constructor({ callId, wire, tell, signal }) {
    this.#callId = callId;
    this.#wire = wire;
    this.#tell = tell;
    this.#signal = signal;
  }

  /**
   * Take what has come.
   *
   * @param {"channel" | "to-device"} via
   * @param {{type: string, content: object}} message
   * @param {(message: object) => void} handle
   */
  arrive(via, message, handle) {
    return this.#inOrder(`in ${via}`, async () => {
      const passed = await this.#wire.incoming({ ...message, direction: "in", via });
      if (this.#signal.aborted) return;
      if (passed === null) this.note("in", via, message, "lost: a fault was asked for");
      else handle(passed);
    });
  }

  /**
   * Send.
   *
   * @param {"channel" | "to-device"} via
   * @param {{type: string, content: object}} message
   * @param {(content: object) => unknown} deliver   what it returns is awaited before the next one goes
   */
  depart(via, message, deliver) {
    return this.#inOrder(`out ${via}`, async () => {
      const passed = await this.#wire.outgoing({ ...message, direction: "out", via });
      if (this.#signal.aborted) return;
      this.note("out", via, passed ?? message, passed === null ? "not sent: a fault was asked for" : "");
      if (passed !== null) await deliver(passed.content);
    });
  }

  /** Tell of a message, and why it counts for nothing where it does. */
  note(direction, via, { type, content }, note = "") {
    this.#tell({ direction, via, type, content, leg: this.#callId, ...(note ? { note } : {}) });
  }

  #inOrder(name, step) {
    const before = this.#queues.get(name) ?? Promise.resolve();
    const done = before.then(() => (this.#signal.aborted ? undefined : step()));
    this.#queues.set(name, done.catch(() => {})); // One that fails is its sender's concern.
    return done;
  }
}
