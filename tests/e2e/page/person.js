// Somebody in a call, for the tests: the reference client with a camera, and no more than a test needs to look at it.

import { FocusClient } from "/focus-client.js";
import { MatrixHttp } from "/matrix-http.js";

const BIT_RATES = { f: 900000, h: 300000, q: 120000 };
const SCALES = { f: 1, h: 2, q: 4 };

export class Person {
  constructor({ session, room, width, height, frameRate }) {
    Object.assign(this, { width, height, frameRate });
    this.matrix = new MatrixHttp(session);
    this.client = new FocusClient(this.matrix, room);
    this.wantedHeight = 180;
    this.errors = [];
    this.advice = [];
    this.ends = [];
    this.offers = new Set();
    this.repeats = 0;
    this.messages = [];
    this.phases = [];
    this.speakers = [];
    const on = (type, step) => this.client.addEventListener(type, ({ detail }) => step(detail));
    on("streams", () => this.show(this.wantedHeight));
    on("track", ({ stream, track }) => this.play(stream, track));
    on("error", (error) => this.blame(error));
    on("advice", ({ text }) => this.advice.push(text));
    on("phase", ({ phase }) => this.phases.push(phase));
    on("speakers", ({ speakers }) => (this.speakers = speakers));
    on("message", (message) => this.hear(message));
  }

  async join(options = {}) {
    await this.matrix.start();
    const video = { width: this.width, height: this.height, frameRate: this.frameRate };
    const rids = Object.keys(SCALES);
    const encode = (rid) => ({ rid, scaleResolutionDownBy: SCALES[rid], maxBitrate: BIT_RATES[rid] });
    await this.client.join({
      stream: navigator.mediaDevices.getUserMedia({ audio: true, video }),
      videoEncodings: rids.map(encode),
      ...options,
    });
  }

  // Another camera, or the first one.
  async switchCamera() {
    const video = { width: this.width, height: this.height, frameRate: this.frameRate };
    const [track] = (await navigator.mediaDevices.getUserMedia({ video })).getTracks();
    await this.client.replaceTrack("video", track);
  }

  async leave() {
    await this.client.leave();
    await this.matrix.stop();
  }

  // Where the focus had to repeat an offer, as on a busy machine, it went another way, and is answered twice; what comes
  // that way may come when the focus waits for another answer. One such answer is forgiven for each repeat.
  blame({ code, text }) {
    const isSecondAnswer = code === "no_offer_pending" || text.startsWith("answer_mismatch: sections");
    if (isSecondAnswer && this.repeats > 0) this.repeats -= 1;
    else this.errors.push(`${code}: ${text}`);
  }

  hear(message) {
    this.messages.push(message);
    const { direction, type, content, note } = message;
    const { description } = content;
    if (direction === "in" && description?.type === "offer") {
      if (this.offers.has(description.sdp)) this.repeats += 1;
      this.offers.add(description.sdp);
    }
    const isEnd = type === "m.call.hangup" || type === "m.call.reject";
    if (direction === "in" && isEnd && !note) this.ends.push(content.reason ?? "");
  }

  // Every picture in tiles of this many lines, now and when others come.
  show(height) {
    this.wantedHeight = height;
    for (const streamId of this.client.streams.keys()) {
      this.client.show(streamId, { width: (height * 16) / 9, height });
    }
  }

  play({ streamId, media }, { kind }) {
    const id = `${kind} ${streamId}`;
    const element = document.getElementById(id) ?? document.createElement(kind);
    Object.assign(element, { id, autoplay: true, srcObject: media });
    document.getElementById("media").append(element);
  }

  // A "screen": a picture that changes all the time.
  async share() {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [this.width, this.height];
    const context = canvas.getContext("2d");
    let turn = 0;
    this.drawing = setInterval(() => {
      context.fillStyle = `hsl(${(turn += 7) % 360} 80% 50%)`;
      context.fillRect(0, 0, canvas.width, canvas.height);
    }, 100);
    this.screenId = await this.client.publish(canvas.captureStream(10));
  }

  // Share as soon as the next description of a type has been applied, before anything else is done with it.
  shareWithin(type) {
    const { pc } = this.client;
    pc.setRemoteDescription = async (description) => {
      await RTCPeerConnection.prototype.setRemoteDescription.call(pc, description);
      if (description.type !== type) return;
      delete pc.setRemoteDescription;
      this.share().catch((error) => this.errors.push(String(error)));
    };
  }

  async unshare() {
    clearInterval(this.drawing);
    await this.client.unpublish(this.screenId);
  }

  streams() {
    return [...this.client.streams.values()].map((stream) => ({
      user_id: stream.userId,
      purpose: stream.purpose,
      audio_muted: stream.audioMuted,
      video_muted: stream.videoMuted,
    }));
  }

  // What arrives: one row a received track, with its owner.
  async received() {
    const owners = new Map();
    for (const stream of this.client.streams.values()) {
      for (const { mid } of stream.tracks.values()) if (mid !== null) owners.set(mid, stream);
    }
    const rows = [];
    for (const stat of (await this.client.pc?.getStats())?.values() ?? []) {
      if (stat.type !== "inbound-rtp") continue;
      const stream = owners.get(stat.mid);
      rows.push({
        kind: stat.kind,
        mid: stat.mid,
        owner: stream?.userId ?? "",
        purpose: stream?.purpose ?? "",
        packets: stat.packetsReceived,
        lost: stat.packetsLost,
        frames: stat.framesDecoded ?? 0,
        height: stat.frameHeight ?? 0,
        freezesSeconds: stat.totalFreezesDuration ?? 0,
        energy: stat.totalAudioEnergy ?? 0,
        plis: stat.pliCount ?? 0,
      });
    }
    return rows;
  }

  // What is sent: one row an encoding.
  async sent() {
    const rows = [];
    for (const stat of (await this.client.pc?.getStats())?.values() ?? []) {
      if (stat.type !== "outbound-rtp") continue;
      rows.push({
        kind: stat.kind,
        mid: stat.mid,
        rid: stat.rid ?? "",
        frames: stat.framesEncoded ?? 0,
        bytes: stat.bytesSent,
        packets: stat.packetsSent,
        height: stat.frameHeight ?? 0,
        active: stat.active ?? true,
      });
    }
    return rows;
  }
}
