/** What this person sends: microphone and camera, or the test pattern; and a screen. */

import { deviceTrouble } from "./devices.js";
import { Pattern } from "./pattern.js";

/** What a camera is asked for; it gives what it can (protocol: section 7.2). */
const CAMERA = { width: 1280, height: 720, fps: 30 };
const DEVICES = { audio: "The microphone", video: "The camera" };
const SCREEN = { width: 1920, height: 1080, fps: 30 };

/**
 * @typedef {"camera"|"pattern"} Source a device (camera or microphone), or what is generated
 *
 * @typedef {Object} Choice
 * @property {{audio: Source, video: Source}} sources
 * @property {string|null} [microphoneId]
 * @property {string|null} [cameraId]
 * @property {number} [width]
 * @property {number} [height]
 * @property {number} [fps]
 * @property {boolean} [tone] of the pattern
 * @property {boolean} [audio] false: no microphone
 * @property {boolean} [video] false: no camera
 */

/** Owns every local track. Events: "changed" (what is sent has changed), "trouble" {text}. */
export class LocalMedia extends EventTarget {
  #choice = { sources: { audio: "pattern", video: "pattern" } };
  #pattern = null;
  #screen = null;
  #name = "";

  /** Microphone and camera as they are sent; the same object for as long as this lives. */
  stream = new MediaStream();

  /** @returns {Choice} */
  get choice() {
    return this.#choice;
  }

  /** The name in the test pattern. */
  get name() {
    return this.#name;
  }

