/**
 * A generated camera and microphone: moving content with a name and a running clock, and a tone.
 *
 * Once a second the picture flashes while the tone beeps, so that lip sync can be seen, heard and measured.
 */

/**
 * What is generated where nothing else is asked for. Larger: encoding it takes a core away from the rest of a demo on
 * one machine. Smaller: browsers drop encodings (below 960x540 the third).
 */
const [WIDTH, HEIGHT, FPS] = [960, 540, 15];

/** Length of flash and beep. Shorter: a picture at 15 a second may miss it. Longer: the tone is a nuisance. */
const FLASH_MS = 120;

/** Loudness, 1 is full scale: of the beep, and of the hum between beeps, which says that the microphone is there. */
const BEEP_GAIN = 0.2;
const HUM_GAIN = 0.003;

/** Pitches of a pentatonic scale in Hz: several patterns at once still sound like a chord. */
const PITCHES = [261.6, 293.7, 329.6, 392, 440, 523.3, 587.3, 659.3];

/** A camera that is a canvas, and optionally a microphone that is an oscillator. */
export class Pattern {
  #canvas = document.createElement("canvas");
  #paint;
  #clock = new Worker(new URL("./pattern-clock.js", import.meta.url));
  #video;
  #audio = null;
  #context = null;
  #gain = null;
  #isBeeping = false;
  #frame = 0;
  #startedAt = performance.now();

  /**
   * @param {Object} [options]
   * @param {string} [options.name] in the picture; colour and pitch follow from it
   * @param {number} [options.width]
   * @param {number} [options.height]
   * @param {number} [options.fps]
   * @param {boolean} [options.tone] false: no microphone
   * @param {"camera"|"screen"} [options.kind]
   */
  constructor({ name = "", width = WIDTH, height = HEIGHT, fps = FPS, tone = true, kind = "camera" } = {}) {
    this.name = name;
    this.kind = kind;
    this.fps = fps;
    [this.#canvas.width, this.#canvas.height] = [width, height];
    this.#paint = this.#canvas.getContext("2d", { alpha: false });
    this.#video = this.#canvas.captureStream(0);
    this.#clock.onmessage = () => this.#tick();
    this.#clock.postMessage(1000 / fps);
    this.#tick();
    if (tone) this.#startTone();
  }

  /** The picture. */
  get videoTrack() {
    return this.#video.getVideoTracks()[0];
  }

  /** The tone; null where none was asked for. */
  get audioTrack() {
    return this.#audio;
  }

  /** Browsers keep sound from starting before the first click; harmless when it has started. */
  async resume() {
    if (this.#context?.state === "suspended") await this.#context.resume();
  }

  /** End both tracks. */
  stop() {
    this.#clock.terminate();
    this.videoTrack.stop();
    this.#audio?.stop();
    this.#context?.close();
  }

  #startTone() {
    this.#context = new AudioContext();
    const gain = this.#context.createGain();
    gain.gain.value = HUM_GAIN;
    const oscillator = new OscillatorNode(this.#context, {
      type: "triangle",
      frequency: PITCHES[hash(this.name) % PITCHES.length],
    });
    const destination = this.#context.createMediaStreamDestination();
    oscillator.connect(gain).connect(destination);
    oscillator.start();
    [this.#audio] = destination.stream.getAudioTracks();
    this.#gain = gain;
  }

  #tick() {
    const elapsed = performance.now() - this.#startedAt;
    const isFlashing = elapsed % 1000 < FLASH_MS;
    if (this.#gain && isFlashing !== this.#isBeeping) {
      this.#gain.gain.setTargetAtTime(isFlashing ? BEEP_GAIN : HUM_GAIN, this.#context.currentTime, 0.004);
      this.#isBeeping = isFlashing;
    }
    if (this.kind === "screen") this.#drawScreen(elapsed);
    else this.#drawCamera(elapsed, isFlashing);
    this.#frame += 1;
    this.videoTrack.requestFrame?.();
  }

