// The `MatrixCall` of npm's matrix-js-sdk, unmodified, placed at a focus.
//
// The SDK knows nothing of foci: it dials a device, and negotiates by to-device messages. What a focus needs beyond
// that (who wants which track) goes over the data channel, which is spoken here; the member event is the test's.

import { createClient, createNewMatrixCall, MemoryStore } from "matrix-js-sdk";
import { SDPStreamMetadataPurpose } from "matrix-js-sdk/lib/webrtc/callEventTypes";
import { CallFeed } from "matrix-js-sdk/lib/webrtc/callFeed";

// There is no screen here: what the browser would capture is a picture that changes all the time.
navigator.mediaDevices.getDisplayMedia = async () => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [320, 180];
  const context = canvas.getContext("2d");
  let turn = 0;
  setInterval(() => {
    context.fillStyle = `hsl(${(turn += 7) % 360} 80% 50%)`;
    context.fillRect(0, 0, canvas.width, canvas.height);
  }, 100);
  return canvas.captureStream(10);
};

let client, call, channel;
let metadata = {};
const seen = { states: [], sent: [], received: [], channel: [], errors: [] };

/** Log in and wait until the SDK has taken notice of the room's call. */
async function start({ baseUrl, accessToken, userId, deviceId, roomId }) {
  client = createClient({
    baseUrl,
    accessToken,
    userId,
    deviceId,
    store: new MemoryStore(),
    useE2eForGroupCall: false,
    disableVoip: false,
    fallbackICEServerAllowed: false,
  });
  client.on("received_voip_event", (event) => seen.received.push(told(event.getType(), event.getContent())));
  await client.startClient({ initialSyncLimit: 1 });
  await client.waitUntilRoomReadyForGroupCalls(roomId);
  return client.getSessionId();
}

/** A stream as the SDK's own `GroupCall` hands it to its calls. */
function feed(stream, purpose) {
  return new CallFeed({
    client,
    roomId: call.roomId,
    userId: client.getUserId(),
    deviceId: client.getDeviceId(),
    stream,
    purpose,
    audioMuted: false,
    videoMuted: false,
  });
}

/** Dial the focus, as `GroupCall` dials a participant. */
async function place({ roomId, confId, focus }) {
  call = createNewMatrixCall(client, roomId, {
    invitee: focus.user_id,
    opponentDeviceId: focus.device_id,
    opponentSessionId: "sfu",
    groupCallId: confId,
  });
  call.on("error", (error) => seen.errors.push(String(error)));
  call.on("state", (state) => seen.states.push(state));
  call.on("send_voip_event", ({ eventType, content }) => seen.sent.push(told(eventType, content)));
  call.on("feeds_changed", show);
  const camera = await client.getMediaHandler().getUserMediaStream(true, true);
  await call.placeCallWithCallFeeds([feed(camera, SDPStreamMetadataPurpose.Usermedia)]);
  // Before the offer is made: the SDK waits for the browser's word that it is needed.
  channel = call.createDataChannel("datachannel");
  channel.onmessage = ({ data }) => hear(JSON.parse(data));
}

function told(type, { seq = null, description = null, reason = null }) {
  return { type, seq, description: description?.type ?? null, reason };
}

function hear({ type, content }) {
  seen.channel.push(told(type, content));
  if (content.sdp_stream_metadata) metadata = content.sdp_stream_metadata;
  if (type === "m.call.ping") say("m.call.pong", {});
  if (type === "org.matrix_focus.error") seen.errors.push(`${content.code}: ${content.text}`);
}

function say(type, content) {
  channel.send(JSON.stringify({ type, content }));
}

/** Want every track of everybody, pictures at this height. */
function subscribe(height) {
  const subscribe = Object.entries(metadata).flatMap(([streamId, { tracks }]) =>
    Object.entries(tracks).map(([trackId, { kind }]) => ({
      stream_id: streamId,
      track_id: trackId,
      ...(kind === "video" ? { width: Math.round((height * 16) / 9), height } : {}),
    })),
  );
  say("m.call.track_subscription", { subscribe, unsubscribe: [] });
}

/** Share the screen, as `GroupCall` does: `MatrixCall.setScreensharingEnabled` takes such a feed for a remote one. */
async function share(enabled) {
  if (!enabled) return call.removeLocalFeed(call.localScreensharingFeed);
  const screen = await client.getMediaHandler().getScreensharingStream({});
  return call.pushLocalFeed(feed(screen, SDPStreamMetadataPurpose.Screenshare));
}

/** What is not played is not decoded. */
function show() {
  document.body.replaceChildren(
    ...call.getRemoteFeeds().map(({ stream }) => {
      const video = document.createElement("video");
      video.autoplay = true;
      video.srcObject = stream;
      return video;
    }),
  );
}

/** One row a track that arrives: in which of the SDK's feeds, and whose that is by the focus's word. */
async function received() {
  const feeds = new Map(
    call.getRemoteFeeds().flatMap((feed) => feed.stream.getTracks().map((track) => [track.id, feed])),
  );
  const rows = [...(await call.peerConn.getStats()).values()].filter(({ type }) => type === "inbound-rtp");
  return rows.map((stat) => {
    const feed = feeds.get(stat.trackIdentifier);
    return {
      owner: metadata[feed?.stream.id]?.user_id ?? "",
      purpose: feed?.purpose ?? "",
      kind: stat.kind,
      frames: stat.framesDecoded ?? 0,
      packets: stat.packetsReceived,
      energy: stat.totalAudioEnergy ?? 0,
    };
  });
}

/** The SDK's feeds of others, by owner: what it would say of their mutes. */
function feeds() {
  return call.getRemoteFeeds().map((feed) => ({
    owner: metadata[feed.stream.id]?.user_id ?? "",
    purpose: feed.purpose,
    audioMuted: feed.isAudioMuted(),
    videoMuted: feed.isVideoMuted(),
    kinds: feed.stream.getTracks().map(({ kind }) => kind),
  }));
}

window.sdk = {
  start,
  place,
  subscribe,
  received,
  feeds,
  seen: () => seen,
  told: (purpose) => Object.values(metadata).some((stream) => stream.purpose === purpose),
  state: () => ({
    call: call?.state,
    hangup: call?.hangupReason ?? null,
    channel: channel?.readyState,
    ice: call?.peerConn?.iceConnectionState,
  }),
  setMuted: (kind, muted) => (kind === "audio" ? call.setMicrophoneMuted(muted) : call.setLocalVideoMuted(muted)),
  share,
  credentials: () => call.peerConn.remoteDescription.sdp.match(/a=ice-ufrag:(\S+)/)[1],
  hangUp: () => call.hangup("user_hangup", false),
};
