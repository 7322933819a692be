/** What the address of a page says of the widget that it is: filled in by the host from the widget's URL template. */

import { WidgetError } from "./widget-channel.js";

/**
 * @typedef {object} WidgetAddress
 * @property {string} widgetId
 * @property {string} hostOrigin
 * @property {string} roomId
 * @property {string} userId
 * @property {string} deviceId of the host's own session
 * @property {string|null} baseUrl of the homeserver (MSC4039)
 * @property {string|null} theme (MSC2873)
 * @property {string|null} language BCP 47 (MSC2873)
 */

/**
 * @param {Location|URL} location
 * @returns {WidgetAddress|null} null: it is not that of a widget
 * @throws {WidgetError} it is, but lacks what a call needs
 */
export function readAddress(location) {
  const query = new URLSearchParams(location.search);
  const widgetId = query.get("widgetId");
  const parentUrl = query.get("parentUrl");
  if (!widgetId || !parentUrl) return null;
  // What stands behind the # is not sent to whoever serves the page.
  const fragment = new URLSearchParams(location.hash.replace(/^#(?:[^?]*\?)?/, ""));
  const told = (name) => fragment.get(name) ?? query.get(name) ?? "";
  return {
    widgetId,
    hostOrigin: originOf(parentUrl),
    roomId: expected(told("roomId"), /^!\S{1,254}$/, "roomId=$matrix_room_id"),
    userId: expected(told("userId"), /^@[^\s:]{0,200}:\S{1,254}$/, "userId=$matrix_user_id"),
    deviceId: expected(told("deviceId"), /^\S{1,255}$/, "deviceId=$org.matrix.msc3819.matrix_device_id"),
    baseUrl: httpUrl(told("baseUrl")),
    theme: filled(told("theme")),
    language: filled(told("lang")),
  };
}

/**
 * A template parameter that the host does not know stays as it is, `$` and all; one that it has no value for is empty.
 *
 * @param {unknown} value
 * @returns {string|null}
 */
export function filled(value) {
  return typeof value === "string" && value !== "" && !value.startsWith("$") ? value : null;
}

function expected(value, pattern, parameter) {
  if (filled(value) !== null && pattern.test(value)) return value;
  throw new WidgetError(
    `The widget's address lacks ${parameter}, or your Matrix client does not fill it in (it says "${value}").`,
  );
}

function originOf(parentUrl) {
  const url = httpUrl(parentUrl);
  if (url === null) throw new WidgetError(`The widget's host has no address that can be used: ${parentUrl}`);
  return new URL(url).origin;
}

function httpUrl(text) {
  if (!URL.canParse(text)) return null;
  const url = new URL(text);
  return ["http:", "https:"].includes(url.protocol) ? url.href.replace(/\/$/, "") : null;
}
