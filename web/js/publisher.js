/** Keeps what the room sees of us equal to what the microphone, camera and screen give. */

import { SOURCES } from "./peer.js";

/** @typedef {import("./types.js").Source} Source */
/** @typedef {import("./types.js").Command} Command */
/** @typedef {import("./types.js").Reply} Reply */
/** @typedef {{track: MediaStreamTrack | null, muted: boolean}} Wanted */

/**
 * @param {import("./media.js").LocalMedia} media
 * @returns {Record<Source, Wanted>}
 */
function wantedOf(media) {
  const { microphone, camera } = media.state;
  return {
    microphone: { track: microphone.track, muted: !microphone.on },
    camera: { track: camera.track, muted: !camera.track },
    screen: { track: media.screen.video, muted: false },
    "screen-audio": { track: media.screen.audio, muted: false },
  };
}

export class Publisher {
  /** What the server knows: by source, its publication. @type {Map<Source, {id: string, muted: boolean}>} */
  #published = new Map();
  #running = false;
  #again = false;

  /**
   * @param {import("./media.js").LocalMedia} media
   * @param {(command: Command) => Promise<Reply>} command
   * @param {() => import("./peer.js").Peer | null} peer
   */
  constructor(media, command, peer) {
    this.media = media;
    this.command = command;
    this.peer = peer;
  }

  /** A new session: nothing is published in it yet. */
  reset() {
    this.#published.clear();
  }

  get publications() {
    return this.#published;
  }

  /** Send what has changed; calls while one runs make it run once more. */
  async sync() {
    this.#again = true;
    if (this.#running) return;
    this.#running = true;
    try {
      while (this.#again) {
        this.#again = false;
        const wanted = wantedOf(this.media);
        await Promise.all(SOURCES.map((source) => this.#syncOne(source, wanted[source])));
      }
    } finally {
      this.#running = false;
    }
  }

  /** @param {Source} source @param {Wanted} wanted */
  async #syncOne(source, { track, muted }) {
    const peer = this.peer();
    const mid = peer?.mid(source);
    if (!peer || !mid) return;
    const known = this.#published.get(source);
    if (known && known.muted !== muted && muted) await this.#mute(known, true); // silence first, then the track
    await peer.send(source, track);
    if (!known && track) {
      const reply = await this.command({ type: "publish", mid, source, muted });
      if (reply.publication) this.#published.set(source, { id: reply.publication.id, muted });
    } else if (known && !track && source.startsWith("screen")) {
      this.#published.delete(source);
      await this.command({ type: "unpublish", publication: known.id });
    } else if (known && known.muted !== muted) {
      await this.#mute(known, muted);
    }
  }

  /** @param {{id: string, muted: boolean}} known @param {boolean} muted */
  async #mute(known, muted) {
    known.muted = muted;
    try {
      await this.command({ type: "mute", publication: known.id, muted });
    } catch (error) {
      known.muted = !muted; // so that the next change tries again
      throw error;
    }
  }
}
