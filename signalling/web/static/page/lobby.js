/** Before the call: who, where, and what is sent. */

import { readRoom } from "./address.js";
import { offerDevices } from "./devices.js";
import { byId, setIcon, setText } from "./dom.js";
import { preloadEncryption } from "./encryption.js";
import { FieldError } from "./session.js";
import { store } from "./store.js";

/**
 * @typedef {Object} Plan What a person wants.
 * @property {Account} account
 * @property {{kind: "existing"|"new", value: string}} room
 * @property {string} name shown; empty: as in the profile
 * @property {{audio: boolean, video: boolean}} muted
 * @property {boolean} encrypted
 */

/** The form and the preview. */
export class Lobby {
  #media;
  #request;
  #config;
  #widget;
  #join;
  #muted = { audio: false, video: false };
  #isBusy = false;

  /**
   * @param {Object} parts
   * @param {LocalMedia} parts.media
   * @param {Request} parts.request what the address asks for
   * @param {{homeserver_url: string|null}} parts.config of this focus
   * @param {WidgetMatrix|null} parts.widget
   * @param {function(Plan): Promise<void>} parts.join rejects with FieldError
   * @param {function(Object): Promise<void>} parts.logOut
   */
  constructor({ media, request, config, widget, join, logOut }) {
    this.#media = media;
    this.#request = request;
    this.#config = config;
    this.#widget = widget;
    this.#join = join;
    this.#fillIn();
    this.#listen(logOut);
  }

  /**
   * Show it, and what the camera sees.
   *
   * @param {{field: string, text: string}} [trouble] what brought us here
   */
  async show(trouble) {
    byId("lobby").hidden = false;
    document.title = "Join a call · matrix-focus";
    this.#showAccount();
    this.#clearErrors();
    if (trouble) this.#showError(trouble.field, trouble.text);
    await this.#preview();
  }

  get isHidden() {
    return byId("lobby").hidden;
  }

  hide() {
    byId("lobby").hidden = true;
    byId("preview").srcObject = null;
  }

  /** Whether encryption can be switched on, and why not. */
  offerEncryption({ ok, text }) {
    const box = byId("encryption");
    box.disabled = !ok;
    box.checked = ok && Boolean(this.#request.options.encrypted ?? store.preferences.encrypted);
    setText(byId("encryption-hint"), text);
  }

  get #isOneClick() {
    return this.#request.kind === "demo" || this.#widget !== null;
  }

  // Whoever is logged in; not one of an earlier demo, or beside a host that says who we are.
  get #session() {
    const { session } = store;
    if (!session || this.#widget) return null;
    const isOther = this.#request.kind === "demo" && session.baseUrl !== byId("homeserver").value.replace(/\/+$/, "");
    return isOther ? null : session;
  }

  #fillIn() {
    const { preferences } = store;
    const { homeserver, room, kind, options } = this.#request;
    const isDemo = kind === "demo";
    const offered = this.#config.homeserver_url ?? "";
    byId("homeserver").value = homeserver ?? (isDemo ? offered : (preferences.homeserver ?? offered));
    byId("user").value = preferences.user ?? "";
    byId("room").value = room ?? preferences.room ?? "";
    byId("name").value =
      options.name ?? (isDemo ? `Guest ${100 + Math.floor(900 * Math.random())}` : (preferences.name ?? ""));
    check("account", preferences.account ?? "login");
    check("source", isDemo && options.pattern !== false ? "pattern" : (preferences.source ?? "camera"));
    byId("account-section").hidden = byId("room-section").hidden = this.#isOneClick;
    if (isDemo) {
      setText(byId("lobby-title"), "Join the demo call");
      setText(byId("lobby-lead"), "One click: you get a guest account and meet whoever is in the call.");
    } else if (this.#widget) {
      setText(byId("lobby-title"), "Join the call of this room");
      byId("name-section").hidden = true;
    } else {
      setText(
        byId("lobby-lead"),
        room ? `You were invited to ${room}.` : "With people of any Matrix homeserver, through this focus.",
      );
    }
    setText(byId("lobby-foot"), this.#config.version ? `matrix-focus ${this.#config.version}` : "");
  }

