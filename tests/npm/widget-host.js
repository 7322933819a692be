// A Matrix client that opens the page as a widget: npm's matrix-js-sdk, logged in with Olm, and npm's
// matrix-widget-api, which is what Element and others run on their side of the frame.
//
// The driver is ours; it does what Element's does, and asks no person: what `refused` names is not allowed.

import { ClientEvent, MatrixError, MemoryStore, RoomStateEvent, createClient } from "matrix-js-sdk";
import { ClientWidgetApi, Widget, WidgetDriver } from "matrix-widget-api";
import { ClientWidgetApi as OlderClientWidgetApi } from "older-matrix-widget-api";

const WIDGET_ID = "call-widget";

class Driver extends WidgetDriver {
  constructor(client, refused, turnServers) {
    super();
    this.client = client;
    this.refused = refused;
    this.turnServers = turnServers;
    this.asked = [];
    this.sent = [];
    this.written = [];
    this.failures = 0;
  }

  async validateCapabilities(requested) {
    this.asked.push(...requested);
    return new Set([...requested].filter((one) => !this.refused.some((part) => one.includes(part))));
  }

  async sendEvent(type, content, stateKey, roomId) {
    if (!roomId) throw new Error("the room is the one that is looked at, whichever that is");
    this.written.push({ type, stateKey, content });
    this.failNow();
    const { event_id: eventId } = await this.client.sendStateEvent(roomId, type, content, stateKey);
    return { roomId, eventId };
  }

  async sendToDevice(type, encrypted, messages) {
    this.failNow();
    this.sent.push({ type, encrypted });
    const devices = Object.entries(messages).flatMap(([userId, contents]) =>
      Object.entries(contents).map(([deviceId, payload]) => ({ userId, deviceId, payload })),
    );
    if (!encrypted) {
      await this.client.queueToDevice({ eventType: type, batch: devices });
      return;
    }
    for (const { userId, deviceId, payload } of devices) {
      const crypto = this.client.getCrypto();
      await this.client.queueToDevice(await crypto.encryptToDeviceMessages(type, [{ userId, deviceId }], payload));
    }
  }

  // As often as a test wants, the homeserver can't be reached.
  failNow() {
    if (this.failures === 0) return;
    this.failures -= 1;
    throw new Error("fetch failed");
  }

  async readRoomState(roomId, type, stateKey) {
    const state = this.client.getRoom(roomId)?.currentState;
    if (stateKey !== undefined) return [state?.getStateEvents(type, stateKey)].filter(Boolean).map(raw);
    return (state?.getStateEvents(type) ?? []).map(raw);
  }

  async readRoomTimeline(roomId, type, _msgtype, stateKey) {
    const events = this.client.getRoom(roomId)?.getLiveTimeline().getEvents() ?? [];
    const isWanted = (event) => event.getType() === type && [undefined, event.getStateKey()].includes(stateKey);
    return events.filter(isWanted).map(raw);
  }

  // The older library's name for it; rooms as a list.
  async readStateEvents(type, stateKey, _limit, roomIds) {
    return (await Promise.all(roomIds.map((roomId) => this.readRoomState(roomId, type, stateKey)))).flat();
  }

  async *getTurnServers() {
    if (this.turnServers.length === 0) return;
    yield* this.turnServers;
    // New credentials would come much later.
    await new Promise(() => {});
  }

  getKnownRooms() {
    return this.client.getRooms().map((room) => room.roomId);
  }

  processError(error) {
    return error instanceof MatrixError ? { matrix_api_error: error.asWidgetApiErrorData() } : undefined;
  }
}

const raw = (event) => event.getEffectiveEvent();

/** The client and its one widget. */
class Host {
  constructor(client, options) {
    this.client = client;
    this.options = options;
    this.driver = new Driver(client, options.refused ?? [], options.turnServers ?? []);
    this.ready = 0;
    this.stays = [];
  }

  async start() {
    await this.client.initRustCrypto({ useIndexedDB: false });
    const prepared = new Promise((resolve) => {
      this.client.on(ClientEvent.Sync, (state) => state === "PREPARED" && resolve());
    });
    await this.client.startClient({ lazyLoadMembers: false });
    await prepared;
  }

  /** Open the widget as the room's state event describes it. */
  show() {
    const { roomId, template, older = false, waitForIframeLoad = true } = this.options;
    const widget = new Widget({
      id: WIDGET_ID,
      creatorUserId: this.client.getUserId(),
      type: "m.custom",
      url: template,
      waitForIframeLoad,
    });
    const url = new URL(
      widget.getCompleteUrl({
        widgetRoomId: roomId,
        currentUserId: this.client.getUserId(),
        deviceId: this.client.getDeviceId(),
        baseUrl: this.client.baseUrl,
        clientTheme: "dark",
        clientLanguage: "en",
      }),
    );
    url.searchParams.set("widgetId", WIDGET_ID);
    url.searchParams.set("parentUrl", this.options.parentUrl ?? location.href.split("#", 2)[0]);
    this.frame = document.createElement("iframe");
    this.frame.allow = "autoplay; camera; display-capture; microphone";
    this.frame.style = "width: 100vw; height: 100vh; border: 0";
    this.frame.src = url.href;
    document.body.style = "margin: 0";
    document.body.append(this.frame);
    const Api = older ? OlderClientWidgetApi : ClientWidgetApi;
    this.api = new Api(widget, this.frame, this.driver);
    this.api.on("ready", () => (this.ready += 1));
    this.api.on("action:set_always_on_screen", (event) => {
      event.preventDefault();
      this.stays.push(event.detail.data.value);
      this.api.transport.reply(event.detail, {});
    });
    if (!older) this.api.setViewedRoomId(roomId);
    this.feed(older);
  }

  feed(older) {
    const { roomId } = this.options;
    this.client.on(ClientEvent.Event, (event) => {
      if (event.getRoomId()) this.api.feedEvent(raw(event), roomId).catch(() => {});
    });
    if (!older) {
      this.client.on(RoomStateEvent.Events, (event) => this.api.feedStateUpdate(raw(event)).catch(() => {}));
    }
    this.client.on(ClientEvent.ReceivedToDeviceMessage, ({ message, encryptionInfo }) => {
      this.api.feedToDevice(message, encryptionInfo !== null).catch(() => {});
    });
  }

  /**
   * Whether the client can encrypt for a device. Its owner's client publishes its keys after it has started, and what
   * is encrypted for a device without any is sent to nobody, without a word.
   */
  async knows(userId, deviceId) {
    const devices = await this.client.getCrypto().getUserDeviceInfo([userId]);
    return devices.get(userId)?.has(deviceId) ?? false;
  }

  /** The person closes the widget. */
  close() {
    this.frame.remove();
  }

  /** The person looks at another room, and back. */
  lookAround(roomId) {
    this.api.setViewedRoomId(roomId);
    this.api.setViewedRoomId(this.options.roomId);
  }
}

/** A `fetch` that takes its time with the keys of the device. */
const slowWithKeys = (delayMs) => async (resource, request) => {
  if (String(resource).includes("/keys/upload")) await new Promise((resolve) => setTimeout(resolve, delayMs));
  return fetch(resource, request);
};

window.openHost = async (options) => {
  const { baseUrl, accessToken, userId, deviceId, keysLateMs = 0 } = options;
  const client = createClient({
    baseUrl,
    accessToken,
    userId,
    deviceId,
    store: new MemoryStore(),
    disableVoip: true,
    fetchFn: slowWithKeys(keysLateMs),
  });
  window.host = new Host(client, options);
  await window.host.start();
  window.host.show();
};
