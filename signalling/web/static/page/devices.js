/** Cameras, microphones and loudspeakers of this machine. */

/** What goes wrong with a device, in words. */
const TROUBLES = {
  NotAllowedError: "the browser was not allowed to use it. Allow it in the address bar, then try again",
  NotFoundError: "there is none",
  NotReadableError: "another program uses it",
  OverconstrainedError: "it can't do what was asked for",
  AbortError: "it stopped by itself",
  SecurityError: "this page may not use it",
};

const NAMES = { audioinput: "Microphone", videoinput: "Camera", audiooutput: "Loudspeaker" };

/**
 * Why a device could not be had.
 *
 * @param {Error} error of getUserMedia or getDisplayMedia
 * @param {string} what "The camera"
 * @returns {string}
 */
export function deviceTrouble(error, what) {
  return `${what} can't be used: ${TROUBLES[error.name] ?? error.message}.`;
}

/** Whether this browser lets a page choose where sound goes. */
export const canChooseSpeaker = "setSinkId" in HTMLMediaElement.prototype;

/**
 * The devices of one kind.
 *
 * @param {"audioinput"|"videoinput"|"audiooutput"} kind
 * @returns {Promise<{id: string, label: string}[]>} labels are made up until the person has allowed a device
 */
export async function listDevices(kind) {
  const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  const devices = all.filter((device) => device.kind === kind && device.deviceId !== "communications");
  return devices.map((device, index) => ({
    id: device.deviceId,
    label: device.label || `${NAMES[kind]} ${index + 1}`,
  }));
}

/**
 * Fill a select element with devices, keeping the choice where it is still there.
 *
 * @param {HTMLSelectElement} select
 * @param {"audioinput"|"videoinput"|"audiooutput"} kind
 * @param {string|null} chosen device id
 */
export async function offerDevices(select, kind, chosen) {
  const devices = await listDevices(kind);
  select.replaceChildren(...devices.map(({ id, label }) => new Option(label, id, false, id === chosen)));
  if (!devices.length) select.append(new Option(`No ${NAMES[kind].toLowerCase()}`, ""));
  select.disabled = devices.length < 2;
}
