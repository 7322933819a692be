/** Another microphone, camera or loudspeaker while the call goes on. */

import { canChooseSpeaker, offerDevices } from "./devices.js";
import { byId } from "./dom.js";
import { store } from "./store.js";

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
    byId("devices-mic").addEventListener("change", ({ target }) => this.#switch("audio", { microphoneId: target.value }), { signal });
    byId("devices-camera").addEventListener("change", ({ target }) => this.#switch("video", { cameraId: target.value }), { signal });
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
    const isPattern = this.#media.choice.source === "pattern";
    byId("devices-hint").hidden = !isPattern;
    const chosen = (kind) => (isPattern ? null : this.#media.track(kind)?.getSettings().deviceId ?? null);
    await offerDevices(byId("devices-mic"), "audioinput", chosen("audio"));
    await offerDevices(byId("devices-camera"), "videoinput", chosen("video"));
    if (canChooseSpeaker) await offerDevices(byId("devices-speaker"), "audiooutput", null);
    for (const id of ["devices-mic", "devices-camera"]) {
      const select = byId(id);
      select.disabled = select.options.length < 1 || (!isPattern && select.options.length < 2);
      if (!isPattern) continue;
      select.prepend(new Option("Test pattern", "", true, true));
    }
  }

  async #switch(kind, changes) {
    const track = await this.#media.replace(kind, { source: "camera", ...changes });
    if (track) await this.#client.replaceTrack(kind, track);
    store.preferences = { ...store.preferences, ...changes };
  }
}
