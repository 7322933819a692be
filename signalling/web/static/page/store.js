/** What this tab remembers over a reload. It is forgotten with the tab: nothing secret outlives it. */

const SESSION = "matrix-focus.session";
const CALL = "matrix-focus.call";
const PREFERENCES = "matrix-focus.preferences";

/** Whoever is logged in, and the call that a reload goes back to. */
export const store = {
  /** What MatrixHttp is made of again; null where nobody is logged in. */
  get session() {
    return read("sessionStorage", SESSION);
  },
  set session(value) {
    write("sessionStorage", SESSION, value);
  },

  /** The call that this tab is in; null where it is in none. */
  get call() {
    return read("sessionStorage", CALL);
  },
  set call(value) {
    write("sessionStorage", CALL, value);
  },

  /** Homeserver, user name, devices and the like: what a form is filled in with the next time. No secrets. */
  get preferences() {
    return read("localStorage", PREFERENCES) ?? {};
  },
  set preferences(value) {
    write("localStorage", PREFERENCES, value);
  },
};

function read(storage, key) {
  try {
    return JSON.parse(globalThis[storage].getItem(key));
  } catch {
    return null; // storage that is switched off (in a frame even its name throws), or somebody else's entry
  }
}

function write(storage, key, value) {
  try {
    if (value === null) globalThis[storage].removeItem(key);
    else globalThis[storage].setItem(key, JSON.stringify(value));
  } catch {
    // Storage that is switched off or full: a reload then begins anew.
  }
}
