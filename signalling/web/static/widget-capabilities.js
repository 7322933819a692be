/**
 * What the page asks its host's permission for (MSC2762, MSC3819, MSC3846), and what each permission means in words.
 * A host shows them to its person, so the list is as short as a call allows.
 */

const STATE_READ = [
  ["org.matrix.msc3401.call", "see calls"],
  ["org.matrix.msc3401.call.member", "see who is in a call"],
  ["m.room.member", "see who is in the room"],
];
const STATE_READ_OPTIONAL = [
  ["m.call", "see calls (stable name)"],
  ["m.call.member", "see who is in a call (stable name)"],
  ["m.room.power_levels", "see who may do what in the room"],
  ["m.room.create", "see who made the room"],
  ["m.room.tombstone", "see whether the room has been replaced"],
  ["m.room.name", "see the name of the room"],
];
const SENT = ["m.call.invite", "m.call.candidates", "m.call.select_answer", "m.call.negotiate", "m.call.hangup"];
const RECEIVED = ["m.call.answer", "m.call.candidates", "m.call.negotiate", "m.call.hangup", "m.call.reject"];
const MEDIA_KEYS = "org.matrix_focus.media_keys";

/** To be told of the homeserver's TURN servers (MSC3846). */
export const TURN_SERVERS = "town.robin.msc3846.turn_servers";
/** To go on while the host's person looks at something else. */
export const ALWAYS_ON_SCREEN = "m.always_on_screen";

/**
 * One permission.
 *
 * @typedef {object} Capability
 * @property {string} id as the widget API spells it
 * @property {string} words for people
 * @property {boolean} required whether there is no call without it
 */

/**
 * What the page needs in a room.
 *
 * @param {string} roomId
 * @param {string} userId whose own member event is written
 * @returns {Capability[]}
 */
export function capabilitiesFor(roomId, userId) {
  const required = [
    // Without it hosts take the room that is looked at for the widget's, also for what is written.
    { id: `org.matrix.msc2762.timeline:${roomId}`, words: "use this room while another one is looked at" },
    ...STATE_READ.map(([type, words]) => ({ id: readState(type), words })),
    { id: sendState("org.matrix.msc3401.call.member", userId), words: "tell the room that you are in a call" },
    ...SENT.map((type) => ({ id: sendToDevice(type), words: `send call signalling (${type})` })),
    ...RECEIVED.map((type) => ({ id: receiveToDevice(type), words: `receive call signalling (${type})` })),
  ];
  const optional = [
    ...STATE_READ_OPTIONAL.map(([type, words]) => ({ id: readState(type), words })),
    { id: sendState("org.matrix.msc3401.call"), words: "begin and end calls" },
    { id: sendToDevice(MEDIA_KEYS), words: "send keys of encrypted media" },
    { id: receiveToDevice(MEDIA_KEYS), words: "receive keys of encrypted media" },
    { id: TURN_SERVERS, words: "use the homeserver's TURN servers" },
    { id: ALWAYS_ON_SCREEN, words: "go on while you look at something else" },
  ];
  return [
    ...required.map((one) => ({ ...one, required: true })),
    ...optional.map((one) => ({ ...one, required: false })),
  ];
}

/** @returns {string[]} the types of state that `capabilitiesFor` asks to read */
export function stateTypes() {
  return [...STATE_READ, ...STATE_READ_OPTIONAL].map(([type]) => type);
}

/**
 * @param {string} type of state events
 * @returns {string} the capability to read those of every state key
 */
export function readState(type) {
  return `org.matrix.msc2762.receive.state_event:${escaped(type)}`;
}

/**
 * @param {string} type of state events
 * @param {string} [stateKey] of the only one; without it of every state key
 * @returns {string} the capability to write them
 */
export function sendState(type, stateKey) {
  return `org.matrix.msc2762.send.state_event:${escaped(type)}${stateKey === undefined ? "" : `#${stateKey}`}`;
}

/**
 * @param {string} type of to-device messages
 * @returns {string} the capability to send them
 */
export function sendToDevice(type) {
  return `org.matrix.msc3819.send.to_device:${type}`;
}

/**
 * @param {string} type of to-device messages
 * @returns {string} the capability to receive them
 */
export function receiveToDevice(type) {
  return `org.matrix.msc3819.receive.to_device:${type}`;
}

/* A `#` begins the state key. */
function escaped(type) {
  return type.replaceAll("#", "\\#");
}
