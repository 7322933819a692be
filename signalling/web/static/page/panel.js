/** The side panel for client developers: tabs over one call. */

import { byId, element } from "./dom.js";

/** Tabs after the ARIA pattern; at most one of them is shown, and only while the panel is. */
export class Panel {
  #panel = byId("panel");
  #tabs;
  #buttons;
  #current = 0;
  #onToggle;

  /**
   * @param {{title: string, element: HTMLElement, show: function(): void, hide: function(): void}[]} tabs
   * @param {function(boolean): void} onToggle is told whenever it opens or closes
   */
  constructor(tabs, onToggle) {
    this.#tabs = tabs;
    this.#onToggle = onToggle;
    this.#buttons = tabs.map((tab, index) => this.#button(tab, index));
    byId("panel-tabs").replaceChildren(...this.#buttons);
    byId("panel-body").replaceChildren(...tabs.map((tab, index) => this.#page(tab, index)));
    byId("panel-close").onclick = () => this.toggle(false);
    this.#mark();
  }

  get isOpen() {
    return !this.#panel.hidden;
  }

  /** Open or close it; without an argument, the other of the two. */
  toggle(isOpen = !this.isOpen) {
    if (isOpen === this.isOpen) return;
    this.#panel.hidden = !isOpen;
    document.body.classList.toggle("has-panel", isOpen);
    if (isOpen) this.#tabs[this.#current].show();
    else this.#tabs[this.#current].hide();
    this.#onToggle(isOpen);
  }

  /** Show a tab by its title, opening the panel if need be. */
  open(title) {
    this.#select(this.#tabs.findIndex((tab) => tab.title === title));
    this.toggle(true);
  }

  #button(tab, index) {
    return element(
      "button",
      {
        type: "button",
        role: "tab",
        id: `tab-${index}`,
        "aria-controls": `tab-body-${index}`,
        onclick: () => this.#select(index),
        onkeydown: (event) => this.#walk(event, index),
      },
      tab.title,
    );
  }

  #page(tab, index) {
    tab.element.id = `tab-body-${index}`;
    tab.element.setAttribute("role", "tabpanel");
    tab.element.setAttribute("aria-labelledby", `tab-${index}`);
    return tab.element;
  }

  #walk(event, index) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = (index + step + this.#tabs.length) % this.#tabs.length;
    this.#select(next);
    this.#buttons[next].focus();
    event.preventDefault();
  }

  #select(index) {
    if (index === this.#current) return;
    if (this.isOpen) this.#tabs[this.#current].hide();
    this.#current = index;
    this.#mark();
    if (this.isOpen) this.#tabs[index].show();
  }

  #mark() {
    for (const [index, tab] of this.#tabs.entries()) {
      const isCurrent = index === this.#current;
      this.#buttons[index].setAttribute("aria-selected", String(isCurrent));
      this.#buttons[index].tabIndex = isCurrent ? 0 : -1;
      tab.element.hidden = !isCurrent;
    }
  }
}
