/** A stream that this client publishes (protocol: sections 5 and 7.2). */

/** What a camera is encoded as, largest first: of a small picture browsers drop the last ones. */
export const CAMERA_ENCODINGS = [
  { rid: "f", scaleResolutionDownBy: 1, maxBitrate: 1_700_000, maxFramerate: 30 },
  { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 300_000, maxFramerate: 20 },
  { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 120_000, maxFramerate: 15 },
];
/** Likewise a screen: sharp first, smooth second. */
export const SCREEN_ENCODINGS = [
  { rid: "f", scaleResolutionDownBy: 1, maxBitrate: 3_000_000, maxFramerate: 30 },
  { rid: "h", scaleResolutionDownBy: 1.5, maxBitrate: 1_000_000, maxFramerate: 15 },
  { rid: "q", scaleResolutionDownBy: 3, maxBitrate: 200_000, maxFramerate: 3 },
];

/** One microphone and camera, or one screen. Outlives the legs on which it is sent. */
export class LocalStream {
  #tracks;
  #muted = { audio: false, video: false };
  #size = {};

  /**
   * @param {MediaStream} stream
   * @param {string} purpose                          "m.usermedia" or "m.screenshare"
   * @param {RTCRtpEncodingParameters[]} encodings    of its video
   */
  constructor(stream, purpose, encodings) {
    this.stream = stream;
    this.purpose = purpose;
    this.encodings = encodings;
    this.#tracks = { audio: stream.getAudioTracks()[0] ?? null, video: stream.getVideoTracks()[0] ?? null };
  }

  get streamId() {
    return this.stream.id;
  }

  /** Sections of user media are opened both ways, as all clients of this dialect do. */
  get direction() {
    return this.purpose === "m.usermedia" ? "sendrecv" : "sendonly";
  }

  get audioMuted() {
    return this.#muted.audio || this.#tracks.audio === null;
  }

  get videoMuted() {
    return this.#muted.video || this.#tracks.video === null;
  }

  /** Whether it has media of a kind, muted or not. */
  has(kind) {
    return this.#tracks[kind] !== null;
  }

  /** The track that is sent now: a camera that is off sends nothing, a microphone that is off sends silence. */
  sending(kind) {
    return kind === "video" && this.#muted.video ? null : this.#tracks[kind];
  }

  /** Mute or unmute a kind. */
  mute(kind, muted) {
    this.#muted[kind] = muted;
    if (kind === "audio" && this.#tracks.audio !== null) this.#tracks.audio.enabled = !muted;
  }

  /** Send another device's track from now on, muted as before. */
  replace(kind, track) {
    const before = this.#tracks[kind];
    if (before !== null && before !== track) this.stream.removeTrack(before);
    if (track !== null) this.stream.addTrack(track);
    this.#tracks[kind] = track;
    this.mute(kind, this.#muted[kind]);
  }

  /** What metadata says of it, but for its tracks. */
  describe() {
    return { purpose: this.purpose, audio_muted: this.audioMuted, video_muted: this.videoMuted };
  }

  /** The picture's size; of a camera that is off, the last one. */
  sizeOf(kind) {
    if (kind === "audio") return {};
    const { width, height } = this.#tracks.video?.getSettings() ?? {};
    if (width && height) this.#size = { width, height };
    return this.#size;
  }
}
