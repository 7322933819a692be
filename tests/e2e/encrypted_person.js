// A participant with media keys, without, or one who keeps what it can't read: FocusClient, MatrixHttp and MediaKeys as
// the page puts them together. Evaluated in any document that the focus serves.

async () => {
const { FocusClient } = await import("/focus-client.js");
const { MatrixHttp } = await import("/matrix-http.js");
const { MediaKeys } = await import("/media-keys/media-keys.js");
const { FrameRefused, keyContext } = await import("/media-keys/frame-cipher.js");
const { KeyRing } = await import("/media-keys/key-ring.js");
const { readKeyMessage } = await import("/media-keys/key-message.js");

const KEPT_FRAMES = 400;

class EncryptedPerson {
  constructor(options) {
    // session, roomId, confId, focus, width, height, frameRate, role: "encrypts", "plain" or "records"
    Object.assign(this, options);
    this.errors = [];
    this.speakers = [];
    this.givenKeys = []; // {sender, content}: as they came over Olm
    this.recorded = []; // {owner, mid, kind, data}
    this.keys = null;
    this.wantedHeight = options.height;
    globalThis.addEventListener("error", (event) => this.errors.push(event.message));
    globalThis.addEventListener("unhandledrejection", (event) => this.errors.push(String(event.reason)));
  }

  async prepare() {
    this.stream = await navigator.mediaDevices.getUserMedia({
      audio: true,
      video: { width: this.width, height: this.height, frameRate: this.frameRate },
    });
    this.matrix = new MatrixHttp(this.session);
    await this.matrix.start();
    await this.matrix.watchRoom(this.roomId);
    if (this.role === "encrypts") {
      this.keys = await MediaKeys.open({ matrix: this.matrix, roomId: this.roomId });
    }
    this.matrix.addEventListener("to-device", ({ detail: { type, sender, content } }) => {
      if (type === "org.matrix_focus.media_keys") this.givenKeys.push({ sender, content });
    });
    this.client = new FocusClient(this.matrix, { roomId: this.roomId, confId: this.confId, focus: this.focus });
    this.keys?.attach(this.client);
    this.client.addEventListener("track", ({ detail }) => this.play(detail.track));
    this.client.addEventListener("streams", () => this.show());
    this.client.addEventListener("speakers", ({ detail }) => (this.speakers = detail.speakers));
    this.client.addEventListener("error", ({ detail }) => {
      // What the focus refuses is other tests' concern: on a busy machine an offer is sent twice, and answered twice.
      if (detail.code === "client") this.errors.push(detail.text);
    });
  }

  async join() {
    await this.prepare();
    const videoEncodings = [
      { rid: "f", scaleResolutionDownBy: 1, maxBitrate: 900_000 },
      { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 300_000 },
      { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 120_000 },
    ];
    this.joinedAt = performance.now();
    await this.client.join({ stream: this.stream, videoEncodings, ...this.hooks() });
  }

  hooks() {
    switch (this.role) {
      case "encrypts":
        return { prepareSender: this.keys.prepareSender, prepareReceiver: this.keys.prepareReceiver };
      case "records":
        // Chromium's older way, on the page's own thread: a worker of a test's has no file that the focus serves.
        return {
          rtcConfiguration: { iceServers: [], encodedInsertableStreams: true },
          prepareSender: (sender) => passOn(sender.createEncodedStreams()),
          prepareReceiver: (receiver, { kind, transceiver }) => {
            if (receiver.isRecorded) return;
            receiver.isRecorded = true;
            passOn(receiver.createEncodedStreams(), (data) => this.record(transceiver.mid, kind, data));
          },
        };
      default:
        return {};
    }
  }

  record(mid, kind, data) {
    const stream = [...this.client.streams.values()].find(({ tracks }) =>
      [...tracks.values()].some((track) => track.mid === mid));
    this.recorded.push({ owner: stream?.userId, mid, kind, data: data.slice() });
    this.recorded.splice(0, this.recorded.length - KEPT_FRAMES);
  }

  // How the recorded frames of somebody fare with keys as somebody got them: {opened, refused reason: count …}
  async openRecorded(owner, givenKeys, frames = this.recorded) {
    const rings = new Map();
    for (const { sender, content } of givenKeys) {
      const key = readKeyMessage(sender, content);
      if (sender !== owner) continue;
      const context = keyContext(key);
      if (!rings.has(context)) rings.set(context, new KeyRing(context));
      rings.get(context).add(key.index, key.step, key.material);
    }
    const outcome = { opened: 0 };
    for (const { data, kind } of frames.filter((frame) => frame.owner === owner)) {
      let reason = "noKey";
      for (const ring of rings.values()) {
        try {
          await ring.open(data, kind, 0);
          reason = "opened";
        } catch (error) {
          if (!(error instanceof FrameRefused)) throw error;
          reason = error.reason;
        }
      }
      outcome[reason] = (outcome[reason] ?? 0) + 1;
    }
    return outcome;
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
    element.addEventListener("loadeddata", () => {
      if (receiver.track.kind === "video") this.firstPictureMs ??= performance.now() - this.joinedAt;
    });
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
    const report = [...((await this.client.pc?.getStats())?.values() ?? [])];
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
          height: stat.frameHeight ?? 0,
          freezesSeconds: stat.totalFreezesDuration ?? 0,
          energy: stat.totalAudioEnergy ?? 0,
        });
      }
    }
    return rows;
  }

  party(userId) {
    return [...this.keys.parties.values()].find((party) => party.userId === userId) ?? null;
  }
}

function passOn({ readable, writable }, look = () => {}) {
  const transform = (frame, controller) => {
    look(new Uint8Array(frame.data));
    controller.enqueue(frame);
  };
  readable.pipeThrough(new TransformStream({ transform })).pipeTo(writable).catch(() => {});
}

window.EncryptedPerson = EncryptedPerson;
}
