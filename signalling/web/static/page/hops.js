/** The other foci of a call: how the connection of ours to each of them is, and what goes over it. */

import { element } from "./dom.js";
import { hopStateText } from "./sentences.js";
import { bitrateText, percent } from "./stats.js";

/** Cards, one a focus, under a heading; nothing where all of the call is on one focus. */
export class Hops {
  #cards = element("div", { class: "cards" });

  element = element("section", { class: "hops", hidden: true }, element("h3", {}, "Other media servers"), this.#cards);

  /** @param {object[]} hops as of `org.matrix_focus.stats` (protocol: section 6.7) */
  show(hops) {
    this.element.hidden = hops.length === 0;
    this.#cards.replaceChildren(...hops.map(card));
  }
}

function card(hop) {
  const isUp = hop.state === "up";
  const facts = [
    ["device", hop.device_id],
    ["for", durationText(Date.now() - hop.since)],
    ["people there", String(hop.people)],
  ];
  if (isUp) {
    facts.push(
      ["receives", wayText(hop.received)],
      ["sends", wayText(hop.sent)],
      ["round trip", hop.round_trip_time === null ? "not measured yet" : `${(1000 * hop.round_trip_time).toFixed(0)} ms`],
      ["carries", hop.estimate === null ? "no limit known" : bitrateText(hop.estimate)],
    );
  }
  return element(
    "section",
    { class: "card", "data-hop": hop.user_id, "data-state": hop.state },
    element(
      "h4",
      {},
      element("span", { class: "card-name", title: hop.user_id }, hop.user_id),
      element("span", { class: `pill${isUp ? "" : " pill-off"}` }, hopStateText(hop.state)),
    ),
    element(
      "dl",
      { class: "facts" },
      ...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]),
    ),
  );
}

function wayText({ tracks, layers, bitrate, loss }) {
  const lost = loss === null ? "" : `, ${percent(loss)} lost`;
  return `${bitrateText(bitrate)} in ${counted(tracks, "track")}, ${counted(layers, "layer")}${lost}`;
}

function counted(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** "3 min 20 s". The clocks of two machines differ: what is not over yet has just begun. */
function durationText(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}
