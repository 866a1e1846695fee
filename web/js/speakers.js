/** What we hear: one hidden <audio> for each audio slot, all on the chosen loudspeaker. */

import { preferences } from "./store.js";

/** Whether this browser lets a page choose the loudspeaker. */
export const canChooseSpeaker = "setSinkId" in HTMLMediaElement.prototype;

/** Emits `blocked` when the browser wants a touch before it plays sound. */
export class AudioOutput extends EventTarget {
  /** @type {Map<string, HTMLAudioElement>} */ #elements = new Map();
  #sink = preferences().speaker;
  #holder = document.createElement("div");

  constructor() {
    super();
    this.#holder.hidden = true;
    document.body.append(this.#holder);
  }

  /** @param {Map<string, MediaStreamTrack>} tracks  by m-line; those that are gone fall silent */
  set(tracks) {
    for (const [mid, element] of this.#elements) {
      if (!tracks.has(mid)) {
        element.srcObject = null;
        element.remove();
        this.#elements.delete(mid);
      }
    }
    for (const [mid, track] of tracks) {
      const element = this.#elements.get(mid) ?? this.#add(mid);
      const playing = element.srcObject instanceof MediaStream ? element.srcObject.getTracks()[0] : null;
      if (playing === track) continue;
      element.srcObject = new MediaStream([track]);
      this.#play(element);
    }
  }

  /** @param {string} mid */
  #add(mid) {
    const element = document.createElement("audio");
    element.autoplay = true;
    this.#elements.set(mid, element);
    this.#holder.append(element);
    this.#route(element);
    return element;
  }

  /** @param {HTMLAudioElement} element */
  #play(element) {
    element.play().catch((error) => {
      // AbortError: the track changed meanwhile, and its own play() follows
      if (error instanceof DOMException && error.name === "NotAllowedError") this.dispatchEvent(new Event("blocked"));
    });
  }

  /** Play again, from within the touch of the user that was asked for. */
  unblock() {
    for (const element of this.#elements.values()) this.#play(element);
  }

  /** @param {string} speaker  device id, empty: the system's */
  choose(speaker) {
    this.#sink = speaker;
    for (const element of this.#elements.values()) this.#route(element);
  }

  /** @param {HTMLAudioElement} element */
  #route(element) {
    // a loudspeaker that is gone leaves the system's in use
    if (canChooseSpeaker) element.setSinkId(this.#sink).catch(() => {});
  }

  close() {
    this.set(new Map());
    this.#holder.remove();
  }
}
