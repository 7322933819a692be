// Checks of the pure modules of media-keys/, by name; each throws when something is not so.

async () => {
const { FrameRefused, FrameSealer, MAX_STEP, frameKey, headOf, keyContext, newMaterial, nextStep, open, readTrailer } =
  await import("/media-keys/frame-cipher.js");
const { KeyRing, REPLAY_WINDOW, RETIRE_AFTER_MS, ReplayWindow } = await import("/media-keys/key-ring.js");
const { readKeyMessage, writeKeyMessage } = await import("/media-keys/key-message.js");
const { KeyExchange } = await import("/media-keys/key-exchange.js");
const { Rotation, USE_AFTER_MS, USE_AT_LATEST_MS } = await import("/media-keys/rotation.js");

const OWNER = { roomId: "!room:a", userId: "@erin:a", deviceId: "ERIN", sessionId: "first" };
const CONTEXT = keyContext(OWNER);
const VP8 = "video/VP8";
const OPUS = "audio/opus";

function equal(actual, expected, what = "") {
  const [a, e] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== e) throw new Error(`${what} ${a} is not ${e}`);
}

async function refused(reason, attempt) {
  try {
    await attempt();
  } catch (error) {
    if (!(error instanceof FrameRefused)) throw error;
    equal(error.reason, reason);
    return;
  }
  throw new Error(`not refused: ${reason}`);
}

const bytes = (...values) => Uint8Array.from(values);
const vp8Frame = (isKey, length) => Uint8Array.from({ length }, (_, at) => (at === 0 ? (isKey ? 0x10 : 0x11) : at & 0xff));

async function sealer({ material = newMaterial(), index = 0, step = 0, counter = 0, context = CONTEXT } = {}) {
  const made = new FrameSealer(counter);
  made.use(await frameKey(material, context), index, step);
  return made;
}

function ring(material, { index = 0, step = 0, context = CONTEXT } = {}) {
  const made = new KeyRing(context);
  made.add(index, step, material);
  return made;
}

const person = (name, sessionId = "1") => ({ userId: `@${name}:a`, deviceId: name.toUpperCase(), sessionId });
const told = (orders) => orders.map((order) => [order.do, (order.tell ?? []).map((one) => one.deviceId).join()]);

// A homeserver and its users' devices: messages arrive in a later turn.
class Mail {
  ports = new Map();
  sent = [];

  port(userId, deviceId) {
    const port = Object.assign(new EventTarget(), { userId, deviceId });
    port.sendToDevice = async (type, messages, { encrypted = false } = {}) => {
      for (const [user, devices] of Object.entries(messages)) {
        for (const [device, content] of Object.entries(devices)) {
          this.sent.push({ from: deviceId, to: device, content });
          this.deliver(user, device, { type, sender: userId, content, encrypted, senderDevice: deviceId });
        }
      }
    };
    this.ports.set(`${userId} ${deviceId}`, port);
    return port;
  }

  deliver(user, device, detail) {
    queueMicrotask(() => this.ports.get(`${user} ${device}`)?.dispatchEvent(new CustomEvent("to-device", { detail })));
  }
}

// One device of a person in a call, and which keys it was handed.
function participant(mail, name, { sessionId = "1", olm = null } = {}) {
  const port = mail.port(`@${name}:a`, name.toUpperCase());
  const taken = [];
  const used = [];
  const exchange = new KeyExchange({
    matrix: port,
    olm,
    changed() {},
    keys: {
      useOwn: (context, key) => used.push({ context, ...key }),
      add: (party, context, key) => taken.push({ party, context, index: key.index, step: key.step, key: [...key.material] }),
      forget: (party) => taken.push({ party, gone: true }),
    },
  });
  exchange.start({ roomId: "!room:a", confId: "conf", sessionId });
  return { exchange, taken, used, port };
}

const settled = () => new Promise((done) => setTimeout(done, 30));

// As OlmDevices: it proves devices, and knows who can't be sent to.
const olmOf = () => ({ unreachable: new Set(), track: async () => {} });

