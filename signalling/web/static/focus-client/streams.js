/** What the others publish: metadata says who and what, descriptions say in which section (protocol: section 5). */

import { sectionsOf } from "./sdp.js";

/**
 * @typedef {object} RemoteTrack
 * @property {string} trackId
 * @property {string} kind                       "audio" or "video"
 * @property {number} width                      of the largest encoding; 0: not said
 * @property {number} height
 * @property {string | null} mid                 section in which it comes; null: in none now
 * @property {RTCRtpReceiver | null} receiver
 * @property {Tile | boolean} wanted             what we asked for; true for audio, false: nothing
 * @property {object | null} why                 the focus's last word on it (`org.matrix_focus.why`)
 */

/**
 * @typedef {object} Tile
 * @property {number} width                      CSS pixels
 * @property {number} height
 * @property {boolean} [isPinned]                it comes before the others where not all fits
 * @property {boolean} [isVisible]               false: out of sight for now, it will be wanted again
 */

/**
 * @typedef {object} RemoteStream
 * @property {string} streamId
 * @property {string} userId
 * @property {string} deviceId
 * @property {string} purpose                    "m.usermedia" or "m.screenshare"
 * @property {boolean} audioMuted                a hint for the eye: media may come all the same
 * @property {boolean} videoMuted
 * @property {MediaStream} media                 with the tracks that come now; the same object while the stream lives
 * @property {Map<string, RemoteTrack>} tracks
 */

const PURPOSES = new Set(["m.usermedia", "m.screenshare"]);

/** The streams of all others, kept in step with metadata and descriptions. */
export class RemoteStreams {
  /** @type {Map<string, RemoteStream>} */
  byId = new Map();

  /**
   * Take a message's metadata, which is the complete picture: what is not in it is gone.
   *
   * @param {object} metadata   stream id → stream
   */
  describe(metadata) {
    for (const streamId of this.byId.keys()) {
      if (!Object.hasOwn(metadata, streamId)) this.byId.delete(streamId);
    }
    for (const [streamId, said] of Object.entries(metadata)) {
      const purpose = said.purpose ?? "m.usermedia";
      if (!PURPOSES.has(purpose)) continue;
      const stream = this.byId.get(streamId) ?? { streamId, media: new MediaStream(), tracks: new Map() };
      stream.userId = said.user_id ?? "";
      stream.deviceId = said.device_id ?? "";
      stream.purpose = purpose;
      stream.audioMuted = said.audio_muted ?? false;
      stream.videoMuted = said.video_muted ?? false;
      describeTracks(stream.tracks, said.tracks ?? {});
      this.byId.set(streamId, stream);
    }
  }

  /**
   * Find the sections in which the tracks come now.
   *
   * @param {RTCPeerConnection} pc
   * @returns {{stream: RemoteStream, track: RemoteTrack}[]} tracks that have just begun to come
   */
  bind(pc) {
    const sections = [...sectionsOf(pc.remoteDescription?.sdp)].filter(([, section]) => isSending(section));
    const midsByIds = new Map(sections.map(([mid, section]) => [`${section.streamId} ${section.trackId}`, mid]));
    const kinds = new Map(sections.map(([mid, section]) => [mid, section.kind]));
    const transceivers = new Map(pc.getTransceivers().map((transceiver) => [transceiver.mid, transceiver]));
    const begun = [];
    for (const stream of this.byId.values()) {
      for (const track of stream.tracks.values()) {
        const mid = midsByIds.get(`${stream.streamId} ${track.trackId}`) ?? null;
        const receiver = transceivers.get(mid)?.receiver ?? null;
        const hasBegun = receiver !== null && receiver !== track.receiver;
        Object.assign(track, { mid, receiver, kind: track.kind || (kinds.get(mid) ?? "") });
        if (hasBegun) begun.push({ stream, track });
      }
      refill(stream);
    }
    return begun;
  }

  /**
   * Take the focus's word on why it sends what it sends (`org.matrix_focus.why`).
   *
   * @param {object[]} reasons
   */
  explain(reasons) {
    for (const why of reasons) {
      const track = this.byId.get(why.stream_id)?.tracks.get(why.track_id);
      if (track !== undefined) track.why = why;
    }
  }

  /**
   * What to subscribe to: all sound, and pictures that are shown.
   *
   * @param {Map<string, Tile | null>} tiles   by stream id
   * @returns {import("./subscriptions.js").Wish[]}
   */
  wishes(tiles) {
    const wishes = [];
    for (const { streamId, tracks } of this.byId.values()) {
      const tile = tiles.get(streamId) ?? null;
      for (const track of tracks.values()) {
        track.wanted = track.kind !== "video" || (tile?.width > 0 && tile.height > 0 && tile);
        if (!track.wanted) continue;
        wishes.push({ streamId, trackId: track.trackId, tile: track.kind === "video" ? tile : null });
      }
    }
    return wishes;
  }

  /** No section holds anything any more: the connection is gone, the streams are not. */
  unbind() {
    for (const stream of this.byId.values()) {
      for (const track of stream.tracks.values()) Object.assign(track, { mid: null, receiver: null, why: null });
      refill(stream);
    }
  }
}

/** A tile with whole pixels and nothing left out. */
export function roundTile({ width, height, isPinned = false, isVisible = true }) {
  return { width: Math.round(width), height: Math.round(height), isPinned, isVisible };
}

function describeTracks(tracks, said) {
  for (const trackId of tracks.keys()) {
    if (!Object.hasOwn(said, trackId)) tracks.delete(trackId);
  }
  for (const [trackId, { kind, width, height }] of Object.entries(said)) {
    const track = tracks.get(trackId) ?? { trackId, mid: null, receiver: null, wanted: false, why: null };
    // A camera that goes off loses its size, and old clients say no kind: the last word holds.
    track.kind = kind ?? track.kind ?? "";
    track.width = width ?? track.width ?? 0;
    track.height = height ?? track.height ?? 0;
    tracks.set(trackId, track);
  }
}

function refill({ media, tracks }) {
  const coming = new Set([...tracks.values()].flatMap(({ receiver }) => (receiver === null ? [] : [receiver.track])));
  for (const track of media.getTracks()) if (!coming.has(track)) media.removeTrack(track);
  for (const track of coming) media.addTrack(track);
}

function isSending({ direction, streamId }) {
  return streamId !== "" && (direction === "sendonly" || direction === "sendrecv");
}
