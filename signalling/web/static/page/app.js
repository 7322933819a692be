/** The page: who shows what when. Lobby → call → lobby; a reload in a call goes straight back into it. */

import { readAddress } from "./address.js";
import { Call } from "./call.js";
import { byId } from "./dom.js";
import { encryptionSupport, preloadEncryption } from "./encryption.js";
import { followTheme } from "./host-theme.js";
import { Lobby } from "./lobby.js";
import { LocalMedia } from "./local-media.js";
import { Notices } from "./notices.js";
import { errorText, roomText } from "./sentences.js";
import { FieldError, logOut, openMatrix, widgetOf } from "./session.js";
import { store } from "./store.js";

/** What this focus says of itself, where it does not answer. */
const NO_CONFIG = { version: "", homeserver_url: null, foci: [] };

const notices = new Notices(byId("notices"));
const media = new LocalMedia();

/** For the console of a client developer, and for tests: the parts that are alive now. */
const parts = { matrix: null, call: null, media, store };
globalThis.matrixFocus = {
  get client() {
    return parts.call?.client ?? null;
  },
  get stats() {
    return parts.call?.stats ?? null;
  },
  get faults() {
    return parts.call?.faults ?? null;
  },
  get log() {
    return parts.call?.log ?? null;
  },
  get matrix() {
    return parts.matrix;
  },
  get call() {
    return parts.call;
  },
  media,
};

let config = NO_CONFIG;
let lobby = null;

// A page that comes back from the browser's cache has said farewell before it went in.
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
// Another link in the same tab: browsers do not load the page for what is behind #.
addEventListener("hashchange", () => location.reload());

const request = readAddress(new URL(location.href));
const widget = openWidget();
if (widget) followTheme(widget);
begin();

function openWidget() {
  try {
    return widgetOf(location);
  } catch (error) {
    notices.show(error.message, { kind: "error" });
    return null;
  }
}

async function begin() {
  if (request.trouble) notices.show(request.trouble, { kind: "error" });
  const configured = readConfig();
  if (store.call?.address === location.href && (store.session || widget)) return comeBack(configured);
  config = await configured;
  if (request.autojoin) return joinAtOnce();
  return showLobby();
}

async function readConfig() {
  try {
    const answer = await fetch(new URL("../config.json", import.meta.url));
    return answer.ok ? { ...NO_CONFIG, ...(await answer.json()) } : NO_CONFIG;
  } catch {
    return NO_CONFIG;
  }
}

async function showLobby(trouble) {
  if (!lobby) {
    lobby = new Lobby({ media, request, config, widget, join: joinByPlan, logOut });
    encryptionSupport(widget).then((support) => lobby.offerEncryption(support));
  }
  await lobby.show(trouble);
}

/** A reload: what was there before, without a question. Media is opened while the homeserver is asked. */
async function comeBack(configured) {
  const { place, choice, name } = store.call;
  media.name = name;
  const stream = media.open(choice);
  if (place.encrypted) preloadEncryption(widget);
  try {
    const matrix = await openMatrix(
      widget ? { kind: "widget", matrix: widget } : { kind: "session", session: store.session },
    );
    await matrix.start();
    parts.matrix = matrix;
    await enter(matrix, place, stream, []);
  } catch (error) {
    store.call = null;
    if (error.errcode === "M_UNKNOWN_TOKEN") store.session = null;
    config = await configured;
    await showLobby({ field: "join", text: `Could not go back into the call. ${errorText(error)}` });
  }
}

/** Tests, benches and kiosks: no click. */
async function joinAtOnce() {
  const {
    name = "Guest",
    pattern = true,
    session,
    width,
    height,
    fps,
    tone,
    encrypted = false,
    muted,
  } = request.options;
  const homeserver = request.homeserver ?? config.homeserver_url;
  const account = session ? { kind: "session", session } : { kind: "guest", homeserver, name };
  media.name = name;
  const source = pattern ? "pattern" : "camera";
  const stream = media.open({ sources: { audio: source, video: source }, width, height, fps, tone });
  try {
    if (session) store.session = session;
    await joinWith(
      {
        account,
        room: { kind: "existing", value: request.room },
        name: session ? "" : name,
        muted: { audio: false, video: false, ...muted },
        encrypted,
      },
      stream,
    );
  } catch (error) {
    await showLobby({ field: error.field ?? "join", text: errorText(error) });
  }
}

/** The lobby's button. */
async function joinByPlan(plan) {
  try {
    await joinWith(plan, Promise.resolve(media.stream));
  } catch (error) {
    if (lobby.isHidden) await lobby.show();
    throw error;
  }
}

/**
 * @param {Plan} plan
 * @param {Promise<MediaStream>} stream
 */
async function joinWith(plan, stream) {
  const matrix = await openMatrix(plan.account);
  parts.matrix = matrix;
  try {
    await matrix.start();
  } catch (error) {
    if (error.errcode === "M_UNKNOWN_TOKEN") store.session = null;
    throw new FieldError("join", errorText(error));
  }
  if (widget?.refused.length > 0) {
    const text = `Your Matrix client does not let this page: ${widget.refused.join("; ")}.`;
    notices.show(text, { key: "refused", kind: "warning" });
  }
  const roomId = await enterRoom(matrix, plan);
  const place = {
    roomId,
    confId: request.options.confId ?? null,
    focus: request.focus,
    muted: plan.muted,
    layout: store.preferences.layout ?? "grid",
    encrypted: plan.encrypted,
    hasPanel: false,
  };
  try {
    await enter(matrix, place, stream, config.foci);
  } catch (error) {
    throw new FieldError("join", errorText(error));
  }
}

async function enterRoom(matrix, { room, name }) {
  try {
    // A widget's host has joined the room already.
    if (widget) return widget.roomId;
    const roomId = room.kind === "new" ? await matrix.createCallRoom(room.value) : await matrix.joinRoom(room.value);
    if (name) await showName(matrix, roomId, name);
    return roomId;
  } catch (error) {
    throw new FieldError("room", roomText(error, room.value));
  }
}

/** Be shown under a name in this room only. Where that is refused, the profile's name stays. */
async function showName(matrix, roomId, name) {
  try {
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/state/m.room.member/`;
    const content = await matrix.request("GET", path + encodeURIComponent(matrix.userId));
    if (content.displayname !== name)
      await matrix.sendState(roomId, "m.room.member", matrix.userId, { ...content, displayname: name });
  } catch {
    notices.show("The homeserver did not take the name; you are shown by your profile's.", { kind: "warning" });
  }
}

async function enter(matrix, place, stream, foci) {
  lobby?.hide();
  const call = new Call({ matrix, media, notices, place, foci, options: request.options });
  parts.call = call;
  call.addEventListener("changed", () => remember(call));
  call.addEventListener("left", ({ detail }) => comeOut(matrix, detail));
  try {
    await call.join(stream);
  } catch (error) {
    await call.leave();
    await end(matrix);
    throw error;
  }
}

function remember(call) {
  store.preferences = { ...store.preferences, layout: call.place.layout };
  if (call.isOver) store.call = null;
  else if (call.place.confId !== null)
    store.call = { address: location.href, place: call.place, choice: media.choice, name: media.name };
}

async function comeOut(matrix, { text, farewell }) {
  farewell.then(() => end(matrix));
  media.closeScreen();
  if (config === NO_CONFIG) config = await readConfig();
  await showLobby(text === null ? undefined : { field: "join", text });
}

/** The call is over: nothing of it is left but who we are. */
async function end(matrix) {
  if (!widget) await matrix.stop();
  if (parts.matrix === matrix) parts.matrix = null;
}
