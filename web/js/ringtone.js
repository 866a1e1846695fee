/** The sounds of calling, made note by note: no file has to arrive before a telephone can ring. */

import { audioContext } from "./meter.js";

/** @typedef {"incoming" | "outgoing" | "busy" | "over"} Sound */
/** Notes: when (s), how high (Hz), how long (s). Repeated every `period` seconds, `times` times. */
/** @typedef {{notes: [number, number, number][], period: number, times: number, loud: number}} Pattern */

/** Scheduled ahead for as long as a call may ring: timers of a tab in the background are too slow to play by. */
/** @type {Record<Sound, Pattern>} */
const PATTERNS = {
  incoming: {
    notes: [[0, 659.25, 0.5], [0.16, 783.99, 0.5], [0.32, 987.77, 0.7], [0.72, 783.99, 0.5], [0.88, 987.77, 0.9]],
    period: 2.6, times: 24, loud: 0.3,
  },
  outgoing: { notes: [[0, 425, 1]], period: 4, times: 16, loud: 0.1 }, // the ringing tone of most telephones
  busy: { notes: [[0, 425, 0.35]], period: 0.7, times: 4, loud: 0.1 },
  over: { notes: [[0, 523.25, 0.3], [0.14, 392, 0.5]], period: 1, times: 1, loud: 0.18 },
};

/** @type {GainNode | null} */
let playing = null;

/** @param {Sound} sound  replaces what plays */
export function play(sound) {
  silence();
  const audio = audioContext();
  void audio.resume().catch(() => {}); // without a touch of the page before, it stays silent
  const { notes, period, times, loud } = PATTERNS[sound];
  const out = new GainNode(audio, { gain: loud });
  out.connect(audio.destination);
  playing = out;
  const start = audio.currentTime + 0.05;
  for (let time = 0; time < times; time += 1) {
    for (const [at, frequency, length] of notes) note(out, frequency, start + time * period + at, length);
  }
}

export function silence() {
  playing?.disconnect();
  playing = null;
}

/** @param {GainNode} out @param {number} frequency @param {number} from @param {number} length */
function note(out, frequency, from, length) {
  const { context } = out;
  const envelope = new GainNode(context, { gain: 0 });
  const tone = new OscillatorNode(context, { type: "triangle", frequency });
  tone.connect(envelope).connect(out);
  envelope.gain.setValueAtTime(0, from);
  envelope.gain.linearRampToValueAtTime(1, from + 0.02);
  envelope.gain.setTargetAtTime(0, from + length * 0.6, length * 0.15);
  tone.start(from);
  tone.stop(from + length * 1.6);
}