window.checks = {
  "frames of all sizes come back as they were": async () => {
    const material = newMaterial();
    const sealing = await sealer({ material, index: 15, step: 3 });
    const opening = ring(material, { index: 15, step: 0 });
    opening.add(15, 3, material);
    for (const kind of ["audio", "video"]) {
      for (const length of [1, 2, 3, 4, 9, 10, 11, 100, 5_000]) {
        for (const isKey of [true, false]) {
          const frame = vp8Frame(isKey, length);
          const sealed = await sealing.seal(frame, kind, kind === "video" ? VP8 : OPUS);
          equal([...(await opening.open(sealed, kind, 0))], [...frame], `${kind} ${length}`);
        }
      }
    }
  },

  "what may be read of a frame is its head, which says what the focus and the depacketiser need": async () => {
    const sealing = await sealer();
    const [key, delta] = [vp8Frame(true, 400), vp8Frame(false, 400)];
    key.set([0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00], 3); // 320x180
    for (const [frame, kind, type, head] of [
      [key, "video", VP8, [0xf0, 0xff, 0xff, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00]],
      [delta, "video", "video/vp8", [0xf1, 0xff, 0xff]],
      [delta, "audio", OPUS, [0x03, 0x00]],
    ]) {
      equal([...headOf(type, frame)], head);
      const [one, other] = [await sealing.seal(frame, kind, type), await sealing.seal(frame, kind, type)];
      equal([...one.subarray(0, head.length)], head);
      equal(readTrailer(one).headBytes, head.length);
      equal(one.length, head.length + frame.length + 22);
      // What is the same in two ciphertexts of one frame, but for chance, was not encrypted.
      const same = frame.filter((_, at) => one[head.length + at] === other[head.length + at]).length;
      if (same > 12) throw new Error(`${same} bytes behind the head are readable`);
    }
  },

  "other codecs are not sealed": async () => {
    const sealing = await sealer();
    for (const type of ["video/H264", "video/AV1", "video/VP9", "video/H265"]) {
      await refused("codec", () => sealing.seal(vp8Frame(true, 400), "video", type));
    }
  },

  "without a key nothing is sealed": async () => {
    await refused("noKey", () => new FrameSealer().seal(vp8Frame(true, 400), "video", VP8));
  },

  "a change of any byte is noticed": async () => {
    const material = newMaterial();
    const sealed = await (await sealer({ material })).seal(vp8Frame(true, 24), "video", VP8);
    const key = await frameKey(material, CONTEXT);
    for (let at = 0; at < sealed.length; at += 1) {
      for (const bit of [1, 0x80]) {
        const changed = sealed.slice();
        changed[at] ^= bit;
        await refused("forged", () => open(changed, key, "video"));
      }
    }
    await open(sealed, key, "video");
  },

  "a frame of one kind does not pass for the other": async () => {
    const material = newMaterial();
    const sealed = await (await sealer({ material })).seal(vp8Frame(true, 60), "audio", OPUS);
    await refused("forged", () => ring(material).open(sealed, "video", 0));
  },

  "what is too short, or not encrypted, is refused and harms nothing": async () => {
    const material = newMaterial();
    const opening = ring(material);
    for (let length = 0; length < 22; length += 1) {
      await refused("malformed", () => opening.open(new Uint8Array(length), "audio", 0));
    }
    // A trailer that claims more readable bytes than there are.
    await refused("malformed", () => opening.open(bytes(...new Array(22).fill(0), 0xf0), "video", 0));
    await refused("noKey", () => opening.open(vp8Frame(true, 300), "video", 0));
    await opening.open(await (await sealer({ material })).seal(vp8Frame(true, 60), "video", VP8), "video", 0);
  },

  "no counter occurs twice over all encodings, kinds and keys of a sender": async () => {
    const [first, second] = [newMaterial(), newMaterial()];
    const sealing = await sealer({ material: first });
    const frames = (count) =>
      // As of three encodings and a microphone at the same time: nobody waits for anybody.
      Promise.all(Array.from({ length: count }, (_, at) =>
        at % 4 === 3 ? sealing.seal(vp8Frame(true, 80), "audio", OPUS) : sealing.seal(vp8Frame(at === 0, 200), "video", VP8)));
    const sealed = await frames(40);
    sealing.use(await frameKey(await nextStep(first, CONTEXT), CONTEXT), 0, 1);
    sealed.push(...(await frames(40)));
    sealing.use(await frameKey(second, CONTEXT), 1, 0);
    sealed.push(...(await frames(40)));
    const counters = sealed.map((frame) => readTrailer(frame).counter);
    equal(counters, Array.from({ length: 120 }, (_, at) => at));
  },

  "a counter that is used up ends the sending": async () => {
    const sealing = await sealer({ counter: 0xffffffff });
    equal(readTrailer(await sealing.seal(vp8Frame(true, 40), "video", VP8)).counter, 0xffffffff);
    await refused("exhausted", () => sealing.seal(vp8Frame(true, 40), "video", VP8));
    await refused("exhausted", () => sealing.seal(vp8Frame(true, 40), "audio", OPUS));
  },

  "a key that is passed off as somebody else's opens nothing": async () => {
    const material = newMaterial();
    const sealed = await (await sealer({ material })).seal(vp8Frame(true, 60), "video", VP8);
    for (const part of Object.keys(OWNER)) {
      const other = keyContext({ ...OWNER, [part]: "other" });
      await refused("forged", () => ring(material, { context: other }).open(sealed, "video", 0));
    }
  },

  "a replayed frame is refused, one that comes late is not": async () => {
    const material = newMaterial();
    const sealing = await sealer({ material });
    const frames = [];
    for (let at = 0; at < 20; at += 1) frames.push(await sealing.seal(vp8Frame(false, 60), "video", VP8));
    const opening = ring(material);
    for (const at of [0, 5, 3, 19, 18, 1]) await opening.open(frames[at], "video", 0);
    for (const at of [0, 5, 3, 19, 18, 1]) await refused("replayed", () => opening.open(frames[at], "video", 0));
    await opening.open(frames[2], "video", 0);
    const [one, other] = [opening.open(frames[4], "video", 0), opening.open(frames[4], "video", 0)];
    equal((await Promise.allSettled([one, other])).map((result) => result.status).sort(), ["fulfilled", "rejected"]);
  },

  "the replay window forgets nothing within itself, at every edge": async () => {
    for (const start of [0, 1, REPLAY_WINDOW - 1, REPLAY_WINDOW, 0xffffffff - 3 * REPLAY_WINDOW]) {
      const window = new ReplayWindow();
      const seen = new Set();
      let highest = -1;
      for (const offset of [0, 7, 3, 8, REPLAY_WINDOW - 1, 15, REPLAY_WINDOW + 3, 9, 2 * REPLAY_WINDOW + 6, REPLAY_WINDOW + 8]) {
        const counter = start + offset;
        const expected = !seen.has(counter) && counter > highest - REPLAY_WINDOW;
        equal(window.accepts(counter), expected, `${start} ${offset}`);
        if (expected) {
          window.note(counter);
          seen.add(counter);
          highest = Math.max(highest, counter);
        }
        for (const one of seen) equal(window.accepts(one), false, `again ${one}`);
      }
    }
  },

  "who has a key can follow its steps, who gets a later step cannot go back": async () => {
    const material = newMaterial();
    const third = await nextStep(await nextStep(await nextStep(material, CONTEXT), CONTEXT), CONTEXT);
    const before = await (await sealer({ material, counter: 0 })).seal(vp8Frame(true, 60), "video", VP8);
    const after = await (await sealer({ material: third, step: 3, counter: 1 })).seal(vp8Frame(true, 60), "video", VP8);
    const old = ring(material);
    await old.open(before, "video", 0);
    await old.open(after, "video", 0);
    const newcomer = ring(third, { step: 3 });
    await newcomer.open(after, "video", 0);
    await refused("noKey", () => newcomer.open(before, "video", 0));
  },

  "a forged step costs the true one nothing": async () => {
    const material = newMaterial();
    const sealing = await sealer({ material });
    const opening = ring(material);
    for (let at = 0; at < 3; at += 1) {
      const forged = (await sealing.seal(vp8Frame(true, 60), "video", VP8)).slice();
      forged[forged.length - 2] = MAX_STEP;
      await refused("forged", () => opening.open(forged, "video", 0));
      await opening.open(await sealing.seal(vp8Frame(true, 60), "video", VP8), "video", 0);
    }
  },

  "sixteen keys are kept, an old one for a few seconds after a newer one is in use": async () => {
    const materials = Array.from({ length: 17 }, () => newMaterial());
    const opening = new KeyRing(CONTEXT);
    const frames = [];
    for (const [at, material] of materials.entries()) {
      opening.add(at % 16, 0, material);
      const sealing = await sealer({ material, index: at % 16, counter: 2 * at });
      frames.push([await sealing.seal(vp8Frame(true, 60), "video", VP8), await sealing.seal(vp8Frame(true, 60), "video", VP8)]);
    }
    equal(opening.indexes().length, 16);
    await refused("forged", () => opening.open(frames[0][0], "video", 0));
    await opening.open(frames[1][0], "video", 0);
    // Sent ahead: not in use yet, so the one before it stays however long that takes.
    await opening.open(frames[1][1], "video", 10 * RETIRE_AFTER_MS);
    await opening.open(frames[2][1], "video", 10 * RETIRE_AFTER_MS);
    await opening.open(frames[2][0], "video", 11 * RETIRE_AFTER_MS - 1);
    equal(opening.indexes().includes(1), true);
    await refused("replayed", () => opening.open(frames[2][0], "video", 11 * RETIRE_AFTER_MS));
    equal(opening.indexes().includes(1), false);
    await refused("noKey", () => opening.open(frames[1][0], "video", 11 * RETIRE_AFTER_MS));
    equal(opening.indexes().includes(3), true);
  },

  "a key message says what was written": async () => {
    const key = { ...OWNER, confId: "conf", index: 15, step: 255, material: newMaterial(), sentAt: 1_700_000_000_000 };
    const read = readKeyMessage(OWNER.userId, JSON.parse(JSON.stringify(writeKeyMessage(key))));
    equal({ ...read, material: [...read.material] }, {
      roomId: "!room:a", confId: "conf", userId: "@erin:a", deviceId: "ERIN", sessionId: "first", index: 15, step: 255,
      material: [...key.material], sentAt: 1_700_000_000_000,
    });
  },

  "what is no key message is not taken for one": async () => {
    const key = { ...OWNER, confId: "conf", index: 0, step: 0, material: newMaterial(), sentAt: 1 };
    const good = writeKeyMessage(key);
    if (readKeyMessage("@erin:a", good) === null) throw new Error("the control");
    const wrong = {
      algorithm: ["other", null, undefined], room_id: ["", 3, null, "x".repeat(256)], conf_id: [{}, undefined],
      device_id: ["", []], session_id: [undefined, true], key_index: [-1, 16, 1.5, "1", null], key_step: [-1, 256, NaN],
      key: ["", "AAAA", good.key + "AAAA", good.key.slice(0, -2), "!".repeat(43), 7, null, `${good.key}=`],
      sent_ts: [-1, "1", null, Infinity],
    };
    for (const [name, values] of Object.entries(wrong)) {
      for (const value of values) {
        equal(readKeyMessage("@erin:a", { ...good, [name]: value }), null, `${name} ${value}`);
      }
    }
    for (const content of [null, undefined, "text", 3, [], {}]) equal(readKeyMessage("@erin:a", content), null);
  },

  "a join steps the key, and only the newcomer is told": async () => {
    const rotation = new Rotation();
    equal(told(rotation.membersAre(0, [person("frank")])), [["step", "FRANK"]]);
    equal(told(rotation.membersAre(1, [person("frank")])), []);
    equal(told(rotation.membersAre(2, [person("frank"), person("gina"), person("hugo")])), [["step", "GINA,HUGO"]]);
    equal(told(rotation.membersAre(3, [person("frank", "2"), person("gina"), person("hugo")])), [["step", "FRANK"]]);
    equal(rotation.nextAt, Infinity);
  },

  "a leave makes a fresh key, told to all who stay, used when they can have it": async () => {
    const rotation = new Rotation();
    rotation.membersAre(0, [person("frank"), person("gina")]);
    equal(told(rotation.membersAre(100, [person("frank")])), [["fresh", "FRANK"]]);
    equal(told(rotation.tick(150)), []);
    rotation.delivered(200);
    equal(rotation.nextAt, 200 + USE_AFTER_MS);
    equal(told(rotation.tick(199 + USE_AFTER_MS)), []);
    equal(told(rotation.tick(200 + USE_AFTER_MS)), [["use-fresh", ""]]);
    equal(rotation.nextAt, Infinity);
  },

  "a fresh key comes to use also when it can't be delivered": async () => {
    const rotation = new Rotation();
    rotation.membersAre(0, [person("frank"), person("gina")]);
    rotation.membersAre(100, [person("frank")]);
    equal(told(rotation.tick(100 + USE_AT_LATEST_MS)), [["use-fresh", ""]]);
  },

  "who leaves while a fresh key is under way is shut out by the next, and a crowd costs two keys": async () => {
    const rotation = new Rotation();
    const crowd = ["a", "b", "c", "d", "e", "f"].map((name) => person(name));
    rotation.membersAre(0, crowd);
    equal(told(rotation.membersAre(1, crowd.slice(1))), [["fresh", "B,C,D,E,F"]]);
    rotation.delivered(2);
    for (let gone = 2; gone < 5; gone += 1) equal(told(rotation.membersAre(gone, crowd.slice(gone))), []);
    equal(told(rotation.tick(2 + USE_AFTER_MS)), [["use-fresh", ""], ["fresh", "E,F"]]);
    equal(told(rotation.tick(2 + USE_AFTER_MS + USE_AT_LATEST_MS)), [["use-fresh", ""]]);
  },

  "who joins while a fresh key is under way gets both": async () => {
    const rotation = new Rotation();
    rotation.membersAre(0, [person("frank"), person("gina")]);
    rotation.membersAre(1, [person("frank")]);
    equal(told(rotation.membersAre(2, [person("frank"), person("hugo")])), [["step", "HUGO"], ["tell-fresh", "HUGO"]]);
  },

  "when no step is left a fresh key is made": async () => {
    const rotation = new Rotation();
    for (let at = 1; at <= MAX_STEP; at += 1) rotation.membersAre(at, [person("frank", String(at))]);
    equal(told(rotation.membersAre(300, [person("frank", "new")])), [["fresh", "FRANK"]]);
    equal(told(rotation.membersAre(301, [person("frank", "newer")])), [["tell-fresh", "FRANK"]]);
    equal(told(rotation.tick(300 + USE_AT_LATEST_MS))[0], ["use-fresh", ""]);
  },

  "members give each other their keys, and step them for who comes later": async () => {
    const mail = new Mail();
    const [erin, frank] = [participant(mail, "erin"), participant(mail, "frank")];
    erin.exchange.membersAre("conf", [person("frank")]);
    frank.exchange.membersAre("conf", [person("erin")]);
    await settled();
    equal(erin.used.map(({ index, step }) => [index, step]), [[0, 0], [0, 1]]);
    equal(frank.taken, [{ party: "@erin:a ERIN", context: erin.used[1].context, index: 0, step: 1, key: [...erin.used[1].material] }]);
    const gina = participant(mail, "gina");
    gina.exchange.membersAre("conf", [person("erin"), person("frank")]);
    erin.exchange.membersAre("conf", [person("frank"), person("gina")]);
    await settled();
    equal(gina.taken.map(({ party, step }) => [party, step]), [["@erin:a ERIN", 2]]);
    equal(gina.taken[0].key, [...(await nextStep(erin.used[1].material, erin.used[1].context))]);
    equal(frank.taken.length, 1);
  },

  "keys are taken from members only, proven, encrypted, of this call, in this session": async () => {
    const mail = new Mail();
    const erin = participant(mail, "erin", { olm: olmOf() });
    erin.exchange.membersAre("conf", [person("frank")]);
    const key = { roomId: "!room:a", confId: "conf", userId: "@frank:a", deviceId: "FRANK", sessionId: "1", index: 2, step: 0,
      material: newMaterial(), sentAt: 5 };
    const arrive = async (changes, envelope = {}) => {
      const content = writeKeyMessage({ ...key, ...changes });
      mail.deliver("@erin:a", "ERIN", { type: "org.matrix_focus.media_keys", sender: "@frank:a", content, encrypted: true,
        senderDevice: "FRANK", ...envelope });
      await settled();
    };
    await arrive({}, { encrypted: false });
    await arrive({}, { senderDevice: "OTHER" });
    await arrive({}, { senderDevice: null });
    await arrive({}, { sender: "@mallory:a" });
    await arrive({ deviceId: "OTHER" }, { senderDevice: "OTHER" });
    await arrive({ roomId: "!other:a" });
    await arrive({ confId: "other" });
    await arrive({ sessionId: "0" });
    equal(erin.taken, []);
    equal(erin.exchange.refused, 5);
    await arrive({});
    await arrive({ sentAt: 4, step: 1 });
    equal(erin.taken.map(({ party, index, step }) => [party, index, step]), [["@frank:a FRANK", 2, 0]]);
  },

  "a key that comes before its sender's member event waits for it": async () => {
    const mail = new Mail();
    const [erin, frank] = [participant(mail, "erin"), participant(mail, "frank", { sessionId: "2" })];
    frank.exchange.membersAre("conf", [person("erin")]);
    await settled();
    equal(erin.taken, []);
    erin.exchange.membersAre("conf", [person("frank", "1")]);
    equal(erin.taken, []);
    erin.exchange.membersAre("conf", [person("frank", "2")]);
    equal(erin.taken.map(({ party, step }) => [party, step]), [["@frank:a FRANK", 1]]);
  },

  "of a device in a new session the old keys are forgotten, and of who left": async () => {
    const mail = new Mail();
    const [erin, frank] = [participant(mail, "erin"), participant(mail, "frank")];
    erin.exchange.membersAre("conf", [person("frank")]);
    frank.exchange.membersAre("conf", [person("erin")]);
    await settled();
    erin.exchange.membersAre("conf", [person("frank", "2")]);
    equal(erin.taken.slice(1), [{ party: "@frank:a FRANK", gone: true }]);
    equal(erin.exchange.whoHasKeys.size, 0);
    erin.exchange.membersAre("conf", []);
    equal(erin.exchange.whoHasKeys.size, 0);
  },

  "keys of strangers do not pile up": async () => {
    const mail = new Mail();
    const erin = participant(mail, "erin");
    erin.exchange.membersAre("conf", []);
    for (let number = 0; number < 300; number += 1) {
      const name = `s${number}`;
      for (let at = 0; at < 5; at += 1) {
        const content = writeKeyMessage({ ...OWNER, confId: "conf", roomId: "!room:a", deviceId: name.toUpperCase(), sessionId: "1",
          index: at, step: 0, material: newMaterial(), sentAt: at });
        erin.port.dispatchEvent(new CustomEvent("to-device", {
          detail: { type: "org.matrix_focus.media_keys", sender: `@${name}:a`, content, encrypted: true },
        }));
      }
    }
    erin.exchange.membersAre("conf", Array.from({ length: 300 }, (_, number) => person(`s${number}`)));
    equal(erin.taken.length, 256 * 3);
    equal(erin.taken.at(-1).index, 4);
  },

  "a device without keys is tried again, with the key that is in use by then": async () => {
    const mail = new Mail();
    const olm = olmOf();
    const erin = participant(mail, "erin", { olm });
    olm.unreachable.add("@frank:a FRANK");
    erin.exchange.membersAre("conf", [person("frank")]);
    await settled();
    equal([...erin.exchange.unreachable], ["@frank:a FRANK"]);
    erin.exchange.membersAre("conf", [person("frank"), person("gina")]);
    olm.unreachable.clear();
    await new Promise((done) => setTimeout(done, 1_200));
    equal(mail.sent.map(({ to, content }) => [to, content.key_step]), [["FRANK", 1], ["GINA", 2], ["FRANK", 2]]);
    erin.exchange.close();
  },
};
}
