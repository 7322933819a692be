/** The line above a call: which room, how many people, how it is connected, whether it is encrypted. */

import { linkTo } from "./address.js";
import { byId, element, icon, setText } from "./dom.js";
import { PHASES, countText } from "./sentences.js";

/** Shows what it is told. */
export class CallHeader {
  #matrix;
  #roomId;
  #notices;

  /**
   * @param {Matrix} matrix the Matrix port
   * @param {string} roomId
   * @param {Notices} notices
   * @param {AbortSignal} signal ends it
   */
  constructor(matrix, roomId, notices, signal) {
    this.#matrix = matrix;
    this.#roomId = roomId;
    this.#notices = notices;
    // A widget does not know where its host's homeserver is, and its room is where the link would lead.
    byId("copy-link").hidden = !matrix.session;
    byId("copy-link").addEventListener("click", () => this.#copyLink(), { signal });
  }

  /**
   * @param {string} room its name; empty where it has none
   * @param {number} count of people, us among them
   */
  showPeople(room, count) {
    setText(byId("call-count"), countText(count));
    setText(byId("call-title"), room || "Call");
    document.title = `${room || "Call"} · matrix-focus`;
  }

  /** @param {string} phase of FocusClient */
  showPhase(phase) {
    setText(byId("call-phase"), PHASES[phase] ?? phase);
    byId("call-phase").dataset.phase = phase;
    byId("call").dataset.phase = phase;
  }

  /** @param {Encryption} encryption */
  showEncryption({ isOn, state }) {
    const place = byId("call-encryption");
    const text = isOn ? state.text : "Not end-to-end encrypted";
    place.replaceChildren(icon(isOn ? "lock" : "lock-open"), element("span", {}, text));
    place.classList.toggle("is-on", isOn && state.ok);
    place.title = isOn ? state.text : "The focus can see and hear this call. It could be switched on before joining.";
  }

  async #copyLink() {
    const link = linkTo(this.#matrix.session.baseUrl, this.#roomId);
    try {
      await navigator.clipboard.writeText(link);
      this.#notices.show("The link is in the clipboard.", { key: "link" });
    } catch {
      this.#notices.show(`The browser does not let the page copy. The link is ${link}`, { key: "link", lasting: true });
    }
  }
}
