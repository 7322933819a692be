/**
 * Olm for MatrixHttp: `matrix.crypto` on the OlmMachine of matrix-sdk-crypto-wasm. Its identity keys and sessions are
 * kept in IndexedDB, one database per user and device, so a reloaded page is the same device to everybody.
 *
 * Trust: messages go to the devices that the homeserver names for a user, and come from them (trust on first use;
 * nothing is verified here). docs/encryption.md, section 5, says what that means.
 */

const LIBRARY = new URL("../vendor/matrix-sdk-crypto-wasm/index.mjs", import.meta.url);
/** A tab that was just closed or reloaded still holds the device's keys for a moment. */
const LOCK_PATIENCE_MS = 10_000;
/** How long a request that the homeserver refused waits for the next reason to send what is due. */
const RETRY_MS = 2_000;

/** @returns {Promise<boolean>} Whether the library has been put beside the page (scripts/vendor.sh). */
export async function hasLibrary() {
  try {
    const response = await fetch(LIBRARY, { method: "HEAD" });
    return response.ok;
  } catch {
    return false;
  }
}

/** Load the library: millions of bytes the first time. */
export async function loadLibrary() {
  const lib = await import(LIBRARY.href);
  await lib.initAsync();
  return lib;
}

export class OlmDevices {
  #lib;
  #machine;
  #matrix;
  #release;
  #sending = Promise.resolve();
  #encrypting = Promise.resolve();
  #closed = false;
  #timer = null;

  /** Devices that could not be sent to, since they have no keys (any more): names as of `partyName`. */
  unreachable = new Set();
  /** Encrypted messages that could not be read. */
  undecryptable = 0;

  /**
   * The keys of this device; new ones where there are none yet, and then others can find them.
   *
   * @param {import("../matrix-http.js").MatrixHttp} matrix
   * @returns {Promise<OlmDevices>}
   * @throws {Error} Another tab uses this device, or the homeserver did not take its keys.
   */
  static async open(matrix) {
    const lib = await loadLibrary();
    const name = `matrix-focus/${matrix.userId}/${matrix.deviceId}`;
    const release = await exclusively(name);
    try {
      const user = new lib.UserId(matrix.userId);
      const machine = await lib.OlmMachine.initialize(user, new lib.DeviceId(matrix.deviceId), name);
      const devices = new OlmDevices(lib, machine, matrix, release);
      await devices.#sendAllDue();
      return devices;
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Use `open`. */
  constructor(lib, machine, matrix, release) {
    this.#lib = lib;
    this.#machine = machine;
    this.#matrix = matrix;
    this.#release = release;
  }

  /** Let another tab have the device. */
  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#machine.close();
    this.#release();
  }

  /**
   * What a sync brought: to-device events and news of devices and keys.
   *
   * @param {object[]} [events] - to_device.events
   * @param {{changed?: string[], left?: string[]}} [deviceLists] - device_lists
   * @param {Record<string, number>} [keyCounts] - device_one_time_keys_count
   * @param {string[]} [fallbackTypes] - device_unused_fallback_key_types
   * @returns {Promise<
   *   {type: string, sender: string, content: object, encrypted: boolean, senderDevice: string | null}[]
   * >} The events in their order; those that can't be read are left out. `senderDevice`: proven by Olm.
   */
  async receiveSync(events = [], deviceLists = {}, keyCounts = {}, fallbackTypes = undefined) {
    const lib = this.#lib;
    const users = (ids = []) => ids.map((id) => new lib.UserId(id));
    const processed = await this.#machine.receiveSyncChanges(
      JSON.stringify(events),
      new lib.DeviceLists(users(deviceLists.changed), users(deviceLists.left)),
      new Map(Object.entries(keyCounts)),
      fallbackTypes === undefined ? undefined : new Set(fallbackTypes),
    );
    this.#sendSoon();
    return processed.flatMap((one) => this.#read(one));
  }

  #read(processed) {
    const { ProcessedToDeviceEventType: Type } = this.#lib;
    switch (processed.type) {
      case Type.Decrypted: {
        const { type, sender, content } = JSON.parse(processed.rawEvent);
        const device = processed.encryptionInfo.senderDevice;
        return [{ type, sender, content, encrypted: true, senderDevice: device?.toString() ?? null }];
      }
      case Type.PlainText: {
        const { type, sender, content } = JSON.parse(processed.rawEvent);
        return [{ type, sender, content, encrypted: false, senderDevice: null }];
      }
      default:
        this.undecryptable += 1;
        return [];
    }
  }

  /** Know the devices of these users before something comes from them or goes to them. */
  async track(userIds) {
    await this.#machine.updateTrackedUsers(userIds.map((id) => new this.#lib.UserId(id)));
    await this.#sendAllDue();
  }

