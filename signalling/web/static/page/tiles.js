/** All tiles of a call: who is shown, how large, and what is asked for in consequence. */

import { arrangeGrid, arrangeLarge } from "./layout.js";
import { pictureText, soundText } from "./sentences.js";
import { qualityOf } from "./stats.js";
import { Tile } from "./tile.js";

const OWN = "own";
const OWN_SCREEN = "own-screen";

/** How long somebody must be silent before the large picture may go to another. Lower: it hops at every cough. */
const HOLD_SPEAKER_MS = 2500;

/** How long `blink` looks away. Shorter: the client tells the focus of neither. Longer: the picture is missed. */
const BLINK_MS = 3000;

/**
 * Keeps one tile a stream, places them, and tells the client what can be seen of each.
 *
 * Events: "sound-blocked" (the browser wants a click before it plays).
 */
export class Tiles extends EventTarget {
  #stage;
  #client;
  #names;
  #me;
  #keyOf;
  #tiles = new Map();
  #byElement = new Map();
  #layout = "grid";
  #speakers = [];
  #large = null;
  #largeSince = 0;
  #speakerDevice = null;
  #sizes = new ResizeObserver((entries) => this.#resized(entries));
  #sights = new IntersectionObserver((entries) => this.#sighted(entries), { threshold: 0.05 });
  #inSight = new Set();
  #seen = new WeakSet();

