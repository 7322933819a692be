// What tests of narrow lines put into a page: a camera that fills its encodings, and an eye on a picture.
"use strict";

window.lines = (() => {
  const GRAIN = 4; // pixels: some of it is left in a picture of a quarter of the size

  // Soft grain that is elsewhere in every frame takes as many bits as an encoding may have.
  function camera({ width, height, frameRate }) {
    const [wide, high] = [Math.ceil(width / GRAIN), Math.ceil(height / GRAIN)];
    const grain = new OffscreenCanvas(2 * wide, 2 * high);
    const pen = grain.getContext("2d");
    const noise = pen.createImageData(grain.width, grain.height);
    for (let at = 0; at < noise.data.length; at += 4) {
      const grey = 96 + 64 * Math.random();
      noise.data.set([grey, grey, 160 - grey / 2, 255], at);
    }
    pen.putImageData(noise, 0, 0);
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const paint = canvas.getContext("2d", { alpha: false });
    setInterval(() => {
      const [x, y] = [wide * Math.random(), high * Math.random()];
      paint.drawImage(grain, x, y, wide, high, 0, 0, width, height);
    }, 1000 / frameRate);
    return canvas.captureStream(frameRate).getVideoTracks()[0];
  }

  // When pictures were shown, in seconds, and of how many lines each was.
  function watch(video) {
    const shown = [];
    const note = (now, { height }) => {
      shown.push([now / 1000, height]);
      video.requestVideoFrameCallback(note);
    };
    video.requestVideoFrameCallback(note);
    return shown;
  }

  return { camera, watch };
})();