  /**
   * Encrypt one message for each of several devices.
   *
   * @param {string} type
   * @param {Record<string, Record<string, object>>} messages - user to device to content
   * @returns {Promise<Record<string, Record<string, object>>>} Likewise, for `m.room.encrypted`; devices that have no
   *   keys are left out, and are in `unreachable`.
   */
  encryptToDevice(type, messages) {
    // One at a time: two claims of one-time keys for the same device would waste one.
    const result = this.#encrypting.then(() => this.#encryptAll(type, messages));
    this.#encrypting = result.catch(() => {});
    return result;
  }

  async #encryptAll(type, messages) {
    const userIds = Object.keys(messages);
    await this.track(userIds);
    const found = await this.#findDevices(messages);
    await this.#claimKeys(userIds);
    const encrypted = {};
    for (const { userId, deviceId, device, content } of found) {
      const name = `${userId} ${deviceId}`;
      const sealed = device === null ? null : await this.#encrypt(device, type, content);
      if (sealed === null) {
        this.unreachable.add(name);
      } else {
        this.unreachable.delete(name);
        (encrypted[userId] ??= {})[deviceId] = sealed;
      }
    }
    return encrypted;
  }

  async #findDevices(messages) {
    const lib = this.#lib;
    const find = async (userId, deviceId) =>
      (await this.#machine.getDevice(new lib.UserId(userId), new lib.DeviceId(deviceId))) ?? null;
    const all = [];
    for (const [userId, devices] of Object.entries(messages)) {
      for (const [deviceId, content] of Object.entries(devices)) {
        all.push({ userId, deviceId, content, device: await find(userId, deviceId) });
      }
    }
    const lacking = all.filter((one) => one.device === null);
    if (lacking.length > 0) {
      // Homeservers tell of new devices with the next sync, and where no encrypted room is shared perhaps never.
      const users = [...new Set(lacking.map((one) => one.userId))].map((id) => new lib.UserId(id));
      await this.#send(this.#machine.queryKeysForUsers(users));
      for (const one of lacking) {
        one.device = await find(one.userId, one.deviceId);
      }
    }
    return all;
  }

  async #claimKeys(userIds) {
    const claim = await this.#machine.getMissingSessions(userIds.map((id) => new this.#lib.UserId(id)));
    if (claim) {
      await this.#send(claim);
    }
  }

  async #encrypt(device, type, content) {
    try {
      return JSON.parse(await device.encryptToDeviceEvent(type, content, this.#lib.CollectStrategy.allDevices()));
    } catch (error) {
      // No session: the device's one-time keys are used up, and it has no fallback key.
      console.warn(`nothing can be encrypted for ${device.userId} ${device.deviceId}:`, error);
      return null;
    }
  }

  #sendSoon() {
    this.#sendAllDue().catch((error) => {
      console.warn("keys could not be sent; once more soon:", error);
      clearTimeout(this.#timer);
      this.#timer = this.#closed ? null : setTimeout(() => this.#sendSoon(), RETRY_MS);
    });
  }

  /** Send what the machine wants to have sent until there is nothing left. */
  #sendAllDue() {
    // One round at a time: the machine gives out a request until it has been told of the answer.
    const result = this.#sending.then(async () => {
      let requests;
      do {
        requests = this.#closed ? [] : await this.#machine.outgoingRequests();
        for (const request of requests) {
          await this.#send(request);
        }
      } while (requests.length > 0);
    });
    this.#sending = result.catch(() => {});
    return result;
  }

  async #send(request) {
    const { RequestType: Type } = this.#lib;
    const body = JSON.parse(request.body);
    const post = (path) => this.#matrix.request("POST", `/_matrix/client/v3/keys/${path}`, body);
    let answer;
    switch (request.type) {
      case Type.KeysUpload:
        answer = await post("upload");
        break;
      case Type.KeysQuery:
        answer = await post("query");
        break;
      case Type.KeysClaim:
        answer = await post("claim");
        break;
      case Type.SignatureUpload:
        answer = await post("signatures/upload");
        break;
      case Type.ToDevice: {
        const type = encodeURIComponent(request.event_type);
        const path = `/_matrix/client/v3/sendToDevice/${type}/${encodeURIComponent(request.txn_id)}`;
        answer = await this.#matrix.request("PUT", path, body);
        break;
      }
      default:
        // Of rooms and backups, which are not used here.
        return;
    }
    await this.#machine.markRequestAsSent(request.id, request.type, JSON.stringify(answer));
  }
}

/** Have a name for oneself among the tabs of this browser. @returns {Promise<() => void>} Gives it back. */
async function exclusively(name) {
  const patience = AbortSignal.timeout(LOCK_PATIENCE_MS);
  return new Promise((resolve, reject) => {
    navigator.locks
      .request(name, { signal: patience }, () => new Promise((release) => resolve(release)))
      .catch(() =>
        reject(new Error("Another tab of this browser is using the same session. Close it, or log in anew.")),
      );
  });
}
