/** Who we are: the one place that chooses the Matrix port. */

import { MatrixHttp } from "../matrix-http.js";
import { WidgetMatrix } from "../widget.js";
import { guestText, loginText } from "./sentences.js";
import { store } from "./store.js";

/** Something that a person entered does not do; `field` names it. */
export class FieldError extends Error {
  /**
   * @param {"homeserver"|"account"|"room"|"devices"|"join"} field of the lobby
   * @param {string} text for the person
   */
  constructor(field, text) {
    super(text);
    this.name = "FieldError";
    this.field = field;
  }
}

/**
 * @typedef {{kind: "login", homeserver: string, user: string, password: string}
 *     | {kind: "guest", homeserver: string, name: string}
 *     | {kind: "session", session: Object}
 *     | {kind: "widget", matrix: WidgetMatrix}} Account
 */

/** The widget that this page was opened as, or null. Must be called while the first module is evaluated. */
export function widgetOf(location) {
  return WidgetMatrix.fromLocation(location);
}

/**
 * Become somebody.
 *
 * @param {Account} account
 * @returns {Promise<Matrix>} the Matrix port, not started
 * @throws {FieldError}
 */
export async function openMatrix(account) {
  switch (account.kind) {
    case "widget":
      return account.matrix;
    case "session":
      return new MatrixHttp(account.session);
    case "guest":
      return remembered(await told(() => MatrixHttp.registerGuest(account), guestText, account.homeserver));
    case "login":
      return remembered(await told(() => MatrixHttp.login(account), loginText, account.homeserver));
    default:
      throw new RangeError(`no account of kind ${account.kind}`);
  }
}

/** Log out: the homeserver forgets the device, this tab forgets who we were. */
export async function logOut(session) {
  store.session = null;
  store.call = null;
  try {
    await new MatrixHttp(session).request("POST", "/_matrix/client/v3/logout", {});
  } catch {
    // A homeserver that can't be reached, or has ended the session itself: here it is over all the same.
  }
}

async function told(open, textOf, homeserver) {
  try {
    return await open();
  } catch (error) {
    throw new FieldError(error.status === undefined ? "homeserver" : "account", textOf(error, homeserver));
  }
}

function remembered(matrix) {
  store.session = matrix.session;
  return matrix;
}
