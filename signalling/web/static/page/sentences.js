/** What happens in a call, in plain words. */

/** Codes of errors that a person can do something about, or wants explained. */
const ERRORS = {
  M_FORBIDDEN: "The homeserver refused: wrong user name or password, or not allowed.",
  M_USER_DEACTIVATED: "This account has been deactivated.",
  M_LIMIT_EXCEEDED: "The homeserver asks to wait a moment before trying again.",
  M_UNKNOWN_TOKEN: "The homeserver has ended this session. Log in again.",
  M_NOT_FOUND: "There is no such room.",
};

/**
 * Why something did not work.
 *
 * @param {Error & {code?: string, text?: string, errcode?: string, status?: number}} error
 * @returns {string}
 */
export function errorText(error) {
  if (error.text) return error.text;
  if (error.errcode === "M_UNKNOWN_TOKEN") return ERRORS.M_UNKNOWN_TOKEN;
  if (error instanceof TypeError && /imported module/i.test(error.message)) return "A part of this page can't be loaded.";
  if (error instanceof TypeError && /fetch/i.test(error.message)) return "The homeserver can't be reached.";
  return error.message || String(error);
}

/** Why a login did not work. */
export function loginText(error, homeserver) {
  if (error.errcode === "M_FORBIDDEN") return "Wrong user name or password.";
  if (error.errcode in ERRORS) return ERRORS[error.errcode];
  if (error instanceof TypeError) return `${homeserver} can't be reached. Is the name right?`;
  return errorText(error);
}

/** Why there is no guest account. */
export function guestText(error, homeserver) {
  if (error.status === 401 || error.status === 403)
    return `${homeserver} does not let strangers register. Log in with an account instead.`;
  return loginText(error, homeserver);
}

/** Why a room could not be entered. */
export function roomText(error, room) {
  if (error.errcode === "M_FORBIDDEN") return `${room} can only be entered by invitation, and you have none.`;
  if (error.errcode === "M_NOT_FOUND" || error.status === 404) return `There is no room ${room}.`;
  return errorText(error);
}

/** What a leg is doing. */
export const PHASES = {
  idle: "Not connected",
  dialling: "Connecting…",
  connected: "Connected",
  reconnecting: "Reconnecting…",
  left: "Left",
};

/**
 * Why somebody in the call is neither seen nor heard.
 *
 * @param {{reach: string, foci: {user_id: string}[]}} member
 * @param {string} name
 * @returns {string|null} null where they are reached
 */
export function reachText(member, name) {
  switch (member.reach) {
    case "mesh":
      return `${name} can't be seen or heard: their client calls everybody directly and does not know media servers.`;
    case "other-focus":
      return `${name} can't be seen or heard: they are on ${focusOf(member)}, and nothing of theirs comes from there.`;
    default:
      return null;
  }
}

/** How far the connection of our focus to another one is: the states of docs/cascade.md, section 3. */
const HOP_STATES = {
  idle: "not connected",
  waiting: "waiting for its call",
  dialling: "calling",
  answering: "being called",
  up: "connected",
  backing_off: "trying again soon",
  resting: "not needed now",
};

/**
 * The same for people.
 *
 * @param {string} state
 * @returns {string}
 */
export function hopStateText(state) {
  return HOP_STATES[state] ?? state;
}

function focusOf({ foci }) {
  return foci[0] ? `another media server, ${foci[0].user_id}` : "another media server";
}

/** Causes of `org.matrix_focus.why` (protocol: section 6.7), where the focus sent no sentence of its own. */
const CAUSES = {
  size: "This is what its tile asks for.",
  layer_not_sent: "The sender does not send the layer that would fit.",
  switched_off: "Nobody wanted a larger one; the sender has just been asked for it.",
  waiting: "It begins with the next key frame.",
  ceiling: "The operator of this focus allows no larger pictures.",
  budget: "Your connection does not carry more.",
  cap: "The operator of this focus allows no more for all pictures together.",
  pinned_first: "Your connection does not carry more, and what you pinned comes first.",
  screen_first: "Your connection does not carry more, and the screen share comes first.",
  speaker: "Your connection does not carry more, and who speaks comes first.",
  last_n: "The operator of this focus allows no more pictures at a time.",
  unheard: "In a call of this size the loudest are forwarded, and others are louder.",
  not_visible: "Its tile is out of sight.",
  codec: "Your browser can't decode what the sender sends.",
  paused: "The sender sends nothing of it now.",
  muted: "The sender has muted it.",
  refused: "Your browser refused it.",
  full: "There is no room for more tracks in this connection.",
  negotiating: "It is being agreed on.",
  hop: "The connection to the sender's media server does not bring more.",
  not_published: "Nobody publishes it.",
};

/** Causes for which a picture may come in its full size and still be less than was asked for: fewer frames. */
const LIMITS = new Set(["budget", "cap", "pinned_first", "screen_first", "speaker"]);

/** Causes for which a tile tells why its sound does not come. That it was muted shows anyway. */
const SILENCES = new Set(["unheard", "codec", "refused", "full", "hop"]);

/**
 * What a tile tells of its picture: nothing where it is what was asked for.
 *
 * @param {object|null|undefined} why the focus's word on it
 * @returns {string}
 */
export function pictureText(why) {
  if (!why || why.cause === "size" || why.cause === "not_visible") return "";
  const isSmaller = (why.sent?.height ?? 0) < (why.wanted?.height ?? 0);
  return isSmaller || LIMITS.has(why.cause) ? whyText(why) : "";
}

/**
 * What a tile tells of its sound: nothing where it comes.
 *
 * @param {object|null|undefined} why the focus's word on it
 * @returns {string}
 */
export function soundText(why) {
  return SILENCES.has(why?.cause) ? whyText(why) : "";
}

/**
 * Why a track comes as it comes.
 *
 * @param {{cause?: string, text?: string}|null|undefined} why
 * @returns {string} empty where nothing was said
 */
export function whyText(why) {
  return why?.text || CAUSES[why?.cause] || "";
}

/** "3 people" */
export function countText(count) {
  return count === 1 ? "1 person" : `${count} people`;
}
