/** The messages of one dial: numbered, in order, through the wire's hooks, told to whoever looks on. */

/** The session id of every focus. */
const FOCUS_SESSION = "sfu";
/** A missing number is waited for as long as the focus waits for ours (protocol: section 4.4). */
const SEQ_GAP_MS = 5_000;

/** Brings to-device messages of one dial back into the order of their numbers. */
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

/** See the module. A hook that takes its time holds up what comes after it on the same way, and nothing else. */
export class Post {
  #owner;
  #focus;
  #callId;
  #handle;
  #signal;
  #seq = 0;
  #order = new SeqOrder();
  #gap = null;
  #queues = new Map();

  /**
   * @param {import("./leg.js").LegOwner} owner
   * @param {object} dial
   * @param {{user_id: string, device_id: string}} dial.focus
   * @param {string} dial.callId
   * @param {(via: string, message: object) => void} dial.handle   gets what has come, in order
   * @param {AbortSignal} dial.signal                              from then on nothing passes
   */
  constructor(owner, { focus, callId, handle, signal }) {
    this.#owner = owner;
    this.#focus = focus;
    this.#callId = callId;
    this.#handle = handle;
    this.#signal = signal;
    signal.addEventListener("abort", () => clearTimeout(this.#gap));
  }

  /** Take the text of a frame; what is no message is nothing that a focus says. */
  arriveByChannel(data) {
    const message = parse(data);
    if (message !== null) this.#arrive("channel", message, (passed) => this.#handle("channel", passed));
  }

  /**
   * Take a message to this device, whoever sent it.
   *
   * @param {{type: string, sender: string, content: object}} event
   */
  arriveToDevice(event) {
    this.#arrive("to-device", event, (passed) => this.#sort(passed));
  }

  /**
   * Send on a channel.
   *
   * @param {() => RTCDataChannel} channel   at the time when its turn has come
   * @param {string} type
   * @param {object} content
   */
  sendByChannel(channel, type, content) {
    return this.#depart("channel", { type, content }, (passed) => {
      if (channel().readyState === "open") channel().send(JSON.stringify({ type, content: passed }));
    });
  }

  /** Send to the focus's device; resolves when the homeserver has it. */
  sendToDevice(type, content) {
    const message = { type, content: { ...this.#envelope(), ...content } };
    return this.#depart("to-device", message, (passed) => this.#put(type, passed));
  }

  /** The last message: it is on its way when this returns, since the page may be going. */
  sendFarewell(type, content) {
    const message = { type, content: { ...this.#envelope(), ...content } };
    this.note("out", "to-device", message);
    this.#put(type, message.content).catch(() => {}); // Whether it arrives or not, it is over.
  }

  /** Tell of a message, and why it counts for nothing where it does. */
  note(direction, via, { type, content }, note = "") {
    this.#owner.tell({ direction, via, type, content, leg: this.#callId, ...(note ? { note } : {}) });
  }

  #arrive(via, message, handle) {
    this.#inOrder(`in ${via}`, async () => {
      const passed = await this.#owner.wire.incoming({ ...message, direction: "in", via });
      if (this.#signal.aborted) return;
      if (passed === null) this.note("in", via, message, "lost: a fault was asked for");
      else handle(passed);
    });
  }

  #depart(via, message, deliver) {
    return this.#inOrder(`out ${via}`, async () => {
      const passed = await this.#owner.wire.outgoing({ ...message, direction: "out", via });
      if (this.#signal.aborted) return;
      this.note("out", via, passed ?? message, passed === null ? "not sent: a fault was asked for" : "");
      if (passed !== null) await deliver(passed.content);
    });
  }

  #inOrder(name, step) {
    const before = this.#queues.get(name) ?? Promise.resolve();
    const done = before.then(() => (this.#signal.aborted ? undefined : step()));
    this.#queues.set(name, done.catch(() => {})); // One that fails is its sender's concern.
    return done;
  }

  /** To-device messages overtake each other. */
  #sort(message) {
    const why = this.#whyNotOurs(message);
    const ready = why === "" ? this.#order.take(message) : null;
    if (ready === null) {
      this.note("in", "to-device", message, why || "it was there before");
      return;
    }
    clearTimeout(this.#gap);
    if (this.#order.hasGap) this.#gap = setTimeout(() => this.#handOver(this.#order.skip()), SEQ_GAP_MS);
    this.#handOver(ready);
  }

  #handOver(messages) {
    for (const message of messages) this.#handle("to-device", message);
  }

  #whyNotOurs({ type, sender, content }) {
    const { confId, sessionId } = this.#owner;
    if (type === "m.room.encrypted") return "encrypted, and nothing here can read it";
    if (sender !== this.#focus.user_id) return `from ${sender}: only the focus is spoken to`;
    if (content.call_id !== this.#callId) return "of another dial";
    if (content.conf_id !== confId) return "of another call";
    if (content.dest_session_id !== sessionId) return "for another session of this device";
    if (content.party_id !== this.#focus.device_id) return "of another device of the focus";
    return "";
  }

  #envelope() {
    return { ...envelopeOf(this.#owner, this.#callId, FOCUS_SESSION), seq: this.#seq++ };
  }

  #put(type, content) {
    const { user_id: userId, device_id: deviceId } = this.#focus;
    return this.#owner.matrix.sendToDevice(type, { [userId]: { [deviceId]: content } });
  }
}

/**
 * What every to-device message of a call says (protocol: section 4.2).
 *
 * @param {{matrix: object, confId: string, sessionId: string}} owner
 * @param {string} callId
 * @param {string} destSessionId
 */
export function envelopeOf({ matrix, confId, sessionId }, callId, destSessionId) {
  return {
    version: "1",
    call_id: callId,
    party_id: matrix.deviceId,
    conf_id: confId,
    device_id: matrix.deviceId,
    sender_session_id: sessionId,
    dest_session_id: destSessionId,
  };
}

function parse(data) {
  try {
    const { type, content } = JSON.parse(data);
    return typeof type === "string" && content instanceof Object ? { type, content } : null;
  } catch {
    return null;
  }
}
