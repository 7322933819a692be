/** The panel's second tab: what is asked for, what arrives and why; what is sent. */

import { element } from "./dom.js";
import { whyText } from "./sentences.js";
import { bitrateText, percent } from "./stats.js";

/** Shows every track of a call, once a second while it is shown. */
export class TracksTab {
  #client;
  #names;
  #stats;
  #measured;
  #isShown = false;
  #path = element("dl", { class: "facts facts-wide" });
  #received = element("div", { class: "cards" });
  #sent = element("div", { class: "cards" });

  title = "Tracks";
  element = element(
    "div",
    { class: "tab-body" },
    element("h3", {}, "Received"),
    this.#path,
    this.#received,
    element("h3", {}, "Sent"),
    this.#sent,
  );

  /**
   * @param {FocusClient} client
   * @param {Names} names
   * @param {Stats} stats
   * @param {Measured} measured
   */
  constructor(client, names, stats, measured) {
    this.#client = client;
    this.#names = names;
    this.#stats = stats;
    this.#measured = measured;
    stats.addEventListener("sample", () => this.#fill());
    client.addEventListener("streams", () => this.#fill());
    client.addEventListener("why", () => this.#fill());
    measured.addEventListener("changed", () => this.#fill());
  }

  show() {
    this.#isShown = true;
    this.#measured.watch(this, true);
    this.#fill();
  }

  hide() {
    this.#isShown = false;
    this.#measured.watch(this, false);
  }

  #fill() {
    if (!this.#isShown) return;
    this.#path.replaceChildren(...factRows(this.#measured.facts));
    const open = new Set([...this.element.querySelectorAll("details[open]")].map((one) => one.dataset.key));
    const cards = [];
    for (const [streamId, stream] of this.#client.streams) {
      for (const track of stream.tracks.values()) cards.push(this.#receivedCard(streamId, stream, track, open));
    }
    this.#received.replaceChildren(...(cards.length ? cards : [empty("Nobody else sends anything.")]));
    const mids = groupByMid(this.#stats.sent);
    const sent = [...mids.values()].map((rows) => this.#sentCard(rows));
    this.#sent.replaceChildren(...(sent.length ? sent : [empty("Nothing is sent.")]));
  }

  #receivedCard(streamId, stream, track, open) {
    const row = this.#stats.received.get(track.mid);
    const arrives = row?.kind === track.kind ? row : null;
    const isVideo = track.kind === "video";
    const why = track.why ?? null;
    const facts = [
      ["asked for", wantedText(track, isVideo)],
      ["announced", isVideo ? sizeText(track.width, track.height) : "audio"],
      ["arrives", arrivesText(arrives, isVideo, why)],
    ];
    if (arrives) {
      facts.push(
        ["lost", `${arrives.lost} (${percent(arrives.lossRatio)} now)`],
        ["jitter", `${arrives.jitterMs.toFixed(0)} ms`],
      );
      if (isVideo)
        facts.push(
          ["freezes", `${arrives.freezes}, ${(arrives.freezeMs / 1000).toFixed(1)} s`],
          ["key frames", `${arrives.keyFrames}, asked for ${arrives.plis}`],
        );
      facts.push(["codec, mid", `${arrives.codec}, ${track.mid}`]);
    }
    const key = `${streamId} ${track.trackId}`;
    const raw =
      why &&
      element(
        "details",
        { "data-key": key, open: open.has(key) },
        element("summary", {}, "the focus's own record"),
        element("pre", {}, JSON.stringify(why, null, 2)),
      );
    return element(
      "section",
      { class: "card", "data-track": track.trackId },
      element(
        "h4",
        {},
        element("span", { class: "card-name" }, this.#names.of(stream.userId)),
        element("span", { class: "pill" }, stream.purpose === "m.screenshare" ? `screen ${track.kind}` : track.kind),
        muted(stream, track) ? element("span", { class: "pill pill-off" }, "muted") : null,
      ),
      element("dl", { class: "facts" }, ...factRows(facts)),
      whyText(why) ? element("p", { class: `card-why${why.cause === "size" ? " is-fine" : ""}` }, whyText(why)) : null,
      raw,
    );
  }

  #sentCard(rows) {
    const [{ kind, codec, mid }] = rows;
    const head = ["rid", "size", "fps", "rate", "state"].map((text) => element("th", { scope: "col" }, text));
    const lines = rows.map((row) =>
      element(
        "tr",
        { class: row.active ? "" : "is-off" },
        element("th", { scope: "row" }, row.rid || "–"),
        element("td", {}, kind === "video" ? sizeText(row.width, row.height) : "–"),
        element("td", {}, kind === "video" ? String(row.fps) : "–"),
        element("td", {}, bitrateText(row.bitrate)),
        element("td", {}, stateText(row)),
      ),
    );
    return element(
      "section",
      { class: "card", "data-mid": mid },
      element(
        "h4",
        {},
        element("span", { class: "card-name" }, kind === "video" ? "Picture" : "Sound"),
        element("span", { class: "pill" }, `${codec || kind}, mid ${mid}`),
      ),
      element(
        "table",
        { class: "encodings" },
        element("thead", {}, element("tr", {}, ...head)),
        element("tbody", {}, ...lines),
      ),
    );
  }
}

function factRows(facts) {
  return facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);
}

function wantedText({ wanted }, isVideo) {
  if (!wanted) return "nothing: it was never in sight";
  if (!isVideo) return "always";
  const { width, height, isPinned, isVisible } = wanted;
  return [sizeText(width, height), isPinned && "pinned", !isVisible && "out of sight"].filter(Boolean).join(", ");
}

function arrivesText(row, isVideo, why) {
  if (!row || !row.packets) return "nothing yet";
  const rate = bitrateText(row.bitrate);
  if (!isVideo) return rate;
  const layer = why?.sent?.rid ? `, layer ${why.sent.rid}` : "";
  return `${sizeText(row.width, row.height)}, ${row.fps} fps, ${rate}${layer}`;
}

// What the focus wants off is off ("not wanted"); what it wants and the browser does not send is limited.
function stateText(row) {
  if (!row.active) return "off: nobody needs it";
  if (row.limitation !== "none" && row.limitation !== "") return `limited: ${row.limitation}`;
  if (row.kind === "video" && !row.fps) return "on, nothing to send";
  return "on";
}

function sizeText(width, height) {
  return width && height ? `${width}x${height}` : "unknown size";
}

function muted(stream, track) {
  return track.kind === "audio" ? stream.audioMuted : stream.videoMuted;
}

function empty(text) {
  return element("p", { class: "empty" }, text);
}

function groupByMid(rows) {
  const groups = new Map();
  for (const row of rows) groups.set(row.mid, [...(groups.get(row.mid) ?? []), row]);
  return groups;
}
