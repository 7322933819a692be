/**
 * Faults on demand: the hard paths of a leg, so that a client developer sees them when they want to.
 *
 * They are built on `client.wire` (what may be held up or lost), on `client.pc` and `client.channel`, and on the
 * client's public methods. The client knows nothing of them.
 */

const NEGOTIATE = "m.call.negotiate";

/** How long "glare" waits for our own offer to be under way before the focus's offer is let through. */
const GLARE_PATIENCE_MS = 2000;

/** A fault that can be switched or fired. `expect`: what should happen, for the person who looks on. */
export const FAULTS = [
  {
    id: "delay-answer",
    label: "Delay our answers",
    amount: { unit: "ms", value: 3000, min: 0, max: 60_000, step: 500 },
    expect:
      "The focus offers, and waits. Beyond 5 s it sends the same offer again; after three tries it hangs up and we " +
      "dial anew. Media that already flows goes on.",
  },
  {
    id: "drop-answer",
    label: "Drop our next answer",
    expect:
      "The focus waits 5 s and sends its offer again, byte for byte; we answer that. What the offer brought comes " +
      "5 s late, nothing else changes.",
  },
  {
    id: "glare",
    label: "Glare now",
    expect:
      "Our offer and the focus's cross. We are the impolite side and ignore theirs; the focus abandons its offer, " +
      "answers ours, and offers anew.",
  },
  {
    id: "restart-ice",
    label: "Restart ICE",
    expect:
      "We offer with new credentials, the focus answers with new ones. Media goes on over the old path until the new " +
      "one has been checked.",
  },
  {
    id: "cut-channel",
    label: "Cut the data channel",
    expect: "Signalling of this leg is gone, media is not. The client notices, and comes back with a working channel.",
  },
  {
    id: "drop-to-device",
    label: "Drop our next to-device message",
    expect:
      "It has a number (seq) that the focus misses: what follows is held back for 5 s, then taken without it. A lost " +
      "invite is dialled again.",
  },
  {
    id: "redial",
    label: "Redial",
    expect:
      "A new leg under a new call_id takes the place of this one. Others see no leave; pictures are back within a " +
      "second or so.",
  },
];

/** Faults of one client. Event: "log" {fault, text, at}; "changed" (what is armed). */
export class Faults extends EventTarget {
  #client;
  #blink;
  #armed = new Map();

