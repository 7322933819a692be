/** Short messages over the page, read aloud, which a person can put away. */

import { element, icon } from "./dom.js";

/** More than these at once hide the call; the oldest goes. */
const MAX_NOTICES = 4;

/** How long a message that needs no answer stays. Shorter: gone before it is read. Longer: it covers the picture. */
const PASSING_MS = 9000;

/** The notices that are shown now. */
export class Notices {
  #list;
  #shown = new Map();

  /** @param {HTMLElement} list is an aria-live region */
  constructor(list) {
    this.#list = list;
  }

  /**
   * Show a message. One under the same key takes the place of the last, and an equal one is not repeated.
   *
   * @param {string} text
   * @param {Object} [how]
   * @param {string} [how.key]
   * @param {"info"|"warning"|"error"} [how.kind]
   * @param {boolean} [how.lasting] until it is put away
   * @param {{label: string, run: function(): void}|null} [how.action] a button
   */
  show(text, { key = text, kind = "info", lasting = kind !== "info", action = null } = {}) {
    const last = this.#shown.get(key);
    if (last?.text === text) return;
    this.dismiss(key);
    const close = element(
      "button",
      { type: "button", class: "notice-close", "aria-label": "Dismiss", onclick: () => this.dismiss(key) },
      icon("close"),
    );
    const act =
      action &&
      element(
        "button",
        {
          type: "button",
          class: "notice-action",
          onclick: () => {
            this.dismiss(key);
            action.run();
          },
        },
        action.label,
      );
    const item = element(
      "div",
      { class: `notice notice-${kind}`, "data-key": key },
      element("p", {}, text),
      act,
      close,
    );
    const timer = lasting ? null : setTimeout(() => this.dismiss(key), PASSING_MS);
    this.#shown.set(key, { text, item, timer });
    this.#list.append(item);
    while (this.#shown.size > MAX_NOTICES) this.dismiss(this.#shown.keys().next().value);
  }

  /** Put a message away; harmless where there is none. */
  dismiss(key) {
    const shown = this.#shown.get(key);
    if (!shown) return;
    clearTimeout(shown.timer);
    shown.item.remove();
    this.#shown.delete(key);
  }

  /** Put all away. */
  clear() {
    for (const key of [...this.#shown.keys()]) this.dismiss(key);
  }
}
