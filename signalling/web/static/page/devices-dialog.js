/** Another microphone, camera or loudspeaker while the call goes on. */

import { canChooseSpeaker, offerDevices } from "./devices.js";
import { byId } from "./dom.js";
import { store } from "./store.js";

/** The value of the choice that is no device. */
const PATTERN = "pattern";

/** The dialog behind the "Devices" button. */
export class DevicesDialog {
  #dialog = byId("devices");
  #media;
  #client;
  #tiles;
  #stop = new AbortController();

  /**
   * @param {LocalMedia} media
   * @param {FocusClient} client
   * @param {Tiles} tiles
   */
  constructor(media, client, tiles) {
    this.#media = media;
    this.#client = client;
    this.#tiles = tiles;
    const { signal } = this.#stop;
    byId("devices-mic").addEventListener(
      "change",
      ({ target }) => this.#switch("audio", "microphoneId", target.value),
      { signal },
    );
    byId("devices-camera").addEventListener("change", ({ target }) => this.#switch("video", "cameraId", target.value), {
      signal,
    });
    byId("devices-speaker").addEventListener("change", ({ target }) => tiles.setSpeaker(target.value), { signal });
    navigator.mediaDevices?.addEventListener("devicechange", () => this.#dialog.open && this.#fill(), { signal });
    byId("devices-speaker-field").hidden = !canChooseSpeaker;
  }

  /** Show it. */
  async open() {
    await this.#fill();
    this.#dialog.showModal();
  }

  /** Put it away for good. */
  close() {
    this.#stop.abort();
    this.#dialog.close();
  }

  async #fill() {
    await this.#offer(byId("devices-mic"), "audio", "audioinput");
    await this.#offer(byId("devices-camera"), "video", "videoinput");
    if (canChooseSpeaker) await offerDevices(byId("devices-speaker"), "audiooutput", this.#tiles.speaker);
  }

  async #offer(select, kind, deviceKind) {
    const isPattern = this.#media.choice.sources[kind] === "pattern";
    await offerDevices(
      select,
      deviceKind,
      isPattern ? null : (this.#media.track(kind)?.getSettings().deviceId ?? null),
    );
    select.append(new Option("Test pattern", PATTERN, false, isPattern));
    select.disabled = false;
  }

  async #switch(kind, name, value) {
    const isPattern = value === PATTERN;
    const track = await this.#media.replace(
      kind,
      isPattern ? { source: "pattern" } : { source: "camera", [name]: value },
    );
    if (track) await this.#client.replaceTrack(kind, track);
    if (!isPattern) store.preferences = { ...store.preferences, [name]: value };
  }
}
