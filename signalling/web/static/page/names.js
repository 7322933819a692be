/** Who people are: their names in the room. */

const ROOM_MEMBER = "m.room.member";
const ROOM_NAME = "m.room.name";

/** Display names of one room. Event: "changed". */
export class Names extends EventTarget {
  #matrix;
  #roomId;
  #names = new Map();
  #present = new Set();
  #listen = ({ detail }) => this.#hear(detail);

  /** The room's own name; empty where it has none. */
  room = "";

  /**
   * @param {Matrix} matrix the Matrix port
   * @param {string} roomId
   */
  constructor(matrix, roomId) {
    super();
    this.#matrix = matrix;
    this.#roomId = roomId;
    matrix.addEventListener("state", this.#listen);
  }

  /** Read them all; until then people are called by their user ids. */
  async read() {
    const [members, names] = await Promise.all([
      this.#matrix.readState(this.#roomId, ROOM_MEMBER),
      this.#matrix.readState(this.#roomId, ROOM_NAME),
    ]);
    this.#take([...members, ...names]);
  }

  /** @param {Iterable<string>} userIds who is in the call now */
  set present(userIds) {
    this.#present = new Set(userIds);
  }

  /**
   * A name that is nobody else's in the call: where two have the same, the user id stands with it.
   *
   * @param {string} userId
   * @returns {string}
   */
  of(userId) {
    const name = this.#names.get(userId);
    if (!name) return localPart(userId);
    const isShared = [...this.#present].some((other) => other !== userId && this.#names.get(other) === name);
    return isShared ? `${name} (${localPart(userId)})` : name;
  }

  /** No more changes. */
  close() {
    this.#matrix.removeEventListener("state", this.#listen);
  }

  #hear({ roomId, events }) {
    if (roomId === this.#roomId) this.#take(events);
  }

  #take(events) {
    for (const { type, state_key: key, content } of events) {
      if (type === ROOM_NAME) this.room = typeof content.name === "string" ? content.name : "";
      if (type !== ROOM_MEMBER) continue;
      const name = content.displayname;
      if (content.membership === "join" && typeof name === "string" && name.trim())
        this.#names.set(key, name.trim().slice(0, 80));
      else this.#names.delete(key);
    }
    this.dispatchEvent(new Event("changed"));
  }
}

/** "alice" of "@alice:example.org". */
export function localPart(userId) {
  return userId.replace(/^@/, "").split(":")[0];
}

/** One or two letters that stand for a person without a picture. */
export function initials(name) {
  const words = name.split(/[\s._-]+/).filter(Boolean);
  return (
    words
      .slice(0, 2)
      .map((word) => [...word][0].toUpperCase())
      .join("") || "?"
  );
}
