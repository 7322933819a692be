// The Matrix port of a widget and nothing else, for the tests.

import { WidgetMatrix } from "/widget.js";

const late = new URLSearchParams(location.search).get("late");
if (late) await new Promise((resolve) => setTimeout(resolve, Number(late)));

// What the host tells, as it tells it.
window.updates = [];
window.addEventListener("message", ({ data }) => {
  if (data.action === "update_state" && !data.response) updates.push(data.data.state);
});

window.seen = { states: [], messages: [], troubles: [], themes: [] };
try {
  const matrix = WidgetMatrix.fromLocation(location);
  matrix.addEventListener("state", ({ detail }) => seen.states.push(...detail.events));
  matrix.addEventListener("to-device", ({ detail }) => seen.messages.push(detail));
  matrix.addEventListener("trouble", ({ detail }) => seen.troubles.push(detail.text));
  matrix.addEventListener("theme", ({ detail }) => seen.themes.push(detail.theme));
  window.matrix = matrix;
  window.start = matrix.start().then(
    () => "started",
    (error) => `${error.name}: ${error.message}`,
  );
} catch (error) {
  window.start = Promise.resolve(`${error.name}: ${error.message}`);
}

// Say goodbye as a client does.
window.addEventListener("pagehide", () => {
  if (window.farewell) matrix.sendToDevice("m.call.hangup", window.farewell);
});

/** The outcome of a promise, as JSON. */
window.outcome = (promise) =>
  promise.then(
    (value) => ({ value: value ?? null }),
    ({ name, message, status, errcode }) => ({ name, message, status, errcode }),
  );

/** The calls that people say they are in, as the port reads the room now. */
window.calls = async () => {
  const events = await matrix.readState(matrix.roomId, "org.matrix.msc3401.call.member");
  return events.map(({ content }) => content["m.calls"][0]["m.call_id"]);
};
