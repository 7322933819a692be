/** The way through the network: told to the focus, watched, and mended where it breaks (protocol: section 7.7). */

/** Candidates come in bursts: one request for several. */
const CANDIDATES_MS = 150;
/** A connection that stutters often comes back by itself. Lower: restarts for nothing. Higher: a longer freeze. */
const DISCONNECTED_MS = 2_000;
/** A restart that has not helped by then will not. */
const RESTART_PATIENCE_MS = 8_000;

/**
 * Tell when this machine has moved to another network: the old way is dead then, however long ICE takes to notice.
 *
 * @param {() => void} onMove
 * @param {AbortSignal} signal
 */
export function watchNetwork(onMove, signal) {
  globalThis.addEventListener("online", onMove, { signal });
  const { connection } = navigator;
  let type = connection?.type;
  const compare = () => {
    if (connection.type !== type) onMove();
    type = connection.type;
  };
  // It tells of changed estimates, too.
  connection?.addEventListener("change", compare, { signal });
}

/** Watches one peer connection. */
export class IceWatch {
  #pc;
  #hooks;
  #signal;
  #candidates = [];
  #sending = null;
  #mending = null;
  #restarts = 0;

  /**
   * @param {RTCPeerConnection} pc
   * @param {object} hooks
   * @param {(candidates: object[]) => void} hooks.send   tells candidates; a last one that is empty ends them
   * @param {(isUp: boolean) => void} hooks.onChange
   * @param {() => void} hooks.restart                    starts ICE anew
   * @param {() => void} hooks.giveUp                     nothing has helped
   * @param {AbortSignal} signal                          from then on nothing is watched
   */
  constructor(pc, hooks, signal) {
    this.#pc = pc;
    this.#hooks = hooks;
    this.#signal = signal;
    pc.addEventListener("icecandidate", ({ candidate }) => this.#gathered(candidate), { signal });
    pc.addEventListener("iceconnectionstatechange", () => this.#changed(), { signal });
    signal.addEventListener("abort", () => [this.#sending, this.#mending].forEach(clearTimeout));
  }

  #gathered(candidate) {
    // Some browsers tell the end of a generation as an empty candidate, and the end of all as none.
    if (candidate?.candidate === "") return;
    this.#candidates.push(candidate?.toJSON() ?? { candidate: "" });
    if (candidate === null) this.#send();
    else this.#sending ??= setTimeout(() => this.#send(), CANDIDATES_MS);
  }

  #send() {
    clearTimeout(this.#sending);
    this.#sending = null;
    this.#hooks.send(this.#candidates.splice(0));
  }

  #changed() {
    switch (this.#pc.iceConnectionState) {
      case "connected":
      case "completed":
        clearTimeout(this.#mending);
        this.#restarts = 0;
        this.#hooks.onChange(true);
        break;
      case "disconnected":
        this.#hooks.onChange(false);
        if (this.#restarts === 0) this.#mendAfter(DISCONNECTED_MS);
        break;
      case "failed":
        this.#hooks.onChange(false);
        this.#mend();
    }
  }

  #mend() {
    if (this.#restarts > 0) {
      this.#hooks.giveUp();
      return;
    }
    this.#restarts += 1;
    this.#mendAfter(RESTART_PATIENCE_MS);
    this.#hooks.restart();
  }

  #mendAfter(delayMs) {
    clearTimeout(this.#mending);
    if (!this.#signal.aborted) this.#mending = setTimeout(() => this.#mend(), delayMs);
  }
}
