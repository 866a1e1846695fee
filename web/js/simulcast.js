/** How pictures are sent: the camera in up to three sizes (simulcast, RFC 8853), a shared screen sharp rather than smooth. */

/** From the smallest to the largest. */
const RIDS = ["q", "h", "f"];
/** Pixels of a picture from which Chromium sends so many sizes of it, and no more of a smaller one. */
const PIXELS_FOR_TWO = 480 * 270;
const PIXELS_FOR_THREE = 960 * 540;
/** Bits per second for a picture of up to so many lines. */
const BITRATES = [[120, 80_000], [180, 150_000], [240, 220_000], [360, 500_000], [480, 1_500_000], [720, 2_000_000]];
const MOST_BITRATE = 2_500_000;
/** How often it is looked at how much is sent again, ms. */
const LOOK_EVERY = 2000;
/** Pictures are always left so much of their rate. */
const LEAST_ROOM = 0.2;
/** Weight of a new look. */
const SMOOTHING = 0.5;
/**
 * Of what is sent again, such a share stays free as well. With a half the browser sent two thirds of what it thinks that
 * the path carries, and never came to think that it carries more: it needs to see that much arrive.
 */
const FREE_OF_REPAIR = 0.25;
/** A smaller share is what any path needs now and then. */
const LITTLE_REPAIR = 0.1;
/** The room of the pictures changes in steps of this. */
const ROOM_STEP = 0.1;
/** So many looks in a row must find more before they get more. */
const PATIENCE = 2;
/**
 * A screen, and the same at its full size and as coarse as it gets, in some frames a second: its text can be read at
 * 200 kbit/s. That is for codecs not made for text.
 */
const COARSE = { rid: "l", maxBitrate: 150_000, maxFramerate: 5, scaleResolutionDownBy: 1 };
const SHARP = { rid: "h", maxBitrate: 2_500_000, maxFramerate: 30, scaleResolutionDownBy: 1, scalabilityMode: "L1T3" };
/** What every browser can decode, and what takes a twelfth of that for text: a page of it that VP8 needs a megabit for. */
const PLAIN_CODEC = "video/VP8";
const TEXT_CODEC = "video/AV1";

/** @param {string} type @returns {RTCRtpCodec[]} how this browser can receive it */
function codecsOf(type) {
  return RTCRtpReceiver.getCapabilities("video")?.codecs.filter(({ mimeType }) => mimeType === type) ?? [];
}

/** @param {number} lines */
function bitrateOf(lines) {
  return BITRATES.find(([most]) => lines <= most)?.[1] ?? MOST_BITRATE;
}

/**
 * How large each encoding is and what it may take; those beyond what a picture of this size is sent in are off.
 *
 * @param {{width?: number, height?: number}} size  of the track, absent where the browser does not know it yet
 * @param {ReadonlySet<string> | null} wanted  what is of use to anybody; null: all
 * @param {number} room  which share of that rate they may take, beside what is sent again
 * @param {boolean} instead  whether what is of use stands in for all, and may take as much: a browser that is to send
 *   more than before probes its path, and when that is narrow takes what it finds for the most it carries
 * @param {ReadonlySet<string> | null} full  what it stands in for; null: all
 * @returns {{rid: string, active: boolean, scaleResolutionDownBy: number, maxBitrate: number}[]}
 */
export function layersOf({ width = 0, height = 0 }, wanted, room = 1, instead = false, full = null) {
  const pixels = width * height;
  const count = pixels >= PIXELS_FOR_THREE ? 3 : pixels >= PIXELS_FOR_TWO ? 2 : 1;
  const lines = Math.min(width, height) || 720;
  const scales = RIDS.map((_, place) => (place < count ? 2 ** (count - 1 - place) : 1));
  const all = scales.slice(0, count).filter((_, place) => full === null || full.has(RIDS[place]))
    .reduce((sum, scale) => sum + bitrateOf(lines / scale), 0);
  return RIDS.map((rid, place) => {
    const active = place < count && (wanted === null || wanted.has(rid));
    const own = bitrateOf(lines / scales[place]);
    const most = instead ? Math.max(own, all) : own;
    return { rid, active, scaleResolutionDownBy: scales[place], maxBitrate: room * most };
  });
}

