/** A worker that ticks: in a tab that is not shown, timers of the page itself come once a second at most. */

let timer = null;

onmessage = ({ data: everyMs }) => {
  clearInterval(timer);
  timer = everyMs ? setInterval(() => postMessage(null), everyMs) : null;
};
