/** The bar of buttons in a call, and their keys. */

import { byId, setIcon, setText } from "./dom.js";

const KEYS = { m: "mic", v: "camera", s: "share", l: "layout", p: "panel" };

/** @typedef {"mic"|"camera"|"share"|"layout"|"devices"|"panel"|"leave"} ControlName */

/** Buttons that tell somebody else what to do, and show what is so. */
export class Controls {
  #buttons = new Map();
  #press;
  #stop = new AbortController();

  /** @param {function(ControlName): void} press is told of every click and key */
  constructor(press) {
    this.#press = press;
    const { signal } = this.#stop;
    for (const button of byId("call").querySelectorAll("[data-control]")) {
      this.#buttons.set(button.dataset.control, button);
      button.addEventListener("click", () => this.#press(button.dataset.control), { signal });
    }
    document.addEventListener("keydown", (event) => this.#key(event), { signal });
  }

  /**
   * Show how something stands.
   *
   * @param {ControlName} name
   * @param {{pressed?: boolean, icon?: string, label?: string, disabled?: boolean, title?: string}} state
   */
  show(name, { pressed, icon, label, disabled, title }) {
    const button = this.#buttons.get(name);
    if (pressed !== undefined) button.setAttribute("aria-pressed", String(pressed));
    if (icon) setIcon(button, icon);
    if (label) setText(button.querySelector("span"), label);
    if (disabled !== undefined) button.disabled = disabled;
    button.title = title ?? `${button.querySelector("span").textContent}${this.#hint(button)}`;
  }

  /** React no more. */
  close() {
    this.#stop.abort();
  }

  #hint(button) {
    const key = button.getAttribute("aria-keyshortcuts");
    return key ? ` (${key})` : "";
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target.closest("input, select, textarea, dialog, [role=tablist], pre")) return;
    const name = KEYS[event.key.toLowerCase()];
    if (!name || this.#buttons.get(name).disabled) return;
    event.preventDefault();
    this.#press(name);
  }
}
