// The `GroupCall` of npm's matrix-js-sdk, unmodified: a full mesh of calls, which knows no foci.

import { createClient, MemoryStore } from "matrix-js-sdk";

let client, group;
const seen = { sent: [], received: [], errors: [] };

/** Log in and wait until the SDK has taken notice of the room's call. */
async function start({ baseUrl, accessToken, userId, deviceId, roomId }) {
  client = createClient({
    baseUrl,
    accessToken,
    userId,
    deviceId,
    store: new MemoryStore(),
    useE2eForGroupCall: false,
    fallbackICEServerAllowed: false,
  });
  client.on("received_voip_event", (event) => seen.received.push(told(event.getType(), event.getContent())));
  await client.startClient({ initialSyncLimit: 1 });
  await client.waitUntilRoomReadyForGroupCalls(roomId);
  group = client.getGroupCallForRoom(roomId);
  return client.getSessionId();
}

function told(type, content) {
  return { type, device: content.device_id, call: content.call_id, reason: content.reason ?? null };
}

/** Take part: the SDK writes the member event, and calls everybody whose turn it is to be called. */
async function enter() {
  const known = new Set();
  group.on("calls_changed", () =>
    group.forEachCall((call) => {
      if (known.has(call)) return;
      known.add(call);
      call.on("send_voip_event", ({ eventType, userId, content }) =>
        seen.sent.push({ type: eventType, to: userId, call: content.call_id, reason: content.reason ?? null }),
      );
    }),
  );
  group.on("group_call_error", (error) => seen.errors.push(String(error)));
  group.on("user_media_feeds_changed", show);
  await group.enter();
}

/** What is not played is not decoded. */
function show() {
  document.body.replaceChildren(
    ...group.userMediaFeeds.map(({ stream }) => {
      const video = document.createElement("video");
      video.muted = true;
      video.autoplay = true;
      video.srcObject = stream;
      return video;
    }),
  );
}

/** The calls that the SDK holds or tries to hold, by whom they are with. */
function calls() {
  const rows = [];
  group.forEachCall((call) =>
    rows.push({ user: call.getOpponentMember()?.userId ?? call.invitee, id: call.callId, state: call.state }),
  );
  return rows;
}

/** What has been decoded of somebody: pictures, and the energy of the sound. */
async function decoded(user) {
  const sums = { frames: 0, packets: 0 };
  const held = [];
  group.forEachCall((call) => held.push(call));
  for (const call of held.filter((one) => one.getOpponentMember()?.userId === user && one.peerConn)) {
    for (const stat of (await call.peerConn.getStats()).values()) {
      if (stat.type !== "inbound-rtp") continue;
      sums.frames += stat.framesDecoded ?? 0;
      if (stat.kind === "audio") sums.packets += stat.packetsReceived;
    }
  }
  return sums;
}

window.sdk = {
  start,
  enter,
  calls,
  decoded,
  seen: () => seen,
  participants: () => [...group.participants.keys()].map(({ userId }) => userId),
  feeds: () => group.userMediaFeeds.map(({ userId }) => userId),
  leave: () => group.leave(),
};
