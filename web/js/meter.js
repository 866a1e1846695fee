/** How loud a microphone is, also while it is muted: the meter listens to a clone, which no one else hears. */

/** dBFS that reads as nothing, and as full. */
const FLOOR = -60;
const CEILING = -12;
/** Level (0..1) from which a voice counts as speech, and how many readings in a row. */
const SPEECH_LEVEL = 0.45;
const SPEECH_READINGS = 4;
const READING_INTERVAL = 100; // ms

/** @type {AudioContext | undefined} */
let shared;

/** One context for all that is measured and played here; it may only run after the user touched the page. */
export function audioContext() {
  if (!shared) {
    const fresh = new AudioContext();
    shared = fresh;
    const wake = () => void fresh.resume().catch(() => {});
    addEventListener("pointerdown", wake);
    addEventListener("keydown", wake);
  }
  return shared;
}

export class Meter {
  #clone;
  #source;
  #analyser;
  #samples;
  #timer;
  #loud = 0;

  /**
   * @param {MediaStreamTrack} track
   * @param {(level: number, speaking: boolean) => void} report  ten times a second; level 0..1
   */
  constructor(track, report) {
    const audio = audioContext();
    this.#clone = track.clone();
    this.#clone.enabled = true;
    this.#source = audio.createMediaStreamSource(new MediaStream([this.#clone]));
    this.#analyser = new AnalyserNode(audio, { fftSize: 1024 });
    this.#source.connect(this.#analyser);
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#timer = setInterval(() => {
      const level = this.#read();
      this.#loud = level > SPEECH_LEVEL ? this.#loud + 1 : 0;
      report(level, this.#loud >= SPEECH_READINGS);
    }, READING_INTERVAL);
  }

  #read() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let sum = 0;
    for (const sample of this.#samples) sum += sample * sample;
    const decibel = 10 * Math.log10(sum / this.#samples.length + 1e-12);
    return Math.min(1, Math.max(0, (decibel - FLOOR) / (CEILING - FLOOR)));
  }

  stop() {
    clearInterval(this.#timer);
    this.#source.disconnect();
    this.#clone.stop();
  }
}

/**
 * Two clear notes through the chosen speaker.
 *
 * @param {string} speaker  device id, empty: the system's
 */
export async function playTestSound(speaker) {
  const audio = audioContext();
  await audio.resume();
  const output = audio.createMediaStreamDestination();
  const gain = new GainNode(audio, { gain: 0 });
  gain.connect(output);
  const start = audio.currentTime + 0.1;
  [523.25, 783.99].forEach((frequency, index) => {
    const note = new OscillatorNode(audio, { type: "triangle", frequency });
    note.connect(gain);
    note.start(start + index * 0.35);
    note.stop(start + index * 0.35 + 0.5);
    gain.gain.setValueAtTime(0, start + index * 0.35);
    gain.gain.linearRampToValueAtTime(0.35, start + index * 0.35 + 0.04);
    gain.gain.linearRampToValueAtTime(0, start + index * 0.35 + 0.34);
  });
  const element = new Audio();
  element.srcObject = output.stream;
  if (speaker && "setSinkId" in element) await element.setSinkId(speaker).catch(() => {});
  await element.play();
  await new Promise((resolve) => setTimeout(resolve, 1200));
  element.srcObject = null;
}
