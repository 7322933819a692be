/** What arrives, what is sent and how: the browser's statistics (webrtc-stats), once a second, as rows. */

const EVERY_MS = 1000;

/**
 * @typedef {Object} Received one track that comes from the focus
 * @property {string} mid
 * @property {"audio"|"video"} kind
 * @property {string} codec "VP8"
 * @property {number} width of the newest picture; 0 before the first
 * @property {number} height
 * @property {number} fps pictures decoded in the last second
 * @property {number} bitrate bits a second, over the last sample
 * @property {number} packets all that came
 * @property {number} lost all that did not
 * @property {number} lossRatio of the last sample, 0 to 1
 * @property {number} jitterMs
 * @property {number} freezes
 * @property {number} freezeMs all together
 * @property {number} recentFreezeMs in the last sample
 * @property {number} frames decoded
 * @property {number} keyFrames decoded
 * @property {number} energy of the sound that was played, grows
 * @property {number} plis key frames that this browser asked for
 * @property {number} nacks packets that it asked for again
 */

/**
 * @typedef {Object} Sent one encoding of one track that goes to the focus
 * @property {string} mid
 * @property {"audio"|"video"} kind
 * @property {string} rid "" where there is one encoding only
 * @property {boolean} active
 * @property {string} codec
 * @property {number} width
 * @property {number} height
 * @property {number} fps
 * @property {number} bitrate
 * @property {string} limitation "none", "bandwidth", "cpu" or "other"
 * @property {number} frames encoded
 * @property {number} lossRatio as the focus reports it
 */

/**
 * @typedef {Object} Connection the transport that everything shares
 * @property {string} state of DTLS
 * @property {string} local address, port, protocol and type of the selected pair
 * @property {string} remote
 * @property {number|null} roundTripMs
 * @property {number|null} availableBps what the browser thinks it may send
 * @property {number} sentBps
 * @property {number} receivedBps
 */

/** Samples one client. Event: "sample". */
export class Stats extends EventTarget {
  #client;
  #timer = null;
  #last = new Map();
  #pc = null;

  /** @type {Map<string, Received>} by mid */
  received = new Map();

  /** @type {Sent[]} */
  sent = [];

  /** @type {Connection|null} */
  connection = null;

  /** @param {FocusClient} client */
  constructor(client) {
    super();
    this.#client = client;
  }

  /** Sample once a second from now on. */
  start() {
    this.#timer ??= setInterval(() => this.sample(), EVERY_MS);
  }

