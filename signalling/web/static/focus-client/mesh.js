/** Clients that know of no focus: they dial everybody in the call, device by device. */

import { envelopeOf } from "./post.js";

/** Tells them that only a focus is spoken to: without an answer they hold a camera and try again for minutes. */
export class MeshDials {
  #owner;
  #rejected = new Set();

  /** @param {{matrix: object, confId: string, sessionId: string, tell: (message: object) => void}} owner */
  constructor(owner) {
    this.#owner = owner;
  }

  /**
   * Reject an invite to this session, once; everything else of such a dial is ignored.
   *
   * @param {{type: string, sender: string, content: object}} event
   */
  receive({ type, sender, content }) {
    const { call_id: callId, conf_id: confId, device_id: deviceId, dest_session_id: sessionId } = content;
    const isForUs = confId === this.#owner.confId && sessionId === this.#owner.sessionId;
    if (type !== "m.call.invite" || !isForUs || !deviceId || this.#rejected.has(callId)) return;
    this.#rejected.add(callId);
    const envelope = envelopeOf(this.#owner, callId, content.sender_session_id);
    const reject = { ...envelope, seq: 0, reason: "focus_only" };
    this.#owner.tell({ direction: "out", via: "to-device", type: "m.call.reject", content: reject });
    this.#owner.matrix.sendToDevice("m.call.reject", { [sender]: { [deviceId]: reject } }).catch(() => {});
  }
}
