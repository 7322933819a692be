/**
 * The little that a client must read and write in SDP itself (protocol: sections 5 and 7).
 *
 * Everything else in a description is the browser's business.
 */

/** Who made a description: session id and version. */
const ORIGIN = /^o=\S+ (\d+) (\d+) /m;

/**
 * @typedef {object} Section
 * @property {string} kind        "audio", "video" or "application"
 * @property {string} direction   "sendrecv", "sendonly", "recvonly" or "inactive", as the description's author says it
 * @property {string} streamId    first half of `a=msid`; "" where there is none
 * @property {string} trackId     second half of `a=msid`; "" where there is none
 */

/**
 * The sections of a description by mid.
 *
 * @param {string} [sdp]
 * @returns {Map<string, Section>}
 */
export function sectionsOf(sdp = "") {
  const sections = new Map();
  for (const text of sdp.split(/^m=/m).slice(1)) {
    const mid = text.match(/^a=mid:(\S+)/m)?.[1];
    if (mid === undefined) continue;
    const [, streamId = "", trackId = ""] = text.match(/^a=msid:(\S+)(?: (\S+))?/m) ?? [];
    sections.set(mid, {
      kind: text.slice(0, text.indexOf(" ")),
      direction: text.match(/^a=(sendrecv|sendonly|recvonly|inactive)\s*$/m)?.[1] ?? "sendrecv",
      streamId,
      trackId,
    });
  }
  return sections;
}

/**
 * Whether a description was made before another of the same author: each has a higher version (RFC 8829 section 5.2).
 *
 * @param {string} [sdp]
 * @param {string} [other]
 * @returns {boolean}
 */
export function isOlder(sdp = "", other = "") {
  const [, session, version] = sdp.match(ORIGIN) ?? [];
  const [, otherSession, otherVersion] = other.match(ORIGIN) ?? [];
  return session !== undefined && session === otherSession && BigInt(version) < BigInt(otherVersion);
}

/**
 * The description with discontinuous transmission asked for: a silent microphone then sends 5 packets a second, not 50.
 *
 * Browsers never ask for it themselves. The focus repeats it in its answer, and the answer is what the encoder obeys
 * (protocol: section 7.1); so only what is *sent* is changed, never what the browser holds.
 *
 * @param {string} sdp
 * @returns {string}
 */
export function withOpusDtx(sdp) {
  let changed = sdp;
  for (const [, payloadType] of sdp.matchAll(/^a=rtpmap:(\d+) opus\/48000/gim)) {
    const parameters = new RegExp(`^(a=fmtp:${payloadType} )(?!.*usedtx=)(.*?)(\\r?)$`, "gm");
    changed = changed.replace(parameters, "$1$2;usedtx=1$3");
  }
  return changed;
}