  set name(name) {
    this.#name = name;
    if (this.#pattern) this.#pattern.name = name;
  }

  /** The track of a kind that is sent now, if any. */
  track(kind) {
    return this.stream.getTracks().find((track) => track.kind === kind) ?? null;
  }

  /**
   * Open what was chosen, in place of what was open before. A device that can't be had is left out, with "trouble".
   *
   * @param {Choice} choice
   * @returns {Promise<MediaStream>}
   */
  async open(choice) {
    this.#choice = choice;
    this.#stop("audio", "video");
    const kinds = ["audio", "video"].filter((kind) => choice[kind] !== false);
    for (const track of (await this.#takeTogether(kinds)) ?? (await this.#takeEach(kinds))) {
      if (this.#choice === choice) this.stream.addTrack(track);
      else track.stop(); // somebody chose again meanwhile
    }
    this.#changed();
    return this.stream;
  }

  /**
   * Another track of one kind, by another choice or after `release`.
   *
   * @param {"audio"|"video"} kind
   * @param {{source?: Source, microphoneId?: string, cameraId?: string}} [changes]
   * @returns {Promise<MediaStreamTrack|null>} null: it could not be had; what was before goes on
   */
  async replace(kind, { source, ...changes } = {}) {
    const before = this.#choice;
    const sources = source ? { ...before.sources, [kind]: source } : before.sources;
    this.#choice = { ...before, ...changes, sources, [kind]: true };
    const track = await this.#take(kind);
    if (!track) {
      this.#choice = before;
      return null;
    }
    this.#stop(kind);
    this.stream.addTrack(track);
    this.#changed();
    return track;
  }

  /** Let go of the camera (its light goes out) while it is muted. A pattern has no light. */
  release(kind) {
    if (this.#choice.sources[kind] === "pattern") return;
    for (const track of this.stream.getTracks()) if (track.kind === kind) track.stop();
  }

  /** Whether the track of a kind has ended, so that it must be taken anew to be seen or heard. */
  isReleased(kind) {
    return this.track(kind)?.readyState !== "live";
  }

  /**
   * Begin to share a screen.
   *
   * @param {{pattern?: boolean, width?: number, height?: number, fps?: number}} [how] `pattern`: a generated screen,
   *     where there is none
   * @returns {Promise<MediaStream|null>} null: the person changed their mind, or it could not be had
   */
  async openScreen({ pattern = false, width = SCREEN.width, height = SCREEN.height, fps = SCREEN.fps } = {}) {
    this.closeScreen();
    try {
      if (pattern) {
        const generated = new Pattern({ name: this.#name, width, height, fps, tone: false, kind: "screen" });
        const stream = new MediaStream([generated.videoTrack]);
        this.#screen = { stream, stop: () => generated.stop() };
      } else {
        const video = { width: { max: width }, height: { max: height }, frameRate: { max: fps } };
        const stream = await navigator.mediaDevices.getDisplayMedia({ video, audio: true });
        this.#screen = { stream, stop: () => stream.getTracks().forEach((track) => track.stop()) };
      }
    } catch (error) {
      if (error.name !== "NotAllowedError") this.#tell(deviceTrouble(error, "The screen"));
      return null;
    }
    this.#screen.stream
      .getVideoTracks()[0]
      .addEventListener("ended", () => this.dispatchEvent(new Event("screen-ended")));
    return this.#screen.stream;
  }

  /** End the screen share; harmless where there is none. */
  closeScreen() {
    this.#screen?.stop();
    this.#screen = null;
  }

  /** The screen that is shared, or null. */
  get screen() {
    return this.#screen?.stream ?? null;
  }

  /** After a click: sound that the browser kept from starting. */
  async resume() {
    await this.#pattern?.resume();
  }

  /** Let go of everything. */
  close() {
    this.closeScreen();
    this.#stop("audio", "video");
    this.#pattern?.stop();
    this.#pattern = null;
  }

  /** Both devices with one question to the person; null where they can't be had together. */
  async #takeTogether(kinds) {
    if (kinds.length < 2 || kinds.some((kind) => this.#choice.sources[kind] === "pattern")) return null;
    try {
      const wanted = { audio: this.#microphone(), video: this.#camera() };
      return (await navigator.mediaDevices.getUserMedia(wanted)).getTracks().map((track) => this.#watched(track));
    } catch {
      return null; // which of the two it was, and in words, is found out one by one
    }
  }

  async #takeEach(kinds) {
    const tracks = [];
    for (const kind of kinds) tracks.push(await this.#take(kind));
    return tracks.filter((track) => track !== null);
  }

  async #take(kind) {
    if (this.#choice.sources[kind] === "pattern") return this.#takePattern(kind);
    try {
      const constraints = kind === "audio" ? { audio: this.#microphone() } : { video: this.#camera() };
      const stream = await navigator.mediaDevices.getUserMedia(constraints);
      return this.#watched(stream.getTracks()[0]);
    } catch (error) {
      this.#tell(deviceTrouble(error, DEVICES[kind]));
      return null;
    }
  }

  // A device that is unplugged, or taken away in the browser's own settings.
  #watched(track) {
    track.addEventListener("ended", () =>
      this.#tell(`${DEVICES[track.kind]} has stopped. Choose another under "Devices".`),
    );
    return track;
  }

  #takePattern(kind) {
    if (!this.#pattern) {
      const { width, height, fps, tone } = this.#choice;
      this.#pattern = new Pattern({ name: this.#name, width, height, fps, tone });
    }
    const track = kind === "audio" ? this.#pattern.audioTrack : this.#pattern.videoTrack;
    return track?.clone() ?? null;
  }

  #microphone() {
    const { microphoneId } = this.#choice;
    return { echoCancellation: true, ...(microphoneId ? { deviceId: { exact: microphoneId } } : {}) };
  }

  #camera() {
    const { cameraId, width = CAMERA.width, height = CAMERA.height, fps = CAMERA.fps } = this.#choice;
    const size = { width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: fps } };
    return { ...size, ...(cameraId ? { deviceId: { exact: cameraId } } : {}) };
  }

  #stop(...kinds) {
    for (const track of this.stream.getTracks()) {
      if (!kinds.includes(track.kind)) continue;
      track.stop();
      this.stream.removeTrack(track);
    }
    if (this.#pattern && !Object.values(this.#choice.sources).includes("pattern")) {
      this.#pattern.stop();
      this.#pattern = null;
    }
  }

  #changed() {
    this.dispatchEvent(new Event("changed"));
  }

  #tell(text) {
    this.dispatchEvent(new CustomEvent("trouble", { detail: { text } }));
  }
}
