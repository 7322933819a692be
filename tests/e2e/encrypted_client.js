// A participant with or without media keys: FocusClient, MatrixHttp and MediaKeys as the page puts them together.
// Evaluated in any document that the focus serves.

async () => {
const { FocusClient } = await import("/focus-client.js");
const { MatrixHttp } = await import("/matrix-http.js");
const { MediaKeys } = await import("/media-keys/media-keys.js");

class EncryptedClient {
  constructor(options) {
    Object.assign(this, options); // session, roomId, confId, focus, width, height, frameRate, encrypts
    this.errors = [];
    this.speakers = [];
    this.states = [];
    this.givenKeys = [];
    this.keys = null;
    this.wantedHeight = options.height;
    globalThis.addEventListener("error", (event) => this.errors.push(event.message));
    globalThis.addEventListener("unhandledrejection", (event) => this.errors.push(String(event.reason)));
  }

  async join() {
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: true,
      video: { width: this.width, height: this.height, frameRate: this.frameRate },
    });
    this.matrix = new MatrixHttp(this.session);
    await this.matrix.start();
    await this.matrix.watchRoom(this.roomId);
    if (this.encrypts) {
      this.keys = await MediaKeys.open({ matrix: this.matrix, roomId: this.roomId });
      this.keys.addEventListener("state", ({ detail }) => this.states.push(detail));
    }
    this.matrix.addEventListener("to-device", ({ detail }) => {
      if (detail.type === "org.matrix_focus.media_keys") this.givenKeys.push(detail);
    });
    this.client = new FocusClient(this.matrix, { roomId: this.roomId, confId: this.confId, focus: this.focus });
    this.keys?.attach(this.client);
    this.client.addEventListener("track", ({ detail }) => this.play(detail.track));
    this.client.addEventListener("streams", () => this.show());
    this.client.addEventListener("speakers", ({ detail }) => (this.speakers = detail.speakers));
    this.client.addEventListener("error", ({ detail }) => this.errors.push(`${detail.code}: ${detail.text}`));
    const hooks = this.keys === null
      ? {}
      : { prepareSender: this.keys.prepareSender, prepareReceiver: this.keys.prepareReceiver };
    const videoEncodings = [
      { rid: "f", scaleResolutionDownBy: 1, maxBitrate: 900_000 },
      { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 300_000 },
      { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 120_000 },
    ];
    this.joinedAt = performance.now();
    await this.client.join({ stream, videoEncodings, ...hooks });
  }

  async leave() {
    await this.client.leave();
    this.keys?.close();
    await this.matrix.stop();
  }

  // Sound that is not played is not decoded.
  play({ receiver }) {
    const element = document.createElement(receiver.track.kind);
    element.autoplay = true;
    element.srcObject = new MediaStream([receiver.track]);
    document.body.append(element);
  }

  subscribe(height) {
    this.wantedHeight = height;
    this.show();
  }

  show() {
    const size = { width: Math.round((this.wantedHeight * 16) / 9), height: this.wantedHeight };
    for (const streamId of this.client.streams.keys()) this.client.show(streamId, size);
  }

  // What arrives: one row a received track, with its owner.
  async received() {
    const report = [...(await this.client.pc.getStats()).values()];
    const rows = [];
    for (const { userId, purpose, tracks } of this.client.streams.values()) {
      for (const { mid, kind } of tracks.values()) {
        const stat = report.find((one) => one.type === "inbound-rtp" && one.mid === mid);
        if (mid === null || stat === undefined) continue;
        rows.push({
          kind,
          mid,
          owner: userId,
          purpose,
          packets: stat.packetsReceived,
          lost: stat.packetsLost,
          frames: stat.framesDecoded ?? 0,
          keyFrames: stat.keyFramesDecoded ?? 0,
          height: stat.frameHeight ?? 0,
          freezesSeconds: stat.totalFreezesDuration ?? 0,
          energy: stat.totalAudioEnergy ?? 0,
          concealed: stat.concealedSamples ?? 0,
          plis: stat.pliCount ?? 0,
        });
      }
    }
    return rows;
  }

  // Who is there, by the newest metadata.
  get metadata() {
    return Object.fromEntries([...this.client.streams].map(([id, stream]) => [id, { user_id: stream.userId }]));
  }

  party(userId) {
    return [...this.keys.parties.values()].find((party) => party.userId === userId) ?? null;
  }
}

window.EncryptedClient = EncryptedClient;
}
