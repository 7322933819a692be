/** What the focus measures of this leg (`org.matrix_focus.stats`), while somebody looks. */

import { bitrateText } from "./stats.js";

/** How often it is told. Lower: messages for numbers that nobody can read. Higher: an estimate that is history. */
const EVERY_MS = 2000;

/** The focus's newest figures. Event: "changed". */
export class Measured extends EventTarget {
  #client;
  #watchers = new Set();

  /** @type {{estimate: number|null, round_trip_time: number|null, packets_lost: number, tracks: object[], hops?: object[]}|null} */
  newest = null;

  /** @param {FocusClient} client */
  constructor(client) {
    super();
    this.#client = client;
    client.addEventListener("stats", ({ detail }) => this.#take(detail));
    client.addEventListener("phase", ({ detail }) => detail.phase !== "connected" && this.#take(null));
  }

  /**
   * Somebody begins or ceases to look.
   *
   * @param {object} who
   * @param {boolean} isLooking
   */
  watch(who, isLooking) {
    if (isLooking) this.#watchers.add(who);
    else this.#watchers.delete(who);
    this.#client.askStats(this.#watchers.size ? EVERY_MS : 0);
  }

  /** Name and value of each figure, for people; empty before the first. */
  get facts() {
    if (this.newest === null) return [];
    const { estimate, round_trip_time: roundTrip, packets_lost: lost, tracks } = this.newest;
    const bitrate = tracks.reduce((sum, track) => sum + track.bitrate, 0);
    return [
      ["focus sends", `${bitrateText(bitrate)} in ${tracks.length} tracks, ${lost} packets lost`],
      ["focus estimates", estimate === null ? "nothing yet" : bitrateText(estimate)],
      ["focus's round trip", roundTrip === null ? "not measured yet" : `${(1000 * roundTrip).toFixed(0)} ms`],
    ];
  }

  #take(figures) {
    this.newest = figures;
    this.dispatchEvent(new Event("changed"));
  }
}
