/** A call in progress: what the client tells goes to what is shown; what the person does goes to the client. */

import { FocusClient } from "../focus-client.js";
import { CallHeader } from "./call-header.js";
import { CallTab } from "./call-tab.js";
import { Controls } from "./controls.js";
import { DevicesDialog } from "./devices-dialog.js";
import { byId } from "./dom.js";
import { Encryption } from "./encryption.js";
import { Faults } from "./faults.js";
import { FaultsTab } from "./faults-tab.js";
import { Measured } from "./measured.js";
import { MessageLog } from "./message-log.js";
import { MessagesTab } from "./messages-tab.js";
import { Names } from "./names.js";
import { Panel } from "./panel.js";
import { errorText, reachText } from "./sentences.js";
import { Stats } from "./stats.js";
import { Tiles } from "./tiles.js";
import { TracksTab } from "./tracks-tab.js";

/**
 * Who is on another focus is given so long to be heard from there. Lower: of everybody in a call over several foci it
 * is told at first that they can't be seen. Higher: it is told late of whom that is true.
 */
const HOP_PATIENCE_MS = 15_000;

/**
 * @typedef {Object} Place Where a call is; what a reload comes back to.
 * @property {string} roomId
 * @property {string|null} confId
 * @property {{user_id: string, device_id: string}|null} focus
 * @property {{audio: boolean, video: boolean}} muted
 * @property {"grid"|"speaker"} layout
 * @property {boolean} encrypted
 * @property {boolean} hasPanel
 */

/**
 * Events: "changed" (`place` or `isOver` has), "left" {text, farewell}: `text` says why where it was not the person's
 * wish, `farewell` resolves when the room knows.
 */
export class Call extends EventTarget {
  #matrix;
  #media;
  #notices;
  #place;
  #options;
  #names;
  #header;
  #tiles;
  #controls;
  #panel;
  #devices;
  #encryption = new Encryption();
  #reason = null;
  #hasJoined = false;
  #isGoing = false;
  #unreached = new Set();
  #elsewhereSince = new Map();
  #stop = new AbortController();

  /**
   * @param {Object} parts
   * @param {Matrix} parts.matrix started
   * @param {LocalMedia} parts.media
   * @param {Notices} parts.notices
   * @param {Place} parts.place
   * @param {Object[]} parts.foci to try where nobody in the call names one and the homeserver announces none
   * @param {Options} parts.options
   */
  constructor({ matrix, media, notices, place, foci, options }) {
    super();
    this.#matrix = matrix;
    this.#media = media;
    this.#notices = notices;
    this.#place = place;
    this.#options = { foci, ...options };
  }

  /** @type {FocusClient} */
  client;

  /** @type {Stats} */
  stats;

  /** @type {Faults} */
  faults;

  log = new MessageLog();

  /** @returns {Place} */
  get place() {
    return this.#place;
  }

  get panel() {
    return this.#panel;
  }

  /** Whether it is being left, or has been. */
  get isOver() {
    return this.#stop.signal.aborted;
  }

  get tiles() {
    return this.#tiles;
  }

  get encryption() {
    return this.#encryption;
  }

