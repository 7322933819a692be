/** One tile: somebody's camera or screen, with what there is to say of it. */

import { element, icon, setIcon, setText } from "./dom.js";
import { initials } from "./names.js";
import { hash } from "./pattern.js";

/** What is so for less than this needs no explanation. Shorter: sentences flicker while layers change. */
const WHY_DELAY_MS = 3000;

/** Below this width a tile shows the name and the bars only. */
const COMPACT_WIDTH = 230;

/**
 * A tile's element and its parts. It knows nothing of the client: whoever owns it tells it everything.
 *
 * Its picture is muted and its sound is an element of its own: a picture that does not come, or is not wanted, never
 * silences anybody.
 */
export class Tile {
  #name;
  #badge;
  #why;
  #mark;
  #avatar;
  #quality;
  #pin;
  #number = 0;
  #said = { picture: "", sound: "" };
  #whyTimer = null;

  /** Whether the person made it large. */
  isPinned = false;

  /** @type {{width: number, height: number}|null} CSS pixels on the screen; null before it has a place */
  size = null;

  /**
   * @param {string} id stream id, or "own" and the like
   * @param {{isOwn: boolean, isScreen: boolean, onpin: function(Tile): void}} what
   */
  constructor(id, { isOwn, isScreen, onpin }) {
    this.id = id;
    this.isOwn = isOwn;
    this.isScreen = isScreen;
    this.video = element("video", { class: "tile-video", autoplay: true, playsInline: true, muted: true });
    // The attribute counts where the property was set before anything is played.
    this.video.setAttribute("muted", "");
    this.video.addEventListener("resize", () => this.#orient());
    this.audio = isOwn ? null : element("audio", { autoplay: true });
    this.#avatar = element("div", { class: "tile-avatar", "aria-hidden": "true" }, element("span"));
    this.#name = element("span", { class: "tile-name" });
    this.#badge = element("span", { class: "tile-badge" });
    this.#why = element("p", { class: "tile-why", hidden: true });
    this.#mark = element(
      "button",
      { type: "button", class: "tile-mark", hidden: true, "aria-expanded": "false", onclick: () => this.#tellAll() },
      icon("info"),
    );
    this.#quality = element("span", { class: "tile-quality", role: "img" }, element("i"), element("i"), element("i"));
    this.#pin = element(
      "button",
      { type: "button", class: "tile-pin", "aria-pressed": "false", onclick: () => onpin(this) },
      icon("enlarge"),
    );
    this.element = element(
      "article",
      { class: "tile", "data-stream": id },
      this.#avatar,
      this.video,
      this.audio,
      element("div", { class: "tile-top" }, this.#badge, this.#pin),
      element(
        "div",
        { class: "tile-bottom" },
        this.#why,
        element(
          "div",
          { class: "tile-label" },
          element(
            "span",
            { class: "tile-muted tile-muted-audio", role: "img", "aria-label": "Microphone off", hidden: true },
            icon("mic-off"),
          ),
          element(
            "span",
            { class: "tile-muted tile-muted-video", role: "img", "aria-label": "Camera off", hidden: true },
            icon("camera-off"),
          ),
          this.#name,
          this.#mark,
          this.#quality,
        ),
      ),
    );
    this.element.classList.toggle("tile-own", isOwn);
    this.element.classList.toggle("tile-screen", isScreen);
  }

  /**
   * Say whose it is.
   *
   * @param {string} name
   * @param {string} userId decides the colour
   */
  setPerson(name, userId) {
    const label = this.isScreen ? `${name} · screen` : name;
    setText(this.#name, this.isOwn ? (this.isScreen ? "Your screen" : `${name} (you)`) : label);
    setText(this.#avatar.firstChild, initials(name));
    this.#avatar.style.setProperty("--hue", String(hash(userId) % 360));
    this.element.setAttribute("aria-label", this.#name.textContent);
    this.#pin.setAttribute("aria-label", `Enlarge ${this.#name.textContent}`);
  }

  /** Its place among the tiles, 1 is the first: the key that enlarges it. */
  setNumber(number) {
    if (number === this.#number) return;
    this.#number = number;
    this.#pin.title = number < 10 ? `Enlarge (${number})` : "Enlarge";
    if (number < 10) this.#pin.setAttribute("aria-keyshortcuts", String(number));
    else this.#pin.removeAttribute("aria-keyshortcuts");
  }

  /**
   * Say what of it is off. Without a camera, or with one that is off, the person's initials take the picture's place.
   *
   * @param {{audio: boolean, video: boolean, hasVideo: boolean}} muted
   */
  setMuted({ audio, video, hasVideo }) {
    this.element.querySelector(".tile-muted-audio").hidden = !audio || this.isScreen;
    this.element.querySelector(".tile-muted-video").hidden = !(video || !hasVideo) || this.isScreen;
    this.element.classList.toggle("tile-dark", video || !hasVideo);
  }

  /** What to play; the same object again changes nothing. */
  setMedia(media) {
    if (this.video.srcObject !== media) this.video.srcObject = media;
    if (this.audio && this.audio.srcObject !== media) this.audio.srcObject = media;
  }

  /** "640x360 · 30 fps · h" */
  setBadge(text) {
    setText(this.#badge, text);
    this.#badge.hidden = !text;
  }

  /**
   * Why picture and sound come as they come, in a sentence each; empty: as wanted.
   *
   * The picture's stands on the tile where there is room for it. Else, and for the sound's, a mark shows that there is
   * something to tell: in a large call most are not heard, and a sentence on each tile would hide the people.
   *
   * @param {{picture: string, sound: string}} said
   */
  setWhy({ picture, sound }) {
    if (picture === this.#said.picture && sound === this.#said.sound) return;
    const isNew = (picture && this.#why.hidden) || (sound && this.#mark.hidden);
    this.#said = { picture, sound };
    clearTimeout(this.#whyTimer);
    if (isNew) this.#whyTimer = setTimeout(() => this.#tell(), WHY_DELAY_MS);
    else this.#tell();
  }

  #tell() {
    const { picture, sound } = this.#said;
    const all = [picture, sound].filter(Boolean).join(" ");
    if (!all) this.#mark.setAttribute("aria-expanded", "false");
    const tellsAll = this.#mark.getAttribute("aria-expanded") === "true";
    const text = tellsAll ? all : picture;
    setText(this.#why, text);
    this.#why.title = text;
    this.#why.hidden = !text;
    this.#mark.hidden = !all;
    setIcon(this.#mark, sound ? "sound-off" : "info");
    this.#mark.setAttribute("aria-label", all);
    this.#mark.title = all;
    this.element.classList.toggle("tile-unheard", sound !== "");
    this.element.classList.toggle("tile-tells", tellsAll);
  }

  #tellAll() {
    const isOpen = this.#mark.getAttribute("aria-expanded") === "true";
    this.#mark.setAttribute("aria-expanded", String(!isOpen));
    this.#tell();
  }

  /** @param {{bars: number, text: string}} quality */
  setQuality({ bars, text }) {
    this.#quality.dataset.bars = String(bars);
    this.#quality.setAttribute("aria-label", `Connection: ${text}`);
    this.#quality.title = text;
  }

  /** @param {{isSpeaking: boolean, isLoudest: boolean}} state */
  setSpeaking({ isSpeaking, isLoudest }) {
    this.element.classList.toggle("tile-speaking", isSpeaking);
    this.element.classList.toggle("tile-loudest", isLoudest);
  }

  setPinned(isPinned) {
    this.isPinned = isPinned;
    this.#pin.setAttribute("aria-pressed", String(isPinned));
    this.#pin.classList.toggle("is-on", isPinned);
  }

  /** Put it somewhere on the stage. */
  place({ x, y, width, height }) {
    const { style } = this.element;
    style.transform = `translate(${x}px, ${y}px)`;
    [style.width, style.height] = [`${width}px`, `${height}px`];
    this.element.classList.toggle("tile-compact", width < COMPACT_WIDTH);
  }

  /** Play to another loudspeaker, where the browser lets us. */
  async setSpeaker(deviceId) {
    await this.audio?.setSinkId?.(deviceId);
  }

  /** Take it away. */
  remove() {
    clearTimeout(this.#whyTimer);
    this.video.srcObject = null;
    if (this.audio) this.audio.srcObject = null;
    this.element.remove();
  }

  // A screen, or a phone that is held upright, is shown whole; other pictures fill their tile.
  #orient() {
    const { videoWidth: width, videoHeight: height } = this.video;
    this.element.classList.toggle("tile-whole", this.isScreen || height > width);
  }
}
