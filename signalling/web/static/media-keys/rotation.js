/**
 * When the own key changes, and whom it is told. Pure: members and time in, orders out, performed in their order.
 *
 * Somebody joins: the key is stepped forward before the newcomer is told it, so the past stays closed to them. Those
 * who have the key derive the step by themselves: a join costs one message per sender, and no picture.
 *
 * Somebody leaves: a fresh key is told to all who stay, and comes to use a moment later. At most one fresh key is
 * under way at a time: who leaves meanwhile is shut out by the next one, so that people who keep leaving cannot
 * keep a key in use for ever, and a crowd that leaves at once costs two keys and not one for each.
 *
 * A device that comes back in another session (a reloaded tab) joins; it does not leave.
 *
 * @typedef {{userId: string, deviceId: string, sessionId: string}} Member
 * @typedef {{do: "step", tell: Member[]}
 *   | {do: "fresh", tell: Member[]}
 *   | {do: "use-fresh"}
 *   | {do: "tell-fresh", tell: Member[]}} Order
 *   step: step the key in use forward, use it, then tell it. fresh: make the next key, tell it, do not use it yet.
 */

import { MAX_STEP } from "./frame-cipher.js";

/**
 * From a fresh key's delivery at the homeserver to its use. Shorter: receivers who are slow to sync lose pictures.
 * Longer: whoever left can be played on for longer.
 */
export const USE_AFTER_MS = 1_000;
/** A fresh key comes to use so long after it was made also when the homeserver takes it from nobody's hands. */
export const USE_AT_LATEST_MS = 4_000;

/** @param {{userId: string, deviceId: string}} device */
export function partyName({ userId, deviceId }) {
  return `${userId} ${deviceId}`;
}

export class Rotation {
  /** @type {Map<string, string>} party to session: who has the key in use */
  #told = new Map();
  #members = [];
  #step = 0;
  /** @type {{useAt: number, latest: number} | null} The fresh key that is not in use yet. */
  #pending = null;
  #someLeft = false;

  /** @returns {number} When `tick` next has something to say; Infinity while nothing is under way. */
  get nextAt() {
    return this.#pending === null ? Infinity : Math.min(this.#pending.useAt, this.#pending.latest);
  }

  /**
   * @param {number} now - ms
   * @param {Member[]} members - all others in the call
   * @returns {Order[]}
   */
  membersAre(now, members) {
    this.#members = [...members];
    const present = new Map(members.map((member) => [partyName(member), member.sessionId]));
    const joined = members.filter((member) => this.#told.get(partyName(member)) !== member.sessionId);
    const left = [...this.#told.keys()].filter((name) => !present.has(name));
    this.#told = present;
    this.#someLeft ||= left.length > 0;
    const orders = this.#welcome(joined);
    return this.#pending === null ? [...orders, ...this.#renew(now)] : orders;
  }

  /** The fresh key has been delivered to all who were to be told. */
  delivered(now) {
    if (this.#pending !== null) {
      this.#pending.useAt = Math.min(this.#pending.useAt, now + USE_AFTER_MS);
    }
  }

  /**
   * @param {number} now - ms
   * @returns {Order[]}
   */
  tick(now) {
    if (now < this.nextAt) {
      return [];
    }
    this.#pending = null;
    this.#step = 0;
    return [{ do: "use-fresh" }, ...this.#renew(now)];
  }

  #welcome(joined) {
    if (joined.length === 0) {
      return [];
    }
    if (this.#step === MAX_STEP) {
      // No step is left: as if somebody had left, but the newcomers wait for the fresh key.
      this.#someLeft = true;
      return this.#pending === null ? [] : [{ do: "tell-fresh", tell: joined }];
    }
    this.#step += 1;
    const orders = [{ do: "step", tell: joined }];
    return this.#pending === null ? orders : [...orders, { do: "tell-fresh", tell: joined }];
  }

  #renew(now) {
    if (!this.#someLeft) {
      return [];
    }
    this.#someLeft = false;
    this.#pending = { useAt: Infinity, latest: now + USE_AT_LATEST_MS };
    return [{ do: "fresh", tell: this.#members }];
  }
}
