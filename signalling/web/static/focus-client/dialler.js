/** Whom to dial, and when to dial again. */

import { isSameFocus } from "./room.js";

/** A focus needs a moment to see an invitation or a member event; until then "no" is no refusal. */
const SETTLE_MS = 12_000;
const PASSING = new Set(["not_in_call", "not_announced", "too_many_invites"]);
/** Pauses between dials double from the first to the last. Shorter: a focus that starts is met by a crowd. */
const FIRST_PAUSE_MS = 300;
const MAX_PAUSE_MS = 10_000;
/** The focus ended a leg as ours to end: the room's state, when it is here, says whether we are still meant to dial. */
const EXPLANATION_MS = 2_000;

/** There is no call, or no way to it: `code` for programs, the message for people. */
export class FocusError extends Error {
  constructor(code, text) {
    super(text);
    this.name = "FocusError";
    this.code = code;
    this.text = text;
  }
}

/** Holds one leg after the other, as long as this device takes part. */
export class Dialler {
  #room;
  #foci;
  #openLeg;
  #onAdvice;
  #signal;
  #advice = null;

  /**
   * @param {object} options
   * @param {import("./room.js").CallRoom} options.room
   * @param {object[]} options.foci                       best first
   * @param {(focus: object) => import("./leg.js").FocusLeg} options.openLeg   makes one that has not dialled yet
   * @param {(text: string) => void} options.onAdvice     whom to ask for what
   * @param {AbortSignal} options.signal                  from then on nobody is dialled
   */
  constructor({ room, foci, openLeg, onAdvice, signal }) {
    this.#room = room;
    this.#foci = [...foci];
    this.#openLeg = openLeg;
    this.#onAdvice = onAdvice;
    this.#signal = signal;
  }

  /** The focus that is used or dialled. */
  get focus() {
    return this.#foci[0];
  }

  /**
   * Dial on and on. Until the first leg was up each focus is tried once; later, for as long as it takes.
   *
   * @throws {FocusError}
   */
  async run() {
    let [failures, untried, since, hasBeenUp] = [0, this.#foci.length, Date.now(), false];
    while (!this.#signal.aborted) {
      const { focus } = this;
      const end = await this.#holdLeg(focus);
      if (this.#signal.aborted) return;
      hasBeenUp ||= end.wasOpen;
      const hasMoved = !isSameFocus(this.focus, focus);
      if (end.wasOpen || hasMoved) [failures, untried, since] = [0, this.#foci.length, Date.now()];
      if (end.wasOpen) {
        if (end.by === "hangup" && end.reason === "user_hangup") await this.#pause(EXPLANATION_MS);
        continue;
      }
      failures += 1;
      const maySettle = this.#advice === null && Date.now() - since < SETTLE_MS;
      const isPassing = maySettle && (PASSING.has(end.reason) || end.by === "hangup");
      if (!isPassing && !hasMoved) {
        if (end.reason === "not_in_call") this.#advise();
        this.#foci.push(this.#foci.shift());
        untried -= 1;
        if (untried <= 0 && !hasBeenUp) throw refusedBy(end);
      }
      await this.#pause(backOffMs(failures));
    }
  }

  /**
   * Prefer others from now on; whether there are any.
   *
   * @param {object[]} named   foci that the one which goes away has named
   */
  moveAway(named) {
    const [current, ...others] = this.#foci;
    const known = [...named, ...others].filter((one) => !isSameFocus(one, current));
    if (known.length > 0) this.#foci = [...known, current];
    return known.length > 0;
  }

  async #holdLeg(focus) {
    const leg = this.#openLeg(focus);
    const bring = async () => {
      this.#advice = await this.#room.bring(focus);
      // Whatever the room says: this focus may see the call in another way.
      leg.dial();
    };
    // The invite may overtake the member event (protocol: section 2.2).
    await Promise.all([bring(), this.#announce(focus, leg)]);
    return leg.ended;
  }

  async #announce(focus, leg) {
    try {
      await this.#room.announce(focus);
    } catch (error) {
      leg.hangUp("unknown_error");
      if (error.status !== 403) return; // Trouble of the homeserver passes.
      const text = this.#room.adviceOnAnnouncing();
      this.#onAdvice(text);
      throw new FocusError("member_refused", text);
    }
  }

  #advise() {
    const { user_id: userId } = this.focus;
    const text = `${userId} does not know this call. Ask somebody of its own server to invite it to the room.`;
    this.#onAdvice(this.#advice ?? text);
  }

  #pause(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(() => end(), ms);
      const end = () => {
        clearTimeout(timer);
        this.#signal.removeEventListener("abort", end);
        resolve();
      };
      this.#signal.addEventListener("abort", end);
    });
  }
}

function backOffMs(failures) {
  return Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), MAX_PAUSE_MS) * (0.8 + 0.4 * Math.random());
}

function refusedBy({ by, reason }) {
  if (by === "reject") return new FocusError(reason, `The focus has refused the call: ${reason}.`);
  if (reason === "invite_timeout") return new FocusError("no_answer", "The focus does not answer.");
  return new FocusError("not_connected", `There is no connection to the focus: ${reason}.`);
}