/**
 * Which share of their rate pictures may take, so that they need not wait for what is sent again.
 *
 * Chromium sends no faster than 1.1 times what it thinks that the path carries, and repairs first. It takes what they take
 * from its pictures, but no more than half of all, and they come in bursts: where much is sent again, frames are late
 * before they leave.
 */
export class RepairRoom {
  #sent = 0;
  #again = 0;
  #share = 0;
  #higher = 0;
  factor = 1;

  /**
   * Take the bytes sent since the start, and those of them that were sent again.
   *
   * @param {number} sent @param {number} again
   * @param {number} allowed  how many times the rate of the pictures may be sent in all
   * @returns {boolean} whether the factor has changed
   */
  count(sent, again, allowed = Infinity) {
    const [bytes, repairs] = [sent - this.#sent, again - this.#again];
    [this.#sent, this.#again] = [sent, again];
    if (bytes <= 0 || repairs < 0) return false;
    this.#share += (Math.min(repairs / bytes, 1) - this.#share) * (this.#share ? SMOOTHING : 1);
    const room = allowed * (1 - this.#share) * (1 - FREE_OF_REPAIR * this.#share);
    const fitting = Math.min(1, Math.max(LEAST_ROOM, Math.round(room / ROOM_STEP) * ROOM_STEP));
    const wanted = this.#share < LITTLE_REPAIR ? 1 : fitting;
    this.#higher = wanted > this.factor ? this.#higher + 1 : 0;
    if (wanted === this.factor || (wanted > this.factor && this.#higher < PATIENCE)) return false;
    [this.factor, this.#higher] = [wanted, 0];
    return true;
  }
}

export class Simulcast {
  /** @type {Set<string> | null} */ #wanted = null;
  #instead = false;
  /** What was sent when there was room for it. @type {Set<string> | null} */ #full = null;
  /** @type {Set<string> | null} */ #wantedOfScreen = null;
  /** @type {Promise<unknown>} */ #fitting = Promise.resolve();
  #room = new RepairRoom();
  /** @type {string[]} */ #codecs = [];
  /** Whether the screen can be sent in one codec or another without a new offer. */
  #picks = false;

  /** @param {RTCPeerConnection} connection @returns {RTCRtpTransceiver} */
  addCamera(connection) {
    return connection.addTransceiver("video", { direction: "sendonly", sendEncodings: layersOf({}, null) });
  }

  /** @param {RTCPeerConnection} connection @returns {RTCRtpTransceiver} */
  addScreen(connection) {
    const [codec] = codecsOf(PLAIN_CODEC);
    try {
      const transceiver = connection.addTransceiver("video", {
        direction: "sendonly",
        sendEncodings: [COARSE, SHARP].map((one) => /** @type {RTCRtpEncodingParameters} */ ({ ...one, codec })),
      });
      // The first one is sent unless an encoding says otherwise, which not every browser lets it.
      const encoding = /** @type {{codec?: RTCRtpCodec}} */ (transceiver.sender.getParameters().encodings[0]);
      const text = codecsOf(TEXT_CODEC);
      this.#picks = Boolean(encoding?.codec) && text.length > 0;
      if (this.#picks) {
        const all = RTCRtpReceiver.getCapabilities("video")?.codecs ?? [];
        transceiver.setCodecPreferences([...text, ...all.filter(({ mimeType }) => mimeType !== TEXT_CODEC)]);
      }
      return transceiver;
    } catch {
      const { scalabilityMode: _, ...plain } = SHARP; // a browser without temporal layers
      return connection.addTransceiver("video", { direction: "sendonly", sendEncodings: [COARSE, plain] });
    }
  }

  /** @param {string[]} names  in SDP, of codecs that everybody can decode @param {RTCRtpSender | undefined} sender  of the screen */
  useCodecs(names, sender) {
    this.#codecs = names;
    if (sender?.track) void this.fitScreen(sender);
  }

  /**
   * The server says which encodings of the screen are of use to anybody.
   *
   * @param {string[]} rids @param {RTCRtpSender | undefined} sender
   */
  askScreen(rids, sender) {
    this.#wantedOfScreen = new Set(rids);
    if (sender?.track) void this.fitScreen(sender);
  }

  /**
   * Send a screen in the codec that suits text as long as everybody can decode it; then it needs no coarse encoding.
   *
   * @param {RTCRtpSender} sender
   */
  fitScreen(sender) {
    this.#fitting = this.#fitting.then(async () => {
      const parameters = sender.getParameters();
      const suits = this.#picks && this.#codecs.some((name) => `video/${name}` === TEXT_CODEC);
      const type = suits ? TEXT_CODEC : PLAIN_CODEC;
      const codec = parameters.codecs.find(({ mimeType }) => mimeType === type);
      let changed = false;
      for (const encoding of /** @type {(RTCRtpEncodingParameters & {codec?: RTCRtpCodec})[]} */ (parameters.encodings)) {
        const needed = suits ? encoding.rid !== COARSE.rid : this.#wantedOfScreen?.has(encoding.rid ?? "") ?? true;
        const active = needed || parameters.encodings.length === 1;
        changed ||= encoding.active !== active;
        encoding.active = active;
        // what was said before the answer is forgotten where that has other parameters
        if (!this.#picks || !codec || encoding.codec?.mimeType === type) continue;
        const { mimeType, clockRate, sdpFmtpLine } = codec;
        encoding.codec = { mimeType, clockRate, ...(sdpFmtpLine && { sdpFmtpLine }) };
        changed = true;
      }
      if (changed) await sender.setParameters(parameters);
    }).catch(() => {}); // closed meanwhile, or not negotiated: it sends as it did
    return this.#fitting;
  }

  /** A new session: nobody has said what is of use. */
  forget() {
    [this.#wanted, this.#instead, this.#full, this.#wantedOfScreen] = [null, false, null, null];
    this.#codecs = [];
  }

  /**
   * The server says which encodings are of use to anybody.
   *
   * @param {string[]} rids @param {boolean} instead  of all, for which there is no room
   * @param {RTCRtpSender | undefined} sender
   */
  ask(rids, instead, sender) {
    [this.#wanted, this.#instead] = [new Set(rids), instead];
    if (!instead && rids.length > 0) this.#full = this.#wanted;
    if (sender?.track) void this.fit(sender, sender.track);
  }

  /**
   * Leave room for what is sent again, from now on.
   *
   * @param {RTCRtpSender} sender @returns {() => void} ends it
   */
  makeRoom(sender) {
    const timer = setInterval(async () => {
      if (!sender.track) return;
      let [sent, again, available] = [0, 0, Infinity];
      for (const stream of (await sender.getStats()).values()) {
        available = Math.min(available, stream.availableOutgoingBitrate ?? Infinity);
        if (stream.type !== "outbound-rtp") continue;
        sent += stream.bytesSent ?? 0;
        again += stream.retransmittedBytesSent ?? 0;
      }
      if (this.#room.count(sent, again, available / this.#base(sender.track)) && sender.track) void this.fit(sender, sender.track);
    }, LOOK_EVERY);
    return () => clearInterval(timer);
  }

  /** @param {MediaStreamTrack} track @returns {number} bits per second of the pictures that are of use */
  #base(track) {
    const layers = layersOf(track.getSettings(), this.#wanted, 1, this.#instead, this.#full).filter(({ active }) => active);
    return layers.reduce((sum, { maxBitrate }) => sum + maxBitrate, 0) || 1;
  }

  /**
   * Suit the encodings to a track that is sent, or about to be; one change at a time, as each starts from the last.
   *
   * @param {RTCRtpSender} sender @param {MediaStreamTrack} track
   */
  fit(sender, track) {
    this.#fitting = this.#fitting.then(async () => {
      const parameters = sender.getParameters();
      const layers = layersOf(track.getSettings(), this.#wanted, this.#room.factor, this.#instead, this.#full);
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
