/** The panel's third tab: faults on demand, and what came of them. */

import { element } from "./dom.js";
import { FAULTS } from "./faults.js";
import { timeOf } from "./messages-tab.js";

/** More lines of what happened than these are of no use to anybody. */
const MAX_LINES = 200;

/** Shows a Faults: a switch each, and its log. */
export class FaultsTab {
  #faults;
  #buttons = new Map();
  #log = element("ol", { class: "fault-log", "aria-live": "polite", "aria-label": "What the faults did" });

  title = "Faults";
  element = element("div", { class: "tab-body" });

  /** @param {Faults} faults */
  constructor(faults) {
    this.#faults = faults;
    this.element.append(
      element(
        "p",
        { class: "hint" },
        "Each does to this leg what real networks and real clients do. The call should survive them all.",
      ),
      element("div", { class: "faults" }, ...FAULTS.map((fault) => this.#row(fault))),
      element("h3", {}, "What happened"),
      this.#log,
    );
    faults.addEventListener("log", ({ detail }) => this.#tell(detail));
    faults.addEventListener("changed", () => this.#mark());
  }

  show() {}

  hide() {}

  #row({ id, label, amount, expect }) {
    const input =
      amount &&
      element("input", {
        type: "number",
        class: "fault-amount",
        value: String(amount.value),
        min: String(amount.min),
        max: String(amount.max),
        step: String(amount.step),
        "aria-label": `${label}: ${amount.unit}`,
      });
    const button = element(
      "button",
      {
        type: "button",
        class: "small",
        "data-fault": id,
        "aria-pressed": "false",
        "aria-describedby": `fault-${id}`,
        onclick: () => this.#fire(id, input),
      },
      label,
    );
    this.#buttons.set(id, button);
    return element(
      "div",
      { class: "fault" },
      element(
        "div",
        { class: "fault-head" },
        button,
        input,
        amount ? element("span", { class: "unit" }, amount.unit) : null,
      ),
      element("p", { id: `fault-${id}`, class: "fault-expect" }, expect),
    );
  }

  async #fire(id, input) {
    const amount = input
      ? Math.min(Math.max(Number(input.value) || 0, Number(input.min)), Number(input.max))
      : undefined;
    try {
      await this.#faults.toggle(id, amount);
    } catch (error) {
      this.#tell({ fault: id, text: error.message, at: Date.now() });
    }
  }

  #mark() {
    for (const [id, button] of this.#buttons) button.setAttribute("aria-pressed", String(this.#faults.isArmed(id)));
  }

  #tell({ fault, text, at }) {
    const { label } = FAULTS.find(({ id }) => id === fault);
    this.#log.prepend(
      element(
        "li",
        { "data-fault": fault },
        element("time", { class: "log-time" }, timeOf(at)),
        element("strong", {}, label),
        ` ${text}`,
      ),
    );
    while (this.#log.childElementCount > MAX_LINES) this.#log.lastChild.remove();
  }
}
