/** Every signalling message of this page, in order. */

/** How many are kept. More: a long call fills the memory. Fewer: the join is gone when somebody looks. */
export const MAX_MESSAGES = 2000;

/**
 * @typedef {Object} Entry
 * @property {number} number from 1, never used again
 * @property {number} at milliseconds since the epoch
 * @property {"in"|"out"} direction
 * @property {"state"|"to-device"|"channel"} via
 * @property {string} type
 * @property {Object} content
 * @property {string} [note] why it was ignored, or what a fault did to it
 */

/** Keeps what a client's "message" events tell. Events: "entry" {entry, dropped: Entry|null}, "cleared". */
export class MessageLog extends EventTarget {
  #entries = [];
  #count = 0;

  /** @param {FocusClient} client */
  listen(client) {
    client.addEventListener("message", ({ detail }) => this.add(detail));
  }

  /** @param {Omit<Entry, "number">} entry is kept itself: a note may be added to it later */
  add(entry) {
    this.#count += 1;
    entry.number = this.#count;
    this.#entries.push(entry);
    const dropped = this.#entries.length > MAX_MESSAGES ? this.#entries.shift() : null;
    this.dispatchEvent(new CustomEvent("entry", { detail: { entry, dropped } }));
  }

  /** @returns {readonly Entry[]} oldest first */
  get entries() {
    return this.#entries;
  }

  /** Forget them all; the numbers go on. */
  clear() {
    this.#entries = [];
    this.dispatchEvent(new Event("cleared"));
  }

  /** All of them as JSON, to be pasted into a report. */
  toText() {
    return JSON.stringify(
      this.#entries.map((entry) => ({ ...entry, at: new Date(entry.at).toISOString() })),
      null,
      2,
    );
  }
}

/**
 * What a message says in a few words, beside its type.
 *
 * @param {Entry} entry
 * @returns {string}
 */
export function summaryOf({ type, content }) {
  const parts = [];
  const description = content.description ?? content.offer ?? content.answer;
  if (description?.sdp) parts.push(`${description.type}, ${description.sdp.split(/^m=/m).length - 1} sections`);
  const metadata = content.sdp_stream_metadata ?? content["org.matrix.msc3077.sdp_stream_metadata"];
  if (metadata) parts.push(`${Object.keys(metadata).length} streams`);
  const calls = Array.isArray(content["m.calls"]) ? content["m.calls"] : null;
  if (calls)
    parts.push(
      calls
        .flatMap((call) => call["m.devices"] ?? [])
        .map((one) => one.device_id)
        .join(", ") || "in no call",
    );
  if (type === "m.call.candidates") parts.push(`${content.candidates?.length ?? 0} candidates`);
  if (type === "m.call.track_subscription") {
    parts.push(`+${content.subscribe?.length ?? 0} −${content.unsubscribe?.length ?? 0}`);
  }
  if (content.reason) parts.push(content.reason);
  if (content.speakers) parts.push(content.speakers.length ? `${content.speakers.length} speaking` : "nobody speaks");
  if (type === "org.matrix_focus.why") parts.push((content.tracks ?? []).map((track) => track.cause).join(", "));
  if (type === "org.matrix_focus.layers") {
    parts.push((content.tracks ?? []).map((track) => (track.active ?? []).join("") || "none").join(", "));
  }
  if (content.code) parts.push(content.code);
  return parts.join(" · ");
}