  /**
   * @param {HTMLElement} stage
   * @param {FocusClient} client
   * @param {Names} names
   * @param {{userId: string, deviceId: string}} me
   * @param {function(string, string): ({ok: boolean, text: string}|null)} keyOf whether the media of a user's device
   *     can be decrypted; null: nothing to say
   */
  constructor(stage, client, names, me, keyOf) {
    super();
    this.#me = me;
    this.#keyOf = keyOf;
    this.#stage = stage;
    this.#client = client;
    this.#names = names;
    this.#sizes.observe(stage);
    document.addEventListener("visibilitychange", this.#seePage);
    client.addEventListener("track", () => this.refresh());
    client.addEventListener("why", () => this.#explain());
    client.addEventListener("speakers", ({ detail }) => this.#hearSpeakers(detail.speakers));
    names.addEventListener("changed", () => this.refresh());
  }

  /** @param {"grid"|"speaker"} layout */
  set layout(layout) {
    this.#layout = layout;
    this.#stage.dataset.layout = layout;
    this.#arrange();
  }

  get layout() {
    return this.#layout;
  }

  /** Every tile by stream id; ours are "own" and "own-screen". */
  get all() {
    return this.#tiles;
  }

  /**
   * What this person sends, in a tile of its own.
   *
   * @param {MediaStream|null} stream null: none any more
   * @param {{isScreen?: boolean, audioMuted?: boolean, videoMuted?: boolean, isMirrored?: boolean}} [how]
   */
  showOwn(stream, { isScreen = false, audioMuted = false, videoMuted = false, isMirrored = false } = {}) {
    const id = isScreen ? OWN_SCREEN : OWN;
    if (!stream) {
      this.#drop(id);
    } else {
      const tile = this.#tile(id, { isOwn: true, isScreen });
      tile.setMedia(stream);
      tile.element.classList.toggle("tile-mirrored", isMirrored);
      tile.setPerson(this.#names.of(this.#me.userId), this.#me.userId);
      const hasVideo = stream.getVideoTracks().length > 0;
      tile.setMuted({ audio: audioMuted || !stream.getAudioTracks().length, video: videoMuted, hasVideo });
      tile.setBadge("");
    }
    this.#arrange();
  }

  /** Bring tiles in line with the client's streams and the names. */
  refresh() {
    const streams = this.#client.streams;
    for (const id of [...this.#tiles.keys()]) {
      if (!streams.has(id) && id !== OWN && id !== OWN_SCREEN) this.#drop(id);
    }
    for (const [id, stream] of streams) {
      const isNew = !this.#tiles.has(id);
      const tile = this.#tile(id, { isOwn: false, isScreen: stream.purpose === "m.screenshare" });
      tile.setPerson(this.#names.of(stream.userId), stream.userId);
      const kinds = [...stream.tracks.values()].map((track) => track.kind);
      tile.setMuted({
        audio: stream.audioMuted || !kinds.includes("audio"),
        video: stream.videoMuted,
        hasVideo: kinds.includes("video"),
      });
      tile.setMedia(stream.media);
      this.#play(tile);
      this.#ask(tile);
      if (isNew && this.#speakerDevice) tile.setSpeaker(this.#speakerDevice).catch(() => {});
    }
    for (const tile of this.#tiles.values()) {
      if (tile.isOwn) tile.setPerson(this.#names.of(this.#me.userId), this.#me.userId);
    }
    this.#explain();
    this.#markSpeakers();
    this.#arrange();
  }

  /**
   * Show what arrives, once a second.
   *
   * @param {Stats} stats
   */
  showStats(stats) {
    for (const [id, stream] of this.#client.streams) {
      const tile = this.#tiles.get(id);
      if (!tile) continue;
      const rows = { audio: undefined, video: undefined };
      let layer = "";
      for (const track of stream.tracks.values()) {
        const row = stats.received.get(track.mid);
        if (row?.kind !== track.kind) continue;
        rows[track.kind] = row;
        if (track.kind === "video") layer = track.why?.sent?.rid ?? "";
      }
      const { video } = rows;
      const isShown = video && video.height && video.fps && !stream.videoMuted;
      tile.setBadge(isShown ? `${video.width}x${video.height} · ${video.fps} fps${layer ? ` · ${layer}` : ""}` : "");
      tile.setQuality(qualityOf(rows.audio, stream.videoMuted ? undefined : video));
    }
    const tracks = new Map(this.#client.pc?.getTransceivers().map(({ mid, sender }) => [mid, sender.track]));
    for (const tile of this.#tiles.values()) if (tile.isOwn) this.#showSent(tile, stats, tracks);
  }

  #showSent(tile, stats, tracks) {
    const isFlowing = (row) => row.kind === "video" && row.active && row.fps > 0;
    const own = new Set(tile.video.srcObject?.getTracks());
    const rids = stats.sent
      .filter((row) => isFlowing(row) && own.has(tracks.get(row.mid)))
      .map((row) => row.rid || "one layer");
    tile.setBadge(rids.length ? `sending ${rids.join(" ")}` : "");
    tile.setQuality(ownQuality(stats));
  }

  /** The loudspeaker that was chosen; null: the browser's own choice. */
  get speaker() {
    return this.#speakerDevice;
  }

  /** Play everybody to another loudspeaker. */
  async setSpeaker(deviceId) {
    this.#speakerDevice = deviceId;
    await Promise.all([...this.#tiles.values()].map((tile) => tile.setSpeaker(deviceId)));
  }

  /** After a click: whatever the browser kept from playing. */
  playAll() {
    for (const tile of this.#tiles.values()) this.#play(tile);
  }

  /** Make one large, or no longer: by its place, 1 is the first. */
  pinNumber(number) {
    const tile = this.#order()[number - 1];
    if (tile) this.#pin(tile);
  }

  /** Give one picture up for a moment: the focus then negotiates anew. */
  blink() {
    const tile = [...this.#tiles.values()].find((one) => !one.isOwn && this.#inSight.has(one));
    if (!tile) return;
    this.#client.show(tile.id, null);
    setTimeout(() => this.#ask(tile), BLINK_MS);
  }

  /** Take everything away. */
  close() {
    this.#sizes.disconnect();
    this.#sights.disconnect();
    document.removeEventListener("visibilitychange", this.#seePage);
    for (const tile of this.#tiles.values()) tile.remove();
    this.#tiles.clear();
  }

  #tile(id, { isOwn, isScreen }) {
    let tile = this.#tiles.get(id);
    if (tile) return tile;
    tile = new Tile(id, { isOwn, isScreen, onpin: (pinned) => this.#pin(pinned) });
    this.#tiles.set(id, tile);
    this.#byElement.set(tile.element, tile);
    this.#stage.append(tile.element);
    this.#sizes.observe(tile.element);
    this.#sights.observe(tile.element);
    return tile;
  }

  #drop(id) {
    const tile = this.#tiles.get(id);
    if (!tile) return;
    this.#sizes.unobserve(tile.element);
    this.#sights.unobserve(tile.element);
    this.#byElement.delete(tile.element);
    this.#tiles.delete(id);
    this.#inSight.delete(tile);
    tile.remove();
  }

  #play(tile) {
    tile.video.play().catch(() => {}); // no picture yet; it begins by itself
    tile.audio?.play().catch((error) => {
      if (error.name === "NotAllowedError") this.dispatchEvent(new Event("sound-blocked"));
    });
  }

  #pin(tile) {
    const isPinned = !tile.isPinned;
    for (const other of this.#tiles.values()) {
      other.setPinned(other === tile && isPinned);
      this.#ask(other);
    }
    this.#arrange();
  }

  // Others before ourselves, screens before cameras, else in the order in which they came.
  #order() {
    const rank = (tile) => (tile.isScreen ? 0 : 1) + (tile.isOwn ? 2 : 0);
    return [...this.#tiles.values()].sort((one, other) => rank(one) - rank(other));
  }

  #arrange() {
    const box = this.#stage.getBoundingClientRect();
    if (!box.width || !box.height || !this.#tiles.size) return;
    const stage = { width: this.#stage.clientWidth, height: this.#stage.clientHeight };
    const tiles = this.#order();
    for (const [index, tile] of tiles.entries()) tile.setNumber(index + 1);
    const large = this.#largeTiles(tiles);
    const ids = tiles.map((tile) => tile.id);
    const areWhole = large.some((tile) => tile.isScreen);
    const largeIds = large.map((tile) => tile.id);
    const { places, height } = large.length ? arrangeLarge(stage, ids, largeIds, areWhole) : arrangeGrid(stage, ids);
    for (const [id, place] of places) this.#tiles.get(id).place(place);
    this.#stage.classList.toggle("stage-scrolls", height > stage.height + 1);
  }

  // Who is large: whatever was pinned, else shared screens, else (in the speaker layout) who speaks.
  #largeTiles(tiles) {
    const pinned = tiles.filter((tile) => tile.isPinned);
    if (pinned.length) return pinned;
    const screens = tiles.filter((tile) => tile.isScreen && !tile.isOwn);
    if (screens.length) return screens;
    if (this.#layout !== "speaker" || tiles.length < 2) return [];
    const speaker = this.#tiles.get(this.#large) ?? tiles[0];
    this.#large = speaker.id;
    return [speaker];
  }

  #hearSpeakers(speakers) {
    this.#speakers = speakers;
    this.#markSpeakers();
    const loudest = this.#order().find((tile) => !tile.isOwn && !tile.isScreen && this.#isSpeaking(tile));
    const isHeld = performance.now() - this.#largeSince < HOLD_SPEAKER_MS;
    const large = this.#tiles.get(this.#large);
    if (!loudest || loudest.id === this.#large || isHeld || (large && this.#isSpeaking(large))) return;
    this.#large = loudest.id;
    this.#largeSince = performance.now();
    this.#arrange();
  }

  #markSpeakers() {
    const loudest = this.#speakers[0];
    for (const tile of this.#tiles.values()) {
      const isSpeaking = !tile.isScreen && this.#isSpeaking(tile);
      tile.setSpeaking({ isSpeaking, isLoudest: isSpeaking && this.#isOf(tile, loudest) });
    }
  }

  #isSpeaking(tile) {
    return this.#speakers.some((speaker) => this.#isOf(tile, speaker));
  }

  #isOf(tile, speaker) {
    const { userId, deviceId } = tile.isOwn ? this.#me : (this.#client.streams.get(tile.id) ?? {});
    return speaker.user_id === userId && speaker.device_id === deviceId;
  }

  // A sentence is worth its place where less comes than was asked for.
  #explain() {
    for (const [id, stream] of this.#client.streams) {
      const why = { audio: null, video: null };
      for (const track of stream.tracks.values()) why[track.kind] = track.why;
      const key = this.#keyOf(stream.userId, stream.deviceId);
      const picture = stream.videoMuted ? "" : pictureText(why.video);
      const sound = stream.audioMuted ? "" : soundText(why.audio);
      this.#tiles.get(id)?.setWhy({ picture: key && !key.ok ? key.text : picture, sound });
    }
  }

  #resized(entries) {
    if (entries.some(({ target }) => target === this.#stage)) this.#arrange();
    for (const { target, contentRect } of entries) {
      const tile = this.#byElement.get(target);
      if (!tile) continue;
      const size = { width: Math.round(contentRect.width), height: Math.round(contentRect.height) };
      // One that is folded away keeps its size; that it is out of sight is told apart.
      if (size.width && size.height) tile.size = size;
      this.#ask(tile);
    }
  }

  #sighted(entries) {
    for (const { target, isIntersecting } of entries) {
      const tile = this.#byElement.get(target);
      if (!tile) continue;
      if (isIntersecting) this.#inSight.add(tile);
      else this.#inSight.delete(tile);
      this.#ask(tile);
    }
  }

  #seePage = () => {
    for (const tile of this.#tiles.values()) this.#ask(tile);
  };

  // What was seen once keeps its place in the connection, and is back without an offer. What never was needs none.
  #ask(tile) {
    if (tile.isOwn || !this.#client.streams.has(tile.id)) return;
    const { size, isPinned } = tile;
    const isVisible = size !== null && this.#inSight.has(tile) && !document.hidden;
    if (isVisible) this.#seen.add(tile);
    this.#client.show(tile.id, this.#seen.has(tile) ? { ...size, isPinned, isVisible } : null);
  }
}

function ownQuality({ sent, connection }) {
  const loss = Math.max(0, ...sent.map((row) => row.lossRatio));
  const roundTrip = connection?.roundTripMs ?? 0;
  const isLimited = sent.some((row) => row.active && row.limitation === "bandwidth");
  if (loss > 0.1 || roundTrip > 600) return { bars: 1, text: "Poor: much of what you send is lost or late" };
  if (loss > 0.02 || roundTrip > 250 || isLimited)
    return { bars: 2, text: "Fair: your connection limits what you send" };
  return { bars: connection ? 3 : 0, text: connection ? "Good" : "Not connected" };
}