  #drawCamera(elapsed, isFlashing) {
    const { width, height } = this.#canvas;
    const paint = this.#paint;
    const hue = hash(this.name) % 360;
    paint.fillStyle = `hsl(${hue} 42% 24%)`;
    paint.fillRect(0, 0, width, height);
    const step = height / 6;
    const shift = ((elapsed / 1000) * step) % (2 * step);
    paint.fillStyle = `hsl(${hue} 44% 29%)`;
    for (let x = -height - 2 * step; x < width + height; x += 2 * step) {
      paint.beginPath();
      paint.moveTo(x + shift, height);
      paint.lineTo(x + shift + step, height);
      paint.lineTo(x + shift + step + height, 0);
      paint.lineTo(x + shift + height, 0);
      paint.fill();
    }
    const angle = (elapsed / 4000) * 2 * Math.PI;
    const [x, y] = [width / 2 + Math.cos(angle) * width * 0.33, height / 2 + Math.sin(angle) * height * 0.3];
    paint.fillStyle = `hsl(${(hue + 150) % 360} 75% 62%)`;
    paint.beginPath();
    paint.arc(x, y, height / 14, 0, 2 * Math.PI);
    paint.fill();
    if (isFlashing) {
      paint.fillStyle = "#fff";
      paint.fillRect(width * 0.47, height * 0.06, width * 0.06, width * 0.06);
    }
    paint.textAlign = "center";
    paint.fillStyle = "#fff";
    paint.font = `600 ${height / 8}px system-ui, sans-serif`;
    paint.fillText(this.name, width / 2, height * 0.5, width * 0.9);
    paint.font = `${height / 12}px ui-monospace, monospace`;
    paint.fillStyle = "#ffffffcc";
    paint.fillText(clock(), width / 2, height * 0.64);
    paint.font = `${height / 26}px ui-monospace, monospace`;
    paint.fillStyle = "#ffffff99";
    paint.fillText(this.#label(), width / 2, height * 0.72);
  }

  #drawScreen(elapsed) {
    const { width, height } = this.#canvas;
    const paint = this.#paint;
    paint.fillStyle = "#f6f7f9";
    paint.fillRect(0, 0, width, height);
    paint.fillStyle = "#dfe3ea";
    paint.fillRect(0, 0, width, height * 0.09);
    paint.fillStyle = "#1d2433";
    paint.textAlign = "left";
    const size = height / 26;
    paint.font = `600 ${size * 1.1}px system-ui, sans-serif`;
    paint.fillText(`Screen of ${this.name}`, width * 0.3, height * 0.062, width * 0.4);
    paint.font = `${height / 12}px ui-monospace, monospace`;
    paint.fillText(clock(), width * 0.62, height * 0.42);
    paint.font = `${size}px ui-monospace, monospace`;
    const first = Math.floor(elapsed / 400);
    for (let line = 0; line < 18; line += 1) {
      const number = first + line;
      const word = [
        "offer",
        "answer",
        "candidates",
        "select_answer",
        "negotiate",
        "track_subscription",
        "ping",
        "pong",
      ][number % 8];
      paint.fillStyle = line === 17 ? "#3457d5" : "#1d2433";
      paint.fillText(
        `${String(number).padStart(5, "0")}  m.call.${word}`,
        width * 0.03,
        height * 0.16 + line * size * 1.22,
      );
    }
    paint.fillStyle = "#3457d5";
    const bar = (elapsed / 5000) % 1;
    paint.fillRect(width * 0.62, height * 0.5, width * 0.33 * bar, height * 0.05);
    paint.strokeStyle = "#3457d5";
    paint.lineWidth = height / 300;
    paint.strokeRect(width * 0.62, height * 0.5, width * 0.33, height * 0.05);
    paint.font = `${height / 30}px ui-monospace, monospace`;
    paint.fillText(this.#label(), width * 0.62, height * 0.62);
  }

  #label() {
    return `${this.#canvas.width}x${this.#canvas.height} · ${this.fps} fps · frame ${this.#frame}`;
  }
}

function clock() {
  return new Date().toISOString().slice(11, 22);
}

/** The same small number for the same name. */
export function hash(text) {
  let sum = 7;
  for (const character of text) sum = (sum * 31 + character.codePointAt(0)) % 1_000_003;
  return sum;
}