  /**
   * Enter the call.
   *
   * @param {Promise<MediaStream>} stream what is sent; may still be on its way
   * @throws {FocusError}
   */
  async join(stream) {
    const { roomId, confId, focus, muted, encrypted } = this.#place;
    const foci = focus ? null : await this.#knownFoci();
    this.client = new FocusClient(this.#matrix, { roomId, confId, focus, foci });
    this.log.listen(this.client);
    this.stats = new Stats(this.client);
    this.#names = new Names(this.#matrix, roomId);
    this.#build();
    this.#listen();
    this.#show();
    // The stream is on its way meanwhile.
    if (encrypted) await this.#encrypt(roomId);
    for (const kind of ["audio", "video"]) await this.client.setMuted(kind, muted[kind]);
    this.#names.read().catch(() => {}); // people are then called by their user ids
    this.stats.start();
    await this.client.join({ stream, ...this.#encryption.hooks });
    this.#showOwn();
    await this.#matrix.stayOnScreen?.(true);
  }

  /** Leave the call, and take down what was built for it. */
  async leave() {
    if (this.#stop.signal.aborted) return;
    this.#close();
    await this.client.leave();
    // Not before: a host may take down a widget that gives up its place, and the farewell with it.
    await this.#matrix.stayOnScreen?.(false);
    this.#encryption.close();
  }

  // The foci that the homeserver announces go before the one that this page was served by.
  async #knownFoci() {
    const announced = await this.#matrix.foci().catch(() => []);
    return [...announced, ...this.#options.foci];
  }

  async #encrypt(roomId) {
    await this.#encryption.open(this.#matrix, roomId);
    this.#encryption.attach(this.client);
    this.#encryption.addEventListener("state", () => {
      this.#header.showEncryption(this.#encryption);
      this.#tiles.refresh();
    });
    this.#header.showEncryption(this.#encryption);
  }

  #build() {
    const me = this.#matrix;
    this.#header = new CallHeader(me, this.#place.roomId, this.#notices, this.#stop.signal);
    this.#tiles = new Tiles(byId("stage"), this.client, this.#names, me, (userId, deviceId) =>
      this.#encryption.stateOf(userId, deviceId),
    );
    this.#tiles.layout = this.#place.layout;
    this.faults = new Faults(this.client, () => this.#tiles.blink());
    this.#controls = new Controls({
      press: (name) => this.#press(name),
      pin: (number) => this.#tiles.pinNumber(number),
    });
    const measured = new Measured(this.client);
    this.#devices = new DevicesDialog(this.#media, this.client, this.#tiles);
    const tabs = [
      new MessagesTab(this.log),
      new TracksTab(this.client, this.#names, this.stats, measured),
      new FaultsTab(this.faults),
      new CallTab(this.client, this.#names, this.stats, measured, me, this.#place.roomId, () =>
        this.#encryption.state.text,
      ),
    ];
    this.#panel = new Panel(tabs, (isOpen) => this.#change({ hasPanel: isOpen }));
    this.#panel.toggle(this.#place.hasPanel);
  }

  #listen() {
    const { signal } = this.#stop;
    const { client } = this;
    const on = (target, type, act) => target.addEventListener(type, ({ detail }) => act(detail), { signal });
    on(client, "phase", ({ phase }) => this.#phaseChanged(phase));
    on(client, "members", () => this.#membersChanged());
    on(client, "streams", () => this.#membersChanged());
    on(client, "error", (error) => this.#hearError(error));
    on(client, "advice", ({ text }) => this.#notices.show(text, { key: "advice", kind: "warning" }));
    on(client, "drain", () =>
      this.#notices.show("This focus is about to go away; the call moves to another.", { key: "drain" }),
    );
    on(this.#matrix, "trouble", ({ text }) => this.#hearTrouble(text));
    on(this.#names, "changed", () => this.#namesChanged());
    on(this.stats, "sample", () => this.#tiles.showStats(this.stats));
    on(this.#tiles, "sound-blocked", () => this.#askForSound());
    on(this.#media, "changed", () => this.#showOwn());
    on(this.#media, "trouble", ({ text }) => this.#notices.show(text, { key: "device", kind: "warning" }));
    on(this.#media, "screen-ended", () => this.#stopSharing());
    // Before the client's own farewell, whose phase would look like the end of the call.
    addEventListener("pagehide", () => (this.#isGoing = true), { signal, capture: true });
    document.addEventListener("pointerdown", () => this.#media.resume(), { signal });
    document.addEventListener("keydown", () => this.#media.resume(), { signal });
  }

  #close() {
    this.#stop.abort();
    this.stats.stop();
    this.#panel.toggle(false);
    this.#devices.close();
    this.#controls.close();
    this.#tiles.close();
    this.#names.close();
    this.#notices.clear();
    byId("call").hidden = true;
    this.dispatchEvent(new Event("changed"));
  }

  // --- what the person does ----------------------------------------------------------------------------------------

  #press(name) {
    const acts = {
      mic: () => this.setMuted("audio", !this.#place.muted.audio),
      camera: () => this.setMuted("video", !this.#place.muted.video),
      share: () => (this.#media.screen ? this.#stopSharing() : this.share()),
      layout: () => this.setLayout(this.#place.layout === "grid" ? "speaker" : "grid"),
      devices: () => this.#devices.open(),
      panel: () => this.#panel.toggle(),
      leave: () => this.#leaveByHand(),
    };
    Promise.resolve(acts[name]()).catch((error) => this.#notices.show(errorText(error), { kind: "error" }));
  }

  /**
   * Mute or unmute. A camera that is off is let go of, so that its light goes out.
   *
   * @param {"audio"|"video"} kind
   * @param {boolean} muted
   */
  async setMuted(kind, muted) {
    if (!muted && this.#media.isReleased(kind)) {
      const track = await this.#media.replace(kind);
      if (!track) return;
      await this.client.replaceTrack(kind, track);
    }
    this.#change({ muted: { ...this.#place.muted, [kind]: muted } });
    this.#showOwn();
    await this.client.setMuted(kind, muted);
    if (muted && kind === "video") this.#media.release(kind);
  }

  /**
   * Share a screen.
   *
   * @param {{pattern?: boolean, width?: number, height?: number, fps?: number}} [how]
   */
  async share(how) {
    const stream = await this.#media.openScreen(how ?? { pattern: !navigator.mediaDevices?.getDisplayMedia });
    if (!stream) return;
    await this.client.publish(stream, "m.screenshare");
    this.#showShare();
  }

  /** @param {"grid"|"speaker"} layout */
  setLayout(layout) {
    this.#tiles.layout = layout;
    this.#change({ layout });
    this.#showButtons();
  }

  async #stopSharing() {
    const { screen } = this.#media;
    if (!screen) return;
    this.#media.closeScreen();
    this.#showShare();
    await this.client.unpublish(screen.id);
  }

  #leaveByHand() {
    const farewell = this.leave();
    this.dispatchEvent(new CustomEvent("left", { detail: { text: null, farewell } }));
  }

  // --- what is shown -----------------------------------------------------------------------------------------------

  #show() {
    byId("call").hidden = false;
    this.#showButtons();
    this.#header.showEncryption(this.#encryption);
    this.#showMembers();
    this.#phaseChanged(this.client.phase);
    this.#showOwn();
  }

  #showButtons() {
    const { muted, layout } = this.#place;
    const has = (kind) => this.#media.track(kind) !== null;
    this.#controls.showState({
      mic: !muted.audio && has("audio"),
      camera: !muted.video && has("video"),
      isSharing: this.#media.screen !== null,
      isPanelOpen: this.#panel.isOpen,
      layout,
    });
  }

  #showOwn() {
    const { muted } = this.#place;
    this.#tiles.showOwn(this.#media.stream, {
      audioMuted: muted.audio,
      videoMuted: muted.video,
      isMirrored: this.#media.choice.sources.video === "camera",
    });
    this.#showButtons();
  }

  #showShare() {
    this.#tiles.showOwn(this.#media.screen, { isScreen: true });
    this.#showButtons();
  }

  #membersChanged() {
    const { members, streams } = this.client;
    this.#names.present = [...members, ...streams.values()].map(({ userId }) => userId);
    this.#tiles.refresh();
    this.#showMembers();
  }

  #showMembers() {
    const { members, streams } = this.client;
    // Of whoever sends nothing it can't be told whether they are still there: a member event outlives a crash.
    const senders = new Set([...streams.values()].map(({ userId, deviceId }) => `${userId} ${deviceId}`));
    this.#header.showPeople(this.#names.room, senders.size + 1);
    for (const member of members) {
      const key = `reach ${member.userId} ${member.deviceId}`;
      const text = this.#mayStillCome(key, member) ? null : reachText(member, this.#names.of(member.userId));
      if (text) this.#notices.show(text, { key, kind: "warning" });
      else this.#notices.dismiss(key);
    }
    this.#forgetGone(members);
  }

  // Foci take some seconds to find each other.
  #mayStillCome(key, { reach }) {
    if (reach !== "other-focus") {
      this.#elsewhereSince.delete(key);
      return false;
    }
    const since = this.#elsewhereSince.get(key);
    if (since !== undefined) return performance.now() - since < HOP_PATIENCE_MS;
    this.#elsewhereSince.set(key, performance.now());
    setTimeout(() => this.isOver || this.#showMembers(), HOP_PATIENCE_MS + 1);
    return true;
  }

  #namesChanged() {
    this.#media.name = this.#names.of(this.#matrix.userId);
    this.#showMembers();
  }

  // Whoever has left the call needs no notice any more.
  #forgetGone(members) {
    const now = new Set(
      members.filter(({ reach }) => reach !== "here").map(({ userId, deviceId }) => `reach ${userId} ${deviceId}`),
    );
    for (const key of this.#unreached) if (!now.has(key)) this.#notices.dismiss(key);
    for (const key of this.#elsewhereSince.keys()) if (!now.has(key)) this.#elsewhereSince.delete(key);
    this.#unreached = now;
  }

  // --- what the client tells ---------------------------------------------------------------------------------------

  #phaseChanged(phase) {
    this.#header.showPhase(phase);
    if (phase === "connected") {
      this.#hasJoined = true;
      this.#change({ confId: this.client.confId, focus: this.client.focus });
      this.#notices.dismiss("lost");
    }
    if (phase === "reconnecting")
      this.#notices.show("The connection was lost. Reconnecting…", { key: "lost", kind: "warning" });
    if (phase === "left" && !this.#stop.signal.aborted) this.#leftByOthers();
  }

  #leftByOthers() {
    // Of a join that fails, `join` says why. A page that goes, by a reload for one, comes back into this call.
    if (!this.#hasJoined || this.#isGoing) return;
    this.#close();
    this.#encryption.close();
    this.#matrix.stayOnScreen?.(false);
    const text = this.#reason ?? "The call is over.";
    this.dispatchEvent(new CustomEvent("left", { detail: { text, farewell: Promise.resolve() } }));
  }

  #hearError({ code, text, about }) {
    this.#reason = text;
    this.#notices.show(about ? `The focus refused ${about}: ${text}` : text, { key: `error ${code}`, kind: "error" });
  }

  #hearTrouble(text) {
    if (text === null) this.#notices.dismiss("trouble");
    else
      this.#notices.show(`The homeserver can't be reached; the call goes on meanwhile. (${text})`, {
        key: "trouble",
        kind: "warning",
      });
  }

  #askForSound() {
    const run = () => {
      this.#tiles.playAll();
      this.#media.resume();
    };
    this.#notices.show("The browser plays sound after a click only.", {
      key: "sound",
      lasting: true,
      action: { label: "Play sound", run },
    });
  }

  #change(changes) {
    this.#place = { ...this.#place, ...changes };
    if (this.#panel) this.#showButtons();
    this.dispatchEvent(new Event("changed"));
  }
}
