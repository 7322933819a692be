/** The bar of buttons in a call, and all keys. */

import { byId, setIcon, setText } from "./dom.js";

const KEYS = { m: "mic", v: "camera", s: "share", l: "layout", p: "panel" };

/** @typedef {"mic"|"camera"|"share"|"layout"|"devices"|"panel"|"leave"} ControlName */

/** Buttons that tell somebody else what to do, and show what is so. */
export class Controls {
  #buttons = new Map();
  #press;
  #pin;
  #stop = new AbortController();

  /**
   * @param {object} acts
   * @param {function(ControlName): void} acts.press is told of every button's click or key
   * @param {function(number): void} acts.pin is told of the keys 1 to 9
   */
  constructor({ press, pin }) {
    this.#press = press;
    this.#pin = pin;
    const { signal } = this.#stop;
    for (const button of byId("call").querySelectorAll("[data-control]")) {
      this.#buttons.set(button.dataset.control, button);
      button.addEventListener("click", () => this.#press(button.dataset.control), { signal });
    }
    document.addEventListener("keydown", (event) => this.#key(event), { signal });
  }

  /**
   * Show how everything stands.
   *
   * @param {{mic: boolean, camera: boolean, isSharing: boolean, isPanelOpen: boolean, layout: "grid"|"speaker"}} state
   */
  showState({ mic, camera, isSharing, isPanelOpen, layout }) {
    this.#show("mic", {
      pressed: mic,
      icon: mic ? "mic" : "mic-off",
      title: `Turn the microphone ${mic ? "off" : "on"}`,
    });
    this.#show("camera", {
      pressed: camera,
      icon: camera ? "camera" : "camera-off",
      title: `Turn the camera ${camera ? "off" : "on"}`,
    });
    this.#show("share", { pressed: isSharing, label: isSharing ? "Stop sharing" : "Share screen" });
    const other = layout === "grid" ? "speaker" : "grid";
    this.#show("layout", { icon: other, label: other === "grid" ? "Grid view" : "Speaker view" });
    this.#show("panel", { pressed: isPanelOpen, title: "Panel for client developers" });
    for (const name of ["devices", "leave"]) this.#show(name, {});
  }

  /** React no more. */
  close() {
    this.#stop.abort();
  }

  #show(name, { pressed, icon, label, title }) {
    const button = this.#buttons.get(name);
    const text = button.querySelector("span");
    const key = button.getAttribute("aria-keyshortcuts");
    if (pressed !== undefined) button.setAttribute("aria-pressed", String(pressed));
    if (icon) setIcon(button, icon);
    if (label) setText(text, label);
    button.title = `${title ?? text.textContent}${key ? ` (${key})` : ""}`;
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target.closest("input, select, textarea, dialog, [role=tablist], pre")) return;
    if (/^[1-9]$/.test(event.key)) this.#pin(Number(event.key));
    const name = KEYS[event.key.toLowerCase()];
    if (!name || this.#buttons.get(name).disabled) return;
    event.preventDefault();
    this.#press(name);
  }
}
