// What the browser bench does inside a tab: a source that flashes and beeps, a viewer, and clocks for both.
// It is put into every document by the bench; the client under it is the focus's own (`/focus-client.js`).
"use strict";

window.bench = (() => {
  const TONE_HZ = 330;
  const TONE = 0.05; // heard all the time: the first audible sound is the first one that arrives
  const BEEP_HZ = 1500;
  const BEEP = 0.8;
  const BEEP_S = 0.1;
  const AUDIBLE = 0.005; // root mean square, on a scale to 1
  const BEEPING = 0.15;
  const LISTEN_MS = 4;
  const FLASH_EDGE = 128; // brightness, of 255

  const wall = () => performance.timeOrigin + performance.now();
  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

  // --- what is sent: a moving picture whose corner flashes while the sound beeps, once a second -------------

  function source(width, height, fps) {
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d", { alpha: false });
    const audio = new AudioContext();
    const tone = audio.createOscillator();
    const beep = audio.createOscillator();
    const toneGain = new GainNode(audio, { gain: TONE });
    const beepGain = new GainNode(audio, { gain: 0 });
    const out = audio.createMediaStreamDestination();
    tone.frequency.value = TONE_HZ;
    beep.frequency.value = BEEP_HZ;
    tone.connect(toneGain).connect(out);
    beep.connect(beepGain).connect(out);
    tone.start();
    beep.start();
    let second = 0;
    let flashUntil = 0;
    let turn = 0;
    setInterval(() => {
      const now = performance.now();
      if (Math.floor(now / 1000) !== second) {
        second = Math.floor(now / 1000);
        flashUntil = now + 1000 * BEEP_S;
        beepGain.gain.setValueAtTime(BEEP, audio.currentTime);
        beepGain.gain.setValueAtTime(0, audio.currentTime + BEEP_S);
      }
      turn += 1;
      const step = Math.round(height / 12);
      for (let y = 0; y < height; y += step) {
        context.fillStyle = `hsl(${(turn * 5 + y) % 360} 60% ${30 + ((turn + y / step) % 8) * 4}%)`;
        context.fillRect(0, y, width, step);
      }
      context.fillStyle = "#fff";
      context.fillRect(((turn * 9) % width) - 40, height / 2, 80, 80);
      context.fillStyle = now < flashUntil ? "#fff" : "#000";
      context.fillRect(0, 0, width / 3, height / 3);
    }, 1000 / fps);
    const stream = canvas.captureStream(fps);
    stream.addTrack(out.stream.getAudioTracks()[0]);
    return stream;
  }

  // --- what is watched: every shown frame of one video ------------------------------------------------------

  class Watch {
    constructor(media) {
      this.frames = []; // {at, height}, wall clock in ms
      this.flashes = [];
      this.video = Object.assign(document.createElement("video"), { autoplay: true, muted: true, playsInline: true });
      this.video.srcObject = new MediaStream(media.getVideoTracks());
      document.body.append(this.video);
      this.canvas = new OffscreenCanvas(1, 1);
      this.pen = this.canvas.getContext("2d", { willReadFrequently: true });
      this.wasBright = true;
      const each = (now, frame) => {
        this.frames.push({ at: performance.timeOrigin + now, height: frame.height });
        if (this.looksForFlashes) this.look(performance.timeOrigin + frame.expectedDisplayTime);
        this.video.requestVideoFrameCallback(each);
      };
      this.video.requestVideoFrameCallback(each);
    }

    look(at) {
      const { videoWidth: width, videoHeight: height } = this.video;
      this.pen.drawImage(this.video, width / 12, height / 12, width / 6, height / 6, 0, 0, 1, 1);
      const isBright = this.pen.getImageData(0, 0, 1, 1).data[1] > FLASH_EDGE;
      if (isBright && !this.wasBright) this.flashes.push(at);
      this.wasBright = isBright;
    }

    close() {
      this.video.srcObject = null;
      this.video.remove();
    }
  }

  class Ear {
    constructor(media) {
      this.beeps = [];
      this.heardAt = null;
      this.stream = new MediaStream(media.getAudioTracks());
      // Chromium decodes the sound of a connection only for an element.
      this.element = Object.assign(new Audio(), { srcObject: this.stream, muted: true });
      this.element.play();
      this.audio = new AudioContext();
      const analyser = new AnalyserNode(this.audio, { fftSize: 256 });
      this.audio.createMediaStreamSource(this.stream).connect(analyser);
      const samples = new Float32Array(analyser.fftSize);
      let wasBeeping = true;
      this.timer = setInterval(() => {
        analyser.getFloatTimeDomainData(samples);
        const level = Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
        if (level > AUDIBLE && this.heardAt === null) this.heardAt = wall();
        if (level > BEEPING && !wasBeeping) this.beeps.push(wall());
        wasBeeping = level > BEEPING;
      }, LISTEN_MS);
    }

    close() {
      clearInterval(this.timer);
      this.element.srcObject = null;
      this.audio.close();
    }
  }

  // --- one participant --------------------------------------------------------------------------------------

  class Participant {
    // options: {session, roomId, focus, size: {width, height, fps}, relayPort}
    constructor(options) {
      this.options = options;
      this.relayPort = options.relayPort ?? null;
      this.marks = {};
      this.watched = new Map(); // stream id -> {watch, ear}
      this.wanted = options.wanted ?? { width: 320, height: 180 };
    }

    async join() {
      const { FocusClient } = await import("/focus-client.js");
      const { MatrixHttp } = await import("/matrix-http.js");
      const { session, roomId, focus, size } = this.options;
      this.matrix = new MatrixHttp(session);
      await this.matrix.start();
      this.client = new FocusClient(this.matrix, { roomId, focus });
      this.client.wire = { outgoing: async (message) => message, incoming: async (message) => this.rerouted(message) };
      this.client.addEventListener("message", ({ detail }) => {
        if (detail.direction !== "out") return;
        if (detail.type === "m.call.invite") this.marks.invite ??= wall();
        // Pictures have a size, sound has none.
        if (detail.content.subscribe?.some(({ height }) => height > 0)) this.marks.subscription ??= wall();
      });
      for (const type of ["streams", "track"]) this.client.addEventListener(type, () => this.follow());
      this.local ??= source(size.width, size.height, size.fps);
      await this.client.join({ stream: this.local });
      this.follow();
    }

    // Descriptions of the focus name the relay's port instead of its own, and no way around it.
    rerouted(message) {
      if (this.relayPort === null) return message;
      const description = message.content.answer ?? message.content.description;
      if (description?.sdp) {
        description.sdp = description.sdp
          .replace(/^a=candidate:\S+ \d+ tcp .*\r?\n/gim, "")
          .replace(/^(a=candidate:\S+ \d+ udp \d+) \S+ \d+ /gim, `$1 127.0.0.1 ${this.relayPort} `);
      }
      return message;
    }

    follow() {
      for (const [streamId, { watch, ear }] of this.watched) {
        if (this.client.streams.has(streamId)) continue;
        watch?.close();
        ear?.close();
        this.watched.delete(streamId);
      }
      for (const [streamId, stream] of this.client.streams) {
        const media = stream.media;
        if (!media || stream.purpose !== "m.usermedia") continue;
        const watched = this.watched.get(streamId) ?? {};
        if (!this.watched.has(streamId)) {
          this.watched.set(streamId, watched);
          this.client.show(streamId, this.wanted);
        }
        if (media.getVideoTracks().length) watched.watch ??= new Watch(media);
        if (media.getAudioTracks().length) watched.ear ??= new Ear(media);
      }
    }

    show(size) {
      this.wanted = size;
      this.marks.shown = wall();
      for (const streamId of this.watched.keys()) this.client.show(streamId, size);
    }

    of(userId) {
      for (const [streamId, watched] of this.watched) {
        if (this.client.streams.get(streamId)?.userId === userId) return watched;
      }
      return {};
    }

    async leave() {
      await this.client.leave();
      await this.matrix.stop();
      for (const { watch, ear } of this.watched.values()) {
        watch?.close();
        ear?.close();
      }
    }

    async sentVideo() {
      const rows = {};
      for (const stat of (await this.client.pc.getStats()).values()) {
        if (stat.type === "outbound-rtp" && stat.kind === "video") {
          rows[stat.rid ?? ""] = { frames: stat.framesEncoded ?? 0, height: stat.frameHeight ?? 0, active: stat.active };
        }
      }
      return rows;
    }
  }

  // The same source and the same watching without a focus: what is left is the pipeline's own offset.
  async function direct(size, settleSeconds, seconds) {
    const [from, to] = [new RTCPeerConnection(), new RTCPeerConnection()];
    from.onicecandidate = ({ candidate }) => to.addIceCandidate(candidate);
    to.onicecandidate = ({ candidate }) => from.addIceCandidate(candidate);
    const media = new MediaStream();
    to.ontrack = ({ track }) => media.addTrack(track);
    const stream = source(size.width, size.height, size.fps);
    for (const track of stream.getTracks()) from.addTrack(track, stream);
    await from.setLocalDescription();
    await to.setRemoteDescription(from.localDescription);
    await to.setLocalDescription();
    await from.setRemoteDescription(to.localDescription);
    const [watch, ear] = [new Watch(media), new Ear(media)];
    await sleep(settleSeconds * 1000);
    watch.looksForFlashes = true;
    await sleep(seconds * 1000);
    const found = { flashes: watch.flashes, beeps: ear.beeps };
    watch.close();
    ear.close();
    from.close();
    to.close();
    return found;
  }

  return { Participant, direct, wall };
})();
