/** The panel's first tab: every signalling message, to be opened, searched and copied. */

import { element, icon, setText } from "./dom.js";
import { summaryOf } from "./message-log.js";

/** Whether a message was ignored is known when it has been dealt with; by then that can be said. */
const NOTE_MS = 250;

const SIGNS = { in: "↓", out: "↑" };
const DIRECTIONS = { in: "from the focus", out: "from us" };

/** Shows a MessageLog. Rows are made while the tab is shown only. */
export class MessagesTab {
  #log;
  #rows = new Map();
  #list = element("ol", { class: "log-list", "aria-label": "Messages, oldest first" });
  #filter = element("input", {
    type: "search",
    placeholder: "Filter: type, direction, text…",
    "aria-label": "Filter messages",
  });
  #count = element("span", { class: "log-count", role: "status" });
  #copy = element("button", { type: "button", class: "small", onclick: () => this.#copyAll() }, "Copy all");
  #isShown = false;

  title = "Messages";
  element = element(
    "div",
    { class: "tab-body log" },
    element(
      "div",
      { class: "toolbar" },
      this.#filter,
      this.#count,
      this.#copy,
      element("button", { type: "button", class: "small", onclick: () => this.#log.clear() }, "Clear"),
    ),
    this.#list,
  );

  /** @param {MessageLog} log */
  constructor(log) {
    this.#log = log;
    this.#filter.addEventListener("input", () => this.#filterRows());
    log.addEventListener("entry", ({ detail }) => this.#add(detail));
    log.addEventListener("cleared", () => this.#fill());
  }

  /** Show what came meanwhile. */
  show() {
    this.#isShown = true;
    this.#fill();
    this.#list.scrollTop = this.#list.scrollHeight;
  }

  hide() {
    this.#isShown = false;
    this.#rows.clear();
    this.#list.replaceChildren();
  }

  #fill() {
    this.#rows.clear();
    this.#list.replaceChildren(...this.#log.entries.map((entry) => this.#row(entry)));
    this.#tell();
  }

  #add({ entry, dropped }) {
    if (!this.#isShown) return;
    const isAtEnd = this.#list.scrollTop + this.#list.clientHeight > this.#list.scrollHeight - 40;
    if (dropped) {
      this.#rows.get(dropped.number)?.remove();
      this.#rows.delete(dropped.number);
    }
    const row = this.#row(entry);
    this.#list.append(row);
    this.#tell();
    setTimeout(() => setText(row.querySelector(".log-note"), entry.note ?? ""), NOTE_MS);
    if (isAtEnd) this.#list.scrollTop = this.#list.scrollHeight;
  }

  #row(entry) {
    const json = element("pre", { class: "log-json", tabIndex: 0 });
    const details = element(
      "details",
      { class: "log-entry" },
      element(
        "summary",
        {},
        element("time", { class: "log-time" }, timeOf(entry.at)),
        element(
          "span",
          { class: `log-direction log-${entry.direction}`, title: DIRECTIONS[entry.direction] },
          SIGNS[entry.direction],
        ),
        element("span", { class: `log-via log-via-${entry.via}` }, entry.via),
        element("span", { class: "log-type" }, entry.type),
        element("span", { class: "log-summary" }, summaryOf(entry)),
        element("span", { class: "log-note" }, entry.note ?? ""),
      ),
      json,
    );
    details.addEventListener("toggle", () => {
      json.textContent = details.open ? textOf(entry) : "";
    });
    const row = element("li", { "data-type": entry.type, "data-direction": entry.direction }, details);
    row.hidden = !this.#fits(entry);
    this.#rows.set(entry.number, row);
    return row;
  }

  #fits(entry) {
    const words = this.#filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return true;
    const { direction, via, type, note = "", content } = entry;
    const text = [direction, via, type, summaryOf(entry), note, JSON.stringify(content)].join(" ");
    const lower = text.toLowerCase();
    return words.every((word) => lower.includes(word));
  }

  #filterRows() {
    for (const entry of this.#log.entries) {
      const row = this.#rows.get(entry.number);
      if (row) row.hidden = !this.#fits(entry);
    }
    this.#tell();
  }

  #tell() {
    const shown = [...this.#rows.values()].filter((row) => !row.hidden).length;
    const all = this.#log.entries.length;
    this.#count.textContent = shown === all ? `${all}` : `${shown} of ${all}`;
  }

  async #copyAll() {
    try {
      await navigator.clipboard.writeText(this.#log.toText());
      this.#copy.replaceChildren(icon("check"), "Copied");
    } catch {
      this.#copy.textContent = "The browser refused";
    }
    setTimeout(() => this.#copy.replaceChildren("Copy all"), 2000);
  }
}

/** SDP is read line by line: as a JSON string it is one line of a thousand characters. */
function textOf(entry) {
  const json = JSON.stringify(entry.content, null, 2);
  return json.replace(/^(\s*)"sdp": "(.*)"(,?)$/gm, (whole, indent, sdp, comma) => {
    const lines = JSON.parse(`"${sdp}"`).trimEnd().split(/\r?\n/);
    return `${indent}"sdp": "\n${lines.map((line) => `${indent}  ${line}`).join("\n")}\n${indent}"${comma}`;
  });
}

/** "14:03:22.104" */
export function timeOf(at) {
  const date = new Date(at);
  const padded = (number, length) => String(number).padStart(length, "0");
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map((number) => padded(number, 2)).join(":");
  return `${time}.${padded(date.getMilliseconds(), 3)}`;
}
