/** The sections of one dial on which this client sends (protocol: sections 5, 7.2 and 7.4). */

import { sectionsOf } from "./sdp.js";

/** Which local stream is sent where; says in metadata what the description cannot. */
export class Senders {
  #pc;
  #prepare;
  #slots = [];

  /**
   * @param {RTCPeerConnection} pc
   * @param {(sender: RTCRtpSender, about: object) => void} prepare   called with every new sender
   */
  constructor(pc, prepare) {
    this.#pc = pc;
    this.#prepare = prepare;
  }

  /**
   * Send one kind of a stream: on a free section of our own, else on a new one.
   *
   * @param {import("./local.js").LocalStream} local
   * @param {"audio" | "video"} kind
   */
  async place(local, kind) {
    const slot = this.#slots.find((one) => one.local === null && isFree(one.transceiver, kind, local.encodings));
    if (slot === undefined) {
      this.#open(local, kind);
      return;
    }
    Object.assign(slot, { local, active: null });
    slot.transceiver.direction = local.direction;
    slot.transceiver.sender.setStreams(local.stream);
    await this.refresh(local, kind);
  }

  #open(local, kind) {
    const transceiver = this.#pc.addTransceiver(local.sending(kind) ?? kind, {
      direction: local.direction,
      streams: [local.stream],
      ...(kind === "video" ? { sendEncodings: local.encodings } : {}),
    });
    this.#slots.push({ local, kind, transceiver, active: null });
    this.#prepare(transceiver.sender, { kind, purpose: local.purpose, transceiver });
  }

  /** Send a stream no more; its sections are free once the focus has agreed. */
  async remove(local) {
    for (const slot of this.#slots.filter((one) => one.local === local)) {
      slot.local = null;
      slot.transceiver.direction = "inactive";
      await slot.transceiver.sender.replaceTrack(null);
    }
  }

  /** Whether a kind of a stream has a section. */
  has(local, kind) {
    return this.#slotOf(local, kind) !== undefined;
  }

  /** Send the track that a stream has now of a kind. */
  async refresh(local, kind) {
    const slot = this.#slotOf(local, kind);
    await slot.transceiver.sender.replaceTrack(local.sending(kind));
    await setEncodings(slot);
  }

  /**
   * Encode only these encodings of a track (`org.matrix_focus.layers`).
   *
   * @param {{track_id: string, active: string[]}} wanted
   */
  async activate({ track_id: trackId, active }) {
    const sections = sectionsOf(this.#pc.localDescription?.sdp);
    // A track is known by its own id: its stream's may have changed (protocol: section 7.4).
    const slot = this.#slots.find(({ transceiver }) => sections.get(transceiver.mid)?.trackId === trackId);
    if (slot === undefined || slot.kind !== "video") return;
    slot.active = new Set(active);
    await setEncodings(slot);
  }

  /** After a description: Chromium then encodes again whatever it does not call paused. */
  async restore() {
    for (const slot of this.#slots) {
      const { encodings } = slot.transceiver.sender.getParameters();
      if (encodings.some((encoding) => encoding.active !== isWanted(encoding, slot.active))) await setEncodings(slot);
    }
  }

  /**
   * All that is published, by the ids that stand in our SDP: they are not always those of the browser's objects.
   *
   * @param {{user_id: string, device_id: string}} owner
   */
  metadata(owner) {
    const sections = sectionsOf(this.#pc.localDescription?.sdp);
    const metadata = {};
    for (const { local, kind, transceiver } of this.#slots) {
      const { streamId, trackId } = sections.get(transceiver.mid) ?? {};
      if (local === null || !streamId || !trackId) continue;
      metadata[streamId] ??= { ...owner, ...local.describe(), tracks: {} };
      metadata[streamId].tracks[trackId] = { kind, ...local.sizeOf(kind) };
    }
    return metadata;
  }

  #slotOf(local, kind) {
    return this.#slots.find((one) => one.local === local && one.kind === kind);
  }
}

async function setEncodings({ local, kind, active, transceiver: { sender } }) {
  if (local === null || kind !== "video") return;
  const parameters = sender.getParameters();
  for (const [index, encoding] of parameters.encodings.entries()) {
    Object.assign(encoding, local.encodings[index]);
    encoding.active = isWanted(encoding, active);
  }
  await sender.setParameters(parameters);
}

/** Whether the focus wants an encoding; a section without rids has one. */
function isWanted({ rid }, active) {
  return active === null || (rid ? active.has(rid) : active.size > 0);
}

/** Whether a section can be used again for a kind, with just these encodings. */
function isFree({ currentDirection, sender, receiver }, kind, encodings) {
  if (currentDirection !== "inactive" || receiver.track.kind !== kind) return false;
  const rids = sender.getParameters().encodings.map(({ rid }) => rid);
  return kind === "audio" || String(rids) === String(encodings.map(({ rid }) => rid));
}
