/** The state of a room as its host tells it. */

import { isObject } from "./widget-channel.js";

/** How many replaced events are remembered. Fewer: a host that tells old state again is believed. More: memory. */
const MAX_REPLACED = 4096;

/** State events of one room, by type and state key. */
export class HostedState {
  #roomId;
  #events = new Map();
  #replaced = new Set();

  /** @param {string} roomId what is told of other rooms is left out */
  constructor(roomId) {
    this.#roomId = roomId;
  }

  /**
   * Take what the host tells. Hosts on matrix-widget-api (1.19 and before) tell the first state of a room again, and
   * not as it is now, whenever their person looks at a room or grants something: an event that has been replaced does
   * not come back.
   *
   * @param {unknown} events
   * @returns {object[]} those that changed something
   */
  apply(events) {
    if (!Array.isArray(events)) return [];
    return events.filter((event) => this.#isOurs(event) && this.#put(event));
  }

  /**
   * Take state events of the room's timeline, in any order: one counts where it is newer than what is known. It may
   * still have lost against another, so this is for hosts whose word on the state may be old.
   *
   * @param {unknown} events
   * @returns {object[]} those that changed something
   */
  applyNewer(events) {
    const at = (event) => event?.origin_server_ts ?? 0;
    const known = ({ type, state_key: key }) => this.#events.get(type)?.get(key);
    const told = Array.isArray(events) ? events.filter(isObject) : [];
    const newer = told.filter((event) => at(event) > at(known(event)));
    return this.apply(newer.sort((one, other) => at(one) - at(other)));
  }

  /**
   * @param {string} type
   * @returns {object[]} the current event of each state key
   */
  read(type) {
    return [...(this.#events.get(type)?.values() ?? [])];
  }

  #isOurs(event) {
    if (!isObject(event) || !isObject(event.content) || event.room_id !== this.#roomId) return false;
    return [event.type, event.state_key, event.sender, event.event_id].every((field) => typeof field === "string");
  }

  #put(event) {
    const { type, state_key: key, event_id: id } = event;
    if (!this.#events.has(type)) this.#events.set(type, new Map());
    const known = this.#events.get(type).get(key);
    if (known?.event_id === id || this.#replaced.has(id)) return false;
    if (known) this.#forget(known.event_id);
    this.#events.get(type).set(key, event);
    return true;
  }

  #forget(id) {
    if (this.#replaced.size >= MAX_REPLACED) this.#replaced.delete(this.#replaced.values().next().value);
    this.#replaced.add(id);
  }
}