  /**
   * @param {FocusClient} client
   * @param {function(): void} blink looks away from one picture for a moment: the focus offers, to use its section no
   *     more, and again to use it
   */
  constructor(client, blink) {
    super();
    this.#client = client;
    this.#blink = blink;
    client.wire = { outgoing: (message) => this.#outgoing(message), incoming: (message) => this.#incoming(message) };
  }

  /** Whether a fault waits for its moment, or is switched on. */
  isArmed(id) {
    return this.#armed.has(id);
  }

  /**
   * Fire a fault, arm it, or switch it off again.
   *
   * @param {string} id of FAULTS
   * @param {number} [amount] where it has one
   */
  async toggle(id, amount) {
    if (this.#armed.has(id)) {
      this.#disarm(id, "switched off");
      return;
    }
    switch (id) {
      case "delay-answer":
        this.#arm(id, amount, `armed: every answer of ours will wait ${amount} ms`);
        break;
      case "drop-answer":
        this.#arm(id, true, "armed: waiting for an offer of the focus");
        this.#blink();
        break;
      case "glare":
        this.#arm(id, true, "armed: waiting for an offer of the focus");
        this.#blink();
        break;
      case "drop-to-device":
        this.#arm(id, true, "armed: waiting for a to-device message of ours");
        break;
      case "restart-ice":
        await this.#restartIce();
        break;
      case "cut-channel":
        await this.#cutChannel();
        break;
      case "redial":
        await this.#redial();
        break;
      default:
        throw new RangeError(`no fault ${id}`);
    }
  }

  async #outgoing(message) {
    if (message.via === "to-device" && this.#armed.has("drop-to-device")) {
      this.#disarm(
        "drop-to-device",
        `dropped ${message.type}${message.content.seq === undefined ? "" : `, seq ${message.content.seq}`}`,
      );
      return null;
    }
    if (!isDescription(message, "answer")) return message;
    if (this.#armed.has("drop-answer")) {
      this.#disarm("drop-answer", "dropped our answer");
      this.#tellNext("drop-answer", "offer", "the focus offered again");
      return null;
    }
    if (this.#armed.has("delay-answer")) {
      const delay = this.#armed.get("delay-answer");
      this.#log("delay-answer", `holding our answer for ${delay} ms`);
      await new Promise((done) => setTimeout(done, delay));
      this.#log("delay-answer", "sent it");
    }
    return message;
  }

  async #incoming(message) {
    if (isDescription(message, "offer") && this.#armed.has("glare")) {
      this.#disarm("glare", "an offer of the focus arrived: offering ourselves first");
      this.#tellNext("glare", "answer", "the focus answered our offer");
      this.#client.renegotiate();
      const { pc } = this.#client;
      await until(() => pc.signalingState === "have-local-offer", GLARE_PATIENCE_MS);
      this.#log("glare", `the focus's offer is let through while we are in ${pc.signalingState}`);
    }
    return message;
  }

  async #restartIce() {
    const startedAt = performance.now();
    const before = remoteFragment(this.#client.pc);
    this.#log("restart-ice", "asked for");
    await this.#client.restartIce();
    const isDone = await until(() => remoteFragment(this.#client.pc) !== before, 10_000);
    const took = Math.round(performance.now() - startedAt);
    this.#log("restart-ice", isDone ? `the focus has new credentials after ${took} ms` : "no answer after 10 s");
  }

  async #cutChannel() {
    const { channel } = this.#client;
    if (channel?.readyState !== "open") {
      this.#log("cut-channel", "there is no open channel");
      return;
    }
    const startedAt = performance.now();
    channel.close();
    this.#log("cut-channel", "closed");
    const isBack = await until(
      () => this.#client.channel !== channel && this.#client.channel?.readyState === "open",
      60_000,
    );
    const took = Math.round(performance.now() - startedAt);
    this.#log("cut-channel", isBack ? `a new channel is open after ${took} ms` : "no new channel after 60 s");
  }

  async #redial() {
    const startedAt = performance.now();
    const before = this.#client.callId;
    this.#log("redial", `leaving leg ${before}`);
    await this.#client.redial();
    const isBack = await until(() => this.#client.callId !== before && this.#client.phase === "connected", 30_000);
    const took = Math.round(performance.now() - startedAt);
    this.#log(
      "redial",
      isBack ? `leg ${this.#client.callId} is connected after ${took} ms` : "not connected after 30 s",
    );
  }

  #tellNext(id, type, text) {
    const startedAt = performance.now();
    const listen = ({ detail }) => {
      if (detail.direction !== "in" || !isDescription(detail, type)) return;
      this.#client.removeEventListener("message", listen);
      this.#log(id, `${text} after ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
    };
    this.#client.addEventListener("message", listen);
  }

  #arm(id, value, text) {
    this.#armed.set(id, value);
    this.#log(id, text);
    this.dispatchEvent(new Event("changed"));
  }

  #disarm(id, text) {
    this.#armed.delete(id);
    this.#log(id, text);
    this.dispatchEvent(new Event("changed"));
  }

  #log(fault, text) {
    this.dispatchEvent(new CustomEvent("log", { detail: { fault, text, at: Date.now() } }));
  }
}

function isDescription(message, type) {
  return message.type === NEGOTIATE && message.content.description?.type === type;
}

function remoteFragment(pc) {
  return pc?.remoteDescription?.sdp.match(/^a=ice-ufrag:(.*)$/m)?.[1];
}

async function until(condition, patienceMs) {
  const deadline = performance.now() + patienceMs;
  while (performance.now() < deadline) {
    if (condition()) return true;
    await new Promise((done) => setTimeout(done, 20));
  }
  return condition();
}
