/** What a host lets its widget do: asked for when the page has loaded, or later (MSC2871, MSC2974). */

import { WidgetError } from "./widget-channel.js";
import { comes, promiseWithResolvers } from "./widget-waiting.js";

const REQUEST_CAPABILITIES = "org.matrix.msc2974.request_capabilities";

/**
 * After the frame has loaded: how long to wait for the host's question, and again after telling it that we are there.
 * Shorter: its person is asked twice where one question was on its way. Longer: a host that asked too early waits.
 */
const NUDGE_MS = 500;
/** From then on, without a word of a host, there is none. Shorter: a busy host counts as none. */
const SILENCE_MS = 5_000;
/** How long permissions that are asked for later may wait for the host's person. */
const LATER_MS = 60_000;

/** The permissions of one widget. */
export class WidgetPermissions {
  #channel;
  #wanted;
  #approved = new Set();
  #asked = promiseWithResolvers();
  #decided = promiseWithResolvers();
  #decisions = new EventTarget();
  #isDecided = false;

  /**
   * @param {WidgetChannel} channel
   * @param {Capability[]} wanted what the host is told when it asks
   */
  constructor(channel, wanted) {
    this.#channel = channel;
    this.#wanted = wanted;
    channel.handle("capabilities", () => {
      this.#asked.resolve();
      return { capabilities: this.#ids() };
    });
    channel.handle("notify_capabilities", (data) => this.#notified(data));
  }

  /**
   * @param {string} capability
   * @returns {boolean} whether the host has approved it
   */
  has(capability) {
    return this.#approved.has(capability);
  }

  /** @returns {Capability[]} what was wanted and is not approved */
  missing() {
    return this.#wanted.filter(({ id }) => !this.#approved.has(id));
  }

  /**
   * Wait for the host's decision, for as long as its person thinks. A second time it is asked again for what it did not
   * approve.
   *
   * @throws {WidgetError} no host answers
   */
  async agree() {
    if (this.#isDecided) await this.askFor(...this.missing().map(({ id }) => id));
    else await this.#agreeAtFirst();
  }

  /**
   * Ask for more, or again.
   *
   * @param {...string} capabilities
   * @returns {Promise<boolean>} whether they are all approved
   */
  async askFor(...capabilities) {
    if (capabilities.length === 0) return true;
    const decided = new Promise((resolve) => {
      const listener = ({ detail }) => {
        if (!detail.requested.includes(capabilities[0])) return;
        this.#decisions.removeEventListener("decision", listener);
        resolve();
      };
      this.#decisions.addEventListener("decision", listener);
    });
    try {
      await this.#channel.request(REQUEST_CAPABILITIES, { capabilities });
    } catch {
      return false; // A host that does not know the question.
    }
    await comes(decided, LATER_MS);
    return capabilities.every((one) => this.#approved.has(one));
  }

  async #agreeAtFirst() {
    await loaded();
    if (await comes(this.#asked.promise, NUDGE_MS)) return this.#decided.promise;
    // For hosts that were told to wait for this word; others refuse it.
    this.#channel.request("content_loaded", {}).catch(() => {});
    if (await comes(this.#asked.promise, NUDGE_MS)) return this.#decided.promise;
    // The host asked before anybody listened.
    const answered = this.#channel.request(REQUEST_CAPABILITIES, { capabilities: this.#ids() });
    if (await comes(Promise.any([answered, this.#asked.promise]), SILENCE_MS)) return this.#decided.promise;
    throw new WidgetError("The page was opened as a widget, but no Matrix client answers it.");
  }

  #ids() {
    return this.#wanted.map(({ id }) => id);
  }

  #notified({ requested, approved }) {
    if (!Array.isArray(approved)) throw new WidgetError("no list of what is approved");
    for (const id of approved) this.#approved.add(id);
    this.#asked.resolve();
    this.#decided.resolve();
    this.#isDecided = true;
    const detail = { requested: Array.isArray(requested) ? requested : [] };
    this.#decisions.dispatchEvent(new CustomEvent("decision", { detail }));
  }
}

function loaded() {
  if (document.readyState === "complete") return Promise.resolve();
  return new Promise((resolve) => window.addEventListener("load", resolve, { once: true }));
}
