/** The panel's fourth tab: the call itself, its members, the focus, the path of media. */

import { element } from "./dom.js";
import { Hops } from "./hops.js";
import { PHASES, reachText } from "./sentences.js";
import { bitrateText } from "./stats.js";

const REACH = {
  here: "on this focus",
  hop: "through another focus",
  "other-focus": "on another focus",
  mesh: "calls directly",
};

/** Those who can be seen and heard. */
const REACHED = new Set(["here", "hop"]);

/** Shows a client's call, once a second while it is shown. */
export class CallTab {
  #client;
  #names;
  #stats;
  #me;
  #roomId;
  #encryption;
  #isShown = false;
  #measured;
  #facts = element("dl", { class: "facts facts-wide" });
  #members = element("ul", { class: "members" });
  #hops = new Hops();

  title = "Call";
  element = element(
    "div",
    { class: "tab-body" },
    this.#facts,
    this.#hops.element,
    element("h3", {}, "In the call"),
    this.#members,
  );

  /**
   * @param {FocusClient} client
   * @param {Names} names
   * @param {Stats} stats
   * @param {Measured} measured
   * @param {{userId: string, deviceId: string}} me
   * @param {string} roomId
   * @param {function(): string} encryption what there is to say of it
   */
  constructor(client, names, stats, measured, me, roomId, encryption) {
    this.#me = me;
    this.#client = client;
    this.#names = names;
    this.#stats = stats;
    this.#measured = measured;
    this.#roomId = roomId;
    this.#encryption = encryption;
    for (const type of ["phase", "members"]) client.addEventListener(type, () => this.#fill());
    stats.addEventListener("sample", () => this.#fill());
    measured.addEventListener("changed", () => this.#fill());
  }

  show() {
    this.#isShown = true;
    this.#measured.watch(this, true);
    this.#fill();
  }

  hide() {
    this.#isShown = false;
    this.#measured.watch(this, false);
  }

  #fill() {
    if (!this.#isShown) return;
    const { focus, phase, pc } = this.#client;
    const me = this.#me;
    const { connection } = this.#stats;
    const facts = [
      ["phase", PHASES[phase] ?? phase],
      ["room", this.#roomId],
      ["call (conf_id)", this.#client.confId ?? "none yet"],
      ["leg (call_id)", this.#client.callId ?? "none yet"],
      ["session", this.#client.sessionId ?? "none yet"],
      ["we", `${me.userId}, device ${me.deviceId}`],
      ["focus", focus ? `${focus.user_id}, device ${focus.device_id}` : "none yet"],
      ["media", this.#encryption()],
      ["ICE, DTLS", pc ? `${pc.iceConnectionState}, ${connection?.state ?? "new"}` : "no connection"],
    ];
    if (connection) {
      facts.push(
        ["our address", connection.local],
        ["focus's address", connection.remote],
        [
          "round trip",
          connection.roundTripMs === null ? "not measured yet" : `${connection.roundTripMs.toFixed(0)} ms`,
        ],
        ["sent, received", `${bitrateText(connection.sentBps)}, ${bitrateText(connection.receivedBps)}`],
      );
      if (connection.availableBps !== null) facts.push(["may send", bitrateText(connection.availableBps)]);
    }
    facts.push(...this.#measured.facts);
    this.#facts.replaceChildren(
      ...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]),
    );
    this.#hops.show(this.#measured.newest?.hops ?? []);
    this.#members.replaceChildren(
      element(
        "li",
        {},
        element("strong", {}, `${this.#names.of(me.userId)} (you)`),
        element("span", { class: "member-id" }, `${me.userId} ${me.deviceId}`),
      ),
      ...this.#client.members.map((member) => this.#member(member)),
    );
  }

  #member(member) {
    const name = this.#names.of(member.userId);
    const why = reachText(member, name);
    return element(
      "li",
      { "data-reach": member.reach },
      element("strong", {}, name),
      element(
        "span",
        { class: `pill${REACHED.has(member.reach) ? "" : " pill-off"}` },
        REACH[member.reach] ?? member.reach,
      ),
      element("span", { class: "member-id" }, `${member.userId} ${member.deviceId}`),
      why ? element("p", { class: "card-why" }, why) : null,
    );
  }
}
