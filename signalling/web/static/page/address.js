/** What the address of the page asks for. */

/**
 * @typedef {Object} Request
 * @property {"plain"|"demo"|"link"|"widget"} kind
 * @property {string|null} homeserver server name or base URL
 * @property {string|null} room id or alias
 * @property {{user_id: string, device_id: string}|null} focus
 * @property {boolean} autojoin join without a click
 * @property {Options} options
 * @property {string|null} trouble why the fragment could not be read
 */

/**
 * @typedef {Object} Options What tests, benches and demos say beforehand.
 * @property {string} [name] name shown
 * @property {boolean} [pattern] send the test pattern
 * @property {number} [width] of what is sent
 * @property {number} [height]
 * @property {number} [fps]
 * @property {boolean} [tone] send a tone with the pattern (default true)
 * @property {boolean} [encrypted] end-to-end encryption of media
 * @property {Object} [session] who we are: {baseUrl, userId, deviceId, accessToken}
 * @property {string} [confId] the call, where it must not be looked for
 */

/**
 * Read the address of the page.
 *
 * `#demo=JSON` (or `#demo=ROOM_ID`) shows one button; `#room=…&homeserver=…` fills in the lobby; `?widgetId=…&parentUrl=…`
 * is the page in a Matrix client's frame.
 *
 * @param {URL} url
 * @returns {Request}
 */
export function readAddress(url) {
  const request = {
    kind: "plain",
    homeserver: null,
    room: null,
    focus: null,
    autojoin: false,
    options: {},
    trouble: null,
  };
  if (url.searchParams.has("widgetId") && url.searchParams.has("parentUrl")) return { ...request, kind: "widget" };
  const fragment = url.hash.slice(1);
  try {
    if (fragment.startsWith("demo="))
      return { ...request, ...readDemo(decodeURIComponent(fragment.slice("demo=".length))) };
    const fields = new URLSearchParams(fragment);
    if (!fields.has("room")) return request;
    return {
      ...request,
      kind: "link",
      room: readRoom(fields.get("room")),
      homeserver: fields.get("homeserver") || null,
    };
  } catch (error) {
    return { ...request, trouble: `The part of the address behind # can't be read: ${error.message}` };
  }
}

function readDemo(text) {
  if (!text.startsWith("{")) return { kind: "demo", room: readRoom(text) };
  const { homeserver = null, room = null, focus = null, autojoin = false, ...options } = JSON.parse(text);
  return {
    kind: "demo",
    homeserver,
    room: room === null ? null : readRoom(room),
    focus,
    autojoin: autojoin === true,
    options,
  };
}

/**
 * A room as people write it: `!id`, `!id:server`, `#alias:server`, a link of matrix.to, or a `matrix:` URI.
 *
 * @param {string} text
 * @returns {string} room id or alias
 */
export function readRoom(text) {
  let room = text.trim();
  const link = room.match(/^https:\/\/matrix\.to\/#\/([^/?]+)/);
  const uri = room.match(/^matrix:(r|roomid)\/([^/?]+)/);
  if (link) room = decodeURIComponent(link[1]);
  else if (uri) room = (uri[1] === "r" ? "#" : "!") + decodeURIComponent(uri[2]);
  if (!/^(![^\s]+|#[^\s:]+:[^\s]+)$/.test(room)) {
    throw new Error("a room is written #name:server, !id:server, or as a link of matrix.to");
  }
  return room;
}

/**
 * A link that opens the lobby with this room filled in.
 *
 * @param {string} homeserver
 * @param {string} room
 * @returns {string}
 */
export function linkTo(homeserver, room) {
  const url = new URL(location.pathname, location.origin);
  url.hash = new URLSearchParams({ room, homeserver }).toString();
  return url.href;
}
