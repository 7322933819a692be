// A bare client of the dialect for the tests: everything of the wire, nothing for the eye.

const CALL_MEMBER = "org.matrix.msc3401.call.member";
const METADATA = "org.matrix.msc3077.sdp_stream_metadata";
const ENCODINGS = [
  { rid: "f", scaleResolutionDownBy: 1, maxBitrate: 900000 },
  { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 300000 },
  { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 120000 },
];

const token = () => Math.random().toString(36).slice(2, 12) + Date.now().toString(36);

export class TestClient {
  constructor(options) {
    Object.assign(this, options); // baseUrl, accessToken, userId, deviceId, roomId, confId, focus, width, height, frameRate
    this.sessionId = token();
    this.callId = token();
    this.seq = 0;
    this.txn = 0;
    this.log = [];
    this.metadata = {};
    this.wantedHeight = 180;
    this.left = false;
    this.speakers = [];
    this.muted = { audio: false, video: false };
    this.screen = null;
    this.turns = Promise.resolve();
    this.errors = [];
    this.hangups = [];
    this.isOffering = false;
    this.isDirty = false;
    this.offersIgnored = 0;
  }

  async request(method, path, body, query = {}) {
    const url = new URL(this.baseUrl + path);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    const answer = await fetch(url, {
      method,
      headers: { Authorization: `Bearer ${this.accessToken}`, "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const content = await answer.json();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${content.errcode} ${content.error}`);
    return content;
  }

  async putMember(devices) {
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(this.roomId)}/state/${CALL_MEMBER}/`;
    const calls = devices.length ? [{ "m.call_id": this.confId, "m.devices": devices }] : [];
    await this.request("PUT", path + encodeURIComponent(this.userId), { "m.calls": calls });
  }

  async sendToDevice(type, content) {
    const message = {
      version: "1",
      call_id: this.callId,
      party_id: this.deviceId,
      conf_id: this.confId,
      device_id: this.deviceId,
      sender_session_id: this.sessionId,
      dest_session_id: "sfu",
      seq: this.seq++,
      ...content,
    };
    const path = `/_matrix/client/v3/sendToDevice/${encodeURIComponent(type)}/${this.sessionId}${this.txn++}`;
    await this.request("PUT", path, {
      messages: { [this.focus.user_id]: { [this.focus.device_id]: message } },
    });
  }

  // Everything that is published now. A camera that was switched off keeps its ids.
  ownMetadata() {
    const metadata = { [this.stream.id]: this.streamMetadata(this.stream, "m.usermedia", this.muted) };
    if (this.screen) metadata[this.screen.id] = this.streamMetadata(this.screen, "m.screenshare", {});
    return metadata;
  }

  streamMetadata(stream, purpose, muted) {
    const tracks = {};
    for (const track of stream.getTracks()) {
      tracks[track.id] = { kind: track.kind };
      if (track.kind === "video") Object.assign(tracks[track.id], { width: this.width, height: this.height });
    }
    return {
      user_id: this.userId,
      device_id: this.deviceId,
      purpose,
      audio_muted: muted.audio ?? false,
      video_muted: muted.video ?? false,
      tracks,
    };
  }

  async join() {
    this.stream = await navigator.mediaDevices.getUserMedia({
      audio: true,
      video: { width: this.width, height: this.height, frameRate: this.frameRate },
    });
    const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers: [] });
    this.pc = pc;
    this.channel = pc.createDataChannel("datachannel");
    this.channel.onmessage = (event) => this.inTurn(() => this.receive(JSON.parse(event.data)));
    this.channel.onopen = () => this.log.push("channel open");
    pc.ontrack = (event) => this.addTrack(event);
    for (const track of this.stream.getTracks()) {
      const video = track.kind === "video";
      pc.addTransceiver(track, {
        direction: "sendrecv",
        streams: [this.stream],
        ...(video ? { sendEncodings: ENCODINGS } : {}),
      });
    }
    const since = await this.request("GET", "/_matrix/client/v3/sync", undefined, this.syncQuery(0));
    this.since = since.next_batch;
    this.syncLoop();
    await this.putMember([
      {
        device_id: this.deviceId,
        session_id: this.sessionId,
        expires_ts: Date.now() + 3600000,
        feeds: [{ purpose: "m.usermedia" }],
        "org.matrix.msc3898.foci.active": [this.focus],
        "org.matrix.msc3898.foci.preferred": [],
      },
    ]);
    await pc.setLocalDescription(await pc.createOffer());
    await this.sendToDevice("m.call.invite", {
      lifetime: 60000,
      invitee: this.focus.user_id,
      offer: { type: "offer", sdp: pc.localDescription.sdp },
      [METADATA]: this.ownMetadata(),
    });
  }

  // Messages are dealt with one after the other: applying a description takes a while.
  inTurn(step) {
    this.turns = this.turns.then(step).catch((error) => this.errors.push(String(error)));
    return this.turns;
  }

  syncQuery(timeout) {
    const filter = JSON.stringify({ room: { rooms: [] }, presence: { types: [] }, account_data: { types: [] } });
    return { timeout, filter, ...(this.since ? { since: this.since } : {}) };
  }

  async syncLoop() {
    while (!this.left) {
      try {
        const answer = await this.request("GET", "/_matrix/client/v3/sync", undefined, this.syncQuery(10000));
        this.since = answer.next_batch;
        for (const event of answer.to_device?.events ?? []) await this.toDevice(event);
      } catch (error) {
        this.log.push(String(error));
        await new Promise((done) => setTimeout(done, 500));
      }
    }
  }

  async toDevice({ type, sender, content }) {
    if (sender !== this.focus.user_id || content.call_id !== this.callId) return;
    if (content.conf_id !== this.confId || content.dest_session_id !== this.sessionId) return;
    this.log.push(`to-device ${type} ${content.reason ?? ""}`);
    if (type === "m.call.hangup" || type === "m.call.reject") this.hangups.push(content.reason ?? "");
    if (type === "m.call.answer") {
      this.metadata = content[METADATA] ?? {};
      await this.pc.setRemoteDescription(content.answer);
      await this.sendToDevice("m.call.select_answer", { selected_party_id: content.party_id });
      await this.sendToDevice("m.call.candidates", { candidates: [{ candidate: "" }] });
    }
  }

  send(type, content) {
    this.channel.send(JSON.stringify({ type, content }));
  }

  async receive({ type, content }) {
    this.log.push(`channel ${type} ${content.description?.type ?? ""}`);
    if (content.sdp_stream_metadata) this.metadata = content.sdp_stream_metadata;
    if (type === "m.call.ping") this.send("m.call.pong", {});
    else if (type === "m.call.sdp_stream_metadata_changed") this.subscribe(this.wantedHeight);
    else if (type === "org.matrix_focus.speakers") this.speakers = content.speakers;
    else if (type === "org.matrix_focus.error") this.errors.push(`${content.code}: ${content.text}`);
    else if (type === "m.call.negotiate") await this.negotiate(content.description);
  }

  // Offer what is published now; after the offer that waits, if one does.
  async offer() {
    if (this.isOffering) {
      this.isDirty = true;
      return;
    }
    this.isOffering = true;
    await this.pc.setLocalDescription(await this.pc.createOffer());
    this.sendDescription("offer");
  }

  // This is the impolite side: while an offer of ours waits, one of the focus is not heard.
  async negotiate(description) {
    if (description.type === "answer") {
      await this.pc.setRemoteDescription(description);
      this.isOffering = false;
      if (this.isDirty) {
        this.isDirty = false;
        await this.offer();
      }
      return;
    }
    if (this.isOffering || this.pc.signalingState !== "stable") {
      this.offersIgnored += 1;
      return;
    }
    await this.pc.setRemoteDescription(description);
    await this.pc.setLocalDescription(await this.pc.createAnswer());
    this.sendDescription("answer");
  }

  sendDescription(type) {
    this.send("m.call.negotiate", {
      description: { type, sdp: this.pc.localDescription.sdp },
      sdp_stream_metadata: this.ownMetadata(),
    });
  }

  // Mute or unmute "audio" or "video", as clients do: a microphone falls silent, a camera sends nothing.
  async setMuted(kind, muted) {
    this.muted[kind] = muted;
    const track = this.stream.getTracks().find((one) => one.kind === kind);
    if (kind === "audio") track.enabled = !muted;
    else await this.pc.getTransceivers()[1].sender.replaceTrack(muted ? null : track);
    this.send("m.call.sdp_stream_metadata_changed", { sdp_stream_metadata: this.ownMetadata() });
  }

  // Share a "screen": a picture that changes all the time, without simulcast.
  share() {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [this.width, this.height];
    const context = canvas.getContext("2d");
    let turn = 0;
    this.drawing = setInterval(() => {
      context.fillStyle = `hsl(${(turn += 7) % 360} 80% 50%)`;
      context.fillRect(0, 0, canvas.width, canvas.height);
    }, 100);
    this.screen = canvas.captureStream(10);
    const [track] = this.screen.getTracks();
    this.screenSender = this.pc.addTransceiver(track, { direction: "sendonly", streams: [this.screen] });
    return this.inTurn(() => this.offer());
  }

  unshare() {
    clearInterval(this.drawing);
    this.screen = null;
    this.screenSender.direction = "inactive";
    this.screenSender.sender.replaceTrack(null);
    return this.inTurn(() => this.offer());
  }

  subscribe(height) {
    this.wantedHeight = height;
    const subscribe = [];
    for (const [streamId, stream] of Object.entries(this.metadata)) {
      for (const [trackId, track] of Object.entries(stream.tracks)) {
        const size = track.kind === "video" ? { width: Math.round((height * 16) / 9), height } : {};
        subscribe.push({ stream_id: streamId, track_id: trackId, ...size });
      }
    }
    this.send("m.call.track_subscription", { subscribe, unsubscribe: [] });
  }

  addTrack({ track }) {
    const element = document.createElement(track.kind);
    element.autoplay = true;
    element.srcObject = new MediaStream([track]);
    document.getElementById("media").append(element);
  }

  // The stream that the focus sends in a section, as the newest metadata describes it.
  streamOf(mid) {
    const sections = this.pc.remoteDescription.sdp.split(/^m=/m);
    const section = sections.find((part) => part.includes(`a=mid:${mid}\r\n`));
    const [, streamId] = section?.match(/a=msid:(\S+)/) ?? [];
    return this.metadata[streamId];
  }

  // What arrives: one row a received track, with its owner by the metadata.
  async received() {
    const rows = [];
    const report = await this.pc.getStats();
    for (const stat of report.values()) {
      if (stat.type !== "inbound-rtp") continue;
      const stream = this.streamOf(stat.mid);
      rows.push({
        kind: stat.kind,
        mid: stat.mid,
        owner: stream?.user_id ?? "",
        purpose: stream?.purpose ?? "",
        packets: stat.packetsReceived,
        lost: stat.packetsLost,
        frames: stat.framesDecoded ?? 0,
        height: stat.frameHeight ?? 0,
        freezesSeconds: stat.totalFreezesDuration ?? 0,
        energy: stat.totalAudioEnergy ?? 0,
        plis: stat.pliCount ?? 0,
      });
    }
    return rows;
  }

  // What is sent: one row an encoding.
  async sent() {
    const rows = [];
    for (const stat of (await this.pc.getStats()).values()) {
      if (stat.type !== "outbound-rtp") continue;
      rows.push({
        kind: stat.kind,
        rid: stat.rid ?? "",
        frames: stat.framesEncoded ?? 0,
        bytes: stat.bytesSent,
        height: stat.frameHeight ?? 0,
      });
    }
    return rows;
  }

  async leave() {
    this.left = true;
    await this.putMember([]);
    await this.sendToDevice("m.call.hangup", { reason: "user_hangup" });
    this.pc.close();
  }
}