  #listen(logOut) {
    byId("lobby-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    for (const name of ["account", "room-kind"])
      each(name, (input) => input.addEventListener("change", () => this.#showAccount()));
    each("source", (input) => input.addEventListener("change", () => this.#preview()));
    byId("lobby-mic").addEventListener("click", () => this.#toggle("audio"));
    byId("lobby-camera").addEventListener("click", () => this.#toggle("video"));
    byId("lobby-mic-select").addEventListener("change", ({ target }) =>
      this.#media.replace("audio", { microphoneId: target.value }),
    );
    byId("lobby-camera-select").addEventListener("change", async ({ target }) => {
      await this.#media.replace("video", { cameraId: target.value });
      this.#showPicture();
    });
    byId("name").addEventListener("input", ({ target }) => {
      this.#media.name = target.value;
    });
    byId("log-out").addEventListener("click", async () => {
      await logOut(store.session);
      this.#showAccount();
    });
    byId("encryption").addEventListener("change", ({ target }) => target.checked && preloadEncryption(this.#widget));
    this.#media.addEventListener("trouble", ({ detail }) => this.#showError("devices", detail.text));
  }

  #showAccount() {
    const session = this.#session;
    const isGuest = checked("account") === "guest";
    const isNew = checked("room-kind") === "new";
    byId("account-section").hidden = this.#isOneClick || session !== null;
    byId("signed-in").hidden = session === null;
    setText(byId("signed-in-user"), session?.userId ?? "");
    byId("password-section").hidden = isGuest;
    byId("guest-hint").hidden = !isGuest;
    setText(byId("room-label"), isNew ? "Name of the new room" : "Room");
    byId("room").placeholder = isNew ? "Stand-up" : "#name:example.org, or a matrix.to link";
    setText(byId("join"), isNew && !this.#isOneClick ? "Make the room and join" : "Join the call");
  }

  async #preview() {
    const source = checked("source");
    this.#clearErrors("devices");
    byId("lobby-devices").hidden = source === "pattern";
    byId("pattern-hint").hidden = source !== "pattern";
    this.#media.name = byId("name").value || "Test pattern";
    const { width, height, fps, tone } = this.#request.options;
    const { microphoneId, cameraId } = store.preferences;
    await this.#media.open({
      sources: { audio: source, video: source },
      width,
      height,
      fps,
      tone,
      microphoneId,
      cameraId,
    });
    if (source === "camera") {
      await offerDevices(
        byId("lobby-mic-select"),
        "audioinput",
        this.#media.track("audio")?.getSettings().deviceId ?? null,
      );
      await offerDevices(
        byId("lobby-camera-select"),
        "videoinput",
        this.#media.track("video")?.getSettings().deviceId ?? null,
      );
    }
    this.#showPicture();
  }

  #showPicture() {
    const preview = byId("preview");
    const track = this.#media.track("video");
    const isShown = track !== null && !this.#muted.video;
    preview.srcObject = isShown ? new MediaStream([track]) : null;
    preview.hidden = !isShown;
    byId("preview-picture").classList.toggle("is-mirrored", this.#media.choice.sources.video === "camera");
    byId("preview-off").hidden = isShown;
    setText(byId("preview-off"), track ? "Camera off" : "No camera: you can join without");
    for (const [kind, id, name] of [
      ["audio", "lobby-mic", "mic"],
      ["video", "lobby-camera", "camera"],
    ]) {
      const button = byId(id);
      const isOn = !this.#muted[kind] && this.#media.track(kind) !== null;
      button.setAttribute("aria-pressed", String(isOn));
      button.disabled = this.#media.track(kind) === null;
      setIcon(button, isOn ? name : `${name}-off`);
    }
  }

  #toggle(kind) {
    this.#muted[kind] = !this.#muted[kind];
    this.#showPicture();
  }

  async #submit() {
    if (this.#isBusy) return;
    this.#clearErrors();
    this.#busy(true);
    try {
      const plan = this.#readPlan();
      this.#remember(plan);
      await this.#join(plan);
    } catch (error) {
      if (!(error instanceof FieldError)) throw error;
      this.#showError(error.field, error.message);
    } finally {
      this.#busy(false);
    }
  }

  /** @returns {Plan} */
  #readPlan() {
    const session = this.#session;
    const name = byId("name").value.trim();
    return {
      account: session ? { kind: "session", session } : this.#readAccount(name),
      room: this.#readRoom(),
      name,
      muted: { ...this.#muted },
      encrypted: byId("encryption").checked,
    };
  }

  #readAccount(name) {
    if (this.#widget) return { kind: "widget", matrix: this.#widget };
    const homeserver = byId("homeserver").value.trim().replace(/\/+$/, "");
    if (!homeserver) throw new FieldError("homeserver", "Which homeserver? For instance example.org.");
    if (this.#isOneClick || checked("account") === "guest") return { kind: "guest", homeserver, name: name || "Guest" };
    const [user, password] = [byId("user").value.trim(), byId("password").value];
    if (!user || !password) throw new FieldError("account", "User name and password are needed.");
    return { kind: "login", homeserver, user, password };
  }

  #readRoom() {
    if (this.#widget) return { kind: "existing", value: this.#widget.roomId };
    const value = byId("room").value.trim();
    if (!this.#isOneClick && checked("room-kind") === "new") return { kind: "new", value: value || "Call" };
    if (!value) throw new FieldError("room", "Which room? Or make a new one.");
    try {
      return { kind: "existing", value: readRoom(value) };
    } catch (error) {
      throw new FieldError("room", `This names no room: ${error.message}.`);
    }
  }

  #remember({ account, room, name, encrypted }) {
    if (this.#isOneClick) return;
    const { homeserver = store.preferences.homeserver, user = store.preferences.user } = account;
    const { microphoneId, cameraId } = this.#media.choice;
    const kind = account.kind === "session" ? store.preferences.account : account.kind;
    const last = room.kind === "existing" ? room.value : "";
    store.preferences = {
      ...store.preferences,
      homeserver,
      user,
      account: kind,
      room: last,
      name,
      encrypted,
      source: checked("source"),
      microphoneId,
      cameraId,
    };
  }

  #busy(isBusy) {
    this.#isBusy = isBusy;
    const button = byId("join");
    button.disabled = isBusy;
    button.classList.toggle("is-busy", isBusy);
  }

  #clearErrors(only) {
    for (const place of byId("lobby").querySelectorAll("[data-error-for]")) {
      if (!only || place.dataset.errorFor === only) setText(place, "");
    }
  }

  #showError(field, text) {
    const place = byId("lobby").querySelector(`[data-error-for="${field}"]`);
    const isSeen = place.parentElement.offsetParent !== null;
    setText(isSeen ? place : byId("lobby").querySelector('[data-error-for="join"]'), text);
  }
}

function each(name, act) {
  for (const input of document.getElementsByName(name)) act(input);
}

function check(name, value) {
  each(name, (input) => {
    input.checked = input.value === value;
  });
}

function checked(name) {
  return [...document.getElementsByName(name)].find((input) => input.checked)?.value;
}