  /** No more samples. */
  stop() {
    clearInterval(this.#timer);
    this.#timer = null;
  }

  /** Sample now. */
  async sample() {
    const { pc } = this.#client;
    if (!pc || pc.connectionState === "closed") return;
    if (pc !== this.#pc) this.#last.clear(); // another leg counts anew
    this.#pc = pc;
    const report = await pc.getStats();
    const current = new Map();
    const received = new Map();
    const sent = [];
    for (const stat of report.values()) {
      if (!["inbound-rtp", "outbound-rtp", "transport"].includes(stat.type)) continue;
      current.set(stat.id, stat);
      const last = this.#last.get(stat.id) ?? null;
      if (stat.type === "inbound-rtp" && stat.mid) received.set(stat.mid, readReceived(report, stat, last));
      else if (stat.type === "outbound-rtp") sent.push(readSent(report, stat, last));
      else if (stat.type === "transport") this.connection = readConnection(report, stat, last);
    }
    this.#last = current;
    this.received = received;
    this.sent = sent.sort((one, other) => Number(one.mid) - Number(other.mid) || other.width - one.width);
    this.dispatchEvent(new Event("sample"));
  }
}

/**
 * How good a track is that arrives, for a person.
 *
 * @param {Received|undefined} audio
 * @param {Received|undefined} video
 * @returns {{bars: 0|1|2|3, text: string}}
 */
export function qualityOf(audio, video) {
  const loss = Math.max(audio?.lossRatio ?? 0, video?.lossRatio ?? 0);
  const frozen = video?.recentFreezeMs ?? 0;
  if (!audio?.packets && !video?.packets) return { bars: 0, text: "Nothing arrives yet" };
  if (loss > 0.1 || frozen > 400)
    return { bars: 1, text: `Poor: ${percent(loss)} lost${frozen ? ", the picture freezes" : ""}` };
  if (loss > 0.02 || frozen > 0 || (audio?.jitterMs ?? 0) > 60) return { bars: 2, text: `Fair: ${percent(loss)} lost` };
  return { bars: 3, text: "Good" };
}

/** "1.2 Mbit/s". */
export function bitrateText(bps) {
  if (bps >= 1e6) return `${(bps / 1e6).toFixed(1)} Mbit/s`;
  return `${Math.round(bps / 1e3)} kbit/s`;
}

/** "0.4 %". */
export function percent(ratio) {
  return `${(ratio * 100).toFixed(ratio && ratio < 0.1 ? 1 : 0)} %`;
}

function readReceived(report, stat, last) {
  const packets = since(stat, last, "packetsReceived");
  const lost = Math.max(0, since(stat, last, "packetsLost"));
  return {
    mid: stat.mid,
    kind: stat.kind,
    codec: codecOf(report, stat),
    width: stat.frameWidth ?? 0,
    height: stat.frameHeight ?? 0,
    fps: Math.round(rate(stat, last, "framesDecoded")),
    bitrate: 8 * rate(stat, last, "bytesReceived"),
    packets: stat.packetsReceived ?? 0,
    lost: stat.packetsLost ?? 0,
    lossRatio: packets + lost > 0 ? lost / (packets + lost) : 0,
    jitterMs: 1000 * (stat.jitter ?? 0),
    freezes: stat.freezeCount ?? 0,
    freezeMs: 1000 * (stat.totalFreezesDuration ?? 0),
    recentFreezeMs: 1000 * since(stat, last, "totalFreezesDuration"),
    frames: stat.framesDecoded ?? 0,
    keyFrames: stat.keyFramesDecoded ?? 0,
    energy: stat.totalAudioEnergy ?? 0,
    plis: stat.pliCount ?? 0,
    nacks: stat.nackCount ?? 0,
  };
}

function readSent(report, stat, last) {
  const heard = report.get(stat.remoteId);
  return {
    mid: stat.mid ?? "",
    kind: stat.kind,
    rid: stat.rid ?? "",
    active: stat.active ?? true,
    codec: codecOf(report, stat),
    width: stat.frameWidth ?? 0,
    height: stat.frameHeight ?? 0,
    fps: Math.round(rate(stat, last, "framesEncoded")),
    bitrate: 8 * rate(stat, last, "bytesSent"),
    limitation: stat.qualityLimitationReason ?? "none",
    frames: stat.framesEncoded ?? 0,
    lossRatio: heard?.fractionLost ?? 0,
  };
}

function readConnection(report, stat, last) {
  const pair = report.get(stat.selectedCandidatePairId);
  const [local, remote] = [report.get(pair?.localCandidateId), report.get(pair?.remoteCandidateId)];
  return {
    state: stat.dtlsState ?? "",
    local: candidateText(local),
    remote: candidateText(remote),
    roundTripMs: pair?.currentRoundTripTime === undefined ? null : 1000 * pair.currentRoundTripTime,
    availableBps: pair?.availableOutgoingBitrate ?? null,
    sentBps: 8 * rate(stat, last, "bytesSent"),
    receivedBps: 8 * rate(stat, last, "bytesReceived"),
  };
}

function candidateText(candidate) {
  if (!candidate) return "none";
  const address = candidate.address?.includes(":") ? `[${candidate.address}]` : (candidate.address ?? "hidden");
  return `${address}:${candidate.port} ${candidate.protocol} ${candidate.candidateType}`;
}

function codecOf(report, stat) {
  return report.get(stat.codecId)?.mimeType.split("/")[1] ?? "";
}

function since(stat, last, name) {
  return last ? (stat[name] ?? 0) - (last[name] ?? 0) : 0;
}

function rate(stat, last, name) {
  const seconds = last ? (stat.timestamp - last.timestamp) / 1000 : 0;
  return seconds > 0 ? Math.max(0, since(stat, last, name) / seconds) : 0;
}
