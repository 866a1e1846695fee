/** How pictures are sent: the camera in up to three sizes (simulcast, RFC 8853), a shared screen sharp rather than smooth. */

/** From the smallest to the largest. */
const RIDS = ["q", "h", "f"];
/** Pixels of a picture from which Chromium sends so many sizes of it, and no more of a smaller one. */
const PIXELS_FOR_TWO = 480 * 270;
const PIXELS_FOR_THREE = 960 * 540;
/** Bits per second for a picture of up to so many lines. */
const BITRATES = [[120, 80_000], [180, 150_000], [240, 220_000], [360, 500_000], [480, 900_000], [720, 1_700_000]];
const MOST_BITRATE = 2_500_000;
/** Frames per second that are left of a screen at worst, in the lowest of three temporal layers. */
const SCREEN = { maxBitrate: 2_500_000, maxFramerate: 30, scalabilityMode: "L1T3" };

/** @param {number} lines */
function bitrateOf(lines) {
  return BITRATES.find(([most]) => lines <= most)?.[1] ?? MOST_BITRATE;
}

/**
 * How large each encoding is and what it may take; those beyond what a picture of this size is sent in are off.
 *
 * @param {{width?: number, height?: number}} size  of the track, absent where the browser does not know it yet
 * @param {ReadonlySet<string> | null} wanted  what is of use to anybody; null: all
 * @returns {{rid: string, active: boolean, scaleResolutionDownBy: number, maxBitrate: number}[]}
 */
export function layersOf({ width = 0, height = 0 }, wanted) {
  const pixels = width * height;
  const count = pixels >= PIXELS_FOR_THREE ? 3 : pixels >= PIXELS_FOR_TWO ? 2 : 1;
  const lines = Math.min(width, height) || 720;
  return RIDS.map((rid, place) => {
    const scale = place < count ? 2 ** (count - 1 - place) : 1;
    const active = place < count && (wanted === null || wanted.has(rid));
    return { rid, active, scaleResolutionDownBy: scale, maxBitrate: bitrateOf(lines / scale) };
  });
}

export class Simulcast {
  /** @type {Set<string> | null} */ #wanted = null;
  /** @type {Promise<unknown>} */ #fitting = Promise.resolve();

  /** @param {RTCPeerConnection} connection @returns {RTCRtpTransceiver} */
  addCamera(connection) {
    return connection.addTransceiver("video", { direction: "sendonly", sendEncodings: layersOf({}, null) });
  }

  /** @param {RTCPeerConnection} connection @returns {RTCRtpTransceiver} */
  addScreen(connection) {
    try {
      return connection.addTransceiver("video", { direction: "sendonly", sendEncodings: [SCREEN] });
    } catch {
      const { scalabilityMode: _, ...plain } = SCREEN; // a browser without temporal layers
      return connection.addTransceiver("video", { direction: "sendonly", sendEncodings: [plain] });
    }
  }

  /** A new session: nobody has said what is of use. */
  forget() {
    this.#wanted = null;
  }

  /**
   * The server says which encodings are of use to anybody.
   *
   * @param {string[]} rids @param {RTCRtpSender | undefined} sender
   */
  ask(rids, sender) {
    this.#wanted = new Set(rids);
    if (sender?.track) void this.fit(sender, sender.track);
  }

  /**
   * Suit the encodings to a track that is sent, or about to be; one change at a time, as each starts from the last.
   *
   * @param {RTCRtpSender} sender @param {MediaStreamTrack} track
   */
  fit(sender, track) {
    this.#fitting = this.#fitting.then(async () => {
      const parameters = sender.getParameters();
      const layers = layersOf(track.getSettings(), this.#wanted);
      let changed = false;
      for (const [place, encoding] of parameters.encodings.entries()) {
        const { rid: _, ...wish } = layers[place];
        for (const [key, value] of Object.entries(wish)) {
          changed ||= /** @type {any} */ (encoding)[key] !== value;
        }
        Object.assign(encoding, wish);
      }
      if (changed) await sender.setParameters(parameters);
    }).catch(() => {}); // closed meanwhile, or a browser that takes no such wish: it sends as it did
    return this.#fitting;
  }
}
