/** The one peer connection: m-lines to send on, slots to receive on, offers. The page offers, the server answers. */

import { LipSync } from "./lipsync.js";

/** @typedef {import("./types.js").Source} Source */
/** @typedef {import("./types.js").Kind} Kind */

/**
 * Of WebRTC extensions, not yet in every browser nor in TypeScript.
 *
 * @typedef {{uri: string, direction: string}} HeaderExtension
 * @typedef {{
 *   getHeaderExtensionsToNegotiate?: () => HeaderExtension[],
 *   setHeaderExtensionsToNegotiate?: (extensions: HeaderExtension[]) => void,
 * }} HeaderExtensions
 */

const DEPENDENCY_DESCRIPTOR = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";
/** m-lines to send on, in the order of the offer. */
/** @type {Source[]} */
export const SOURCES = ["microphone", "camera", "screen", "screen-audio"];
/** Slots are added in steps, so that a growing room does not renegotiate for each newcomer. */
const SLOT_STEP = 4;
const MOST_AUDIO_SLOTS = 12;
const MOST_VIDEO_SLOTS = 16;

/** @param {number} wanted @param {number} most */
function stepped(wanted, most) {
  return Math.min(most, Math.max(SLOT_STEP, Math.ceil(wanted / SLOT_STEP) * SLOT_STEP));
}

/**
 * Ask to be told what each frame needs beside it, which browsers do not by themselves on what they receive. Without it
 * they cannot tell apart the frames of one picture in several sizes (AV1), and one lost frame stops all after it.
 *
 * @param {RTCRtpTransceiver} transceiver
 */
function describe(transceiver) {
  const able = /** @type {RTCRtpTransceiver & HeaderExtensions} */ (transceiver);
  const extensions = able.getHeaderExtensionsToNegotiate?.();
  const wanted = extensions?.find(({ uri }) => uri === DEPENDENCY_DESCRIPTOR);
  if (!wanted) return;
  wanted.direction = "sendrecv";
  able.setHeaderExtensionsToNegotiate?.(extensions ?? []);
}

export class Peer {
  /** @type {Map<Source, RTCRtpTransceiver>} */ #sending = new Map();
  /** @type {{audio: RTCRtpTransceiver[], video: RTCRtpTransceiver[]}} */ #slots = { audio: [], video: [] };
  /** @type {Promise<unknown>} */ #negotiation = Promise.resolve();
  /** Ends what goes on by itself. */
  #rest = () => {};
  #lipSync;

  /**
   * @param {RTCIceServer[]} iceServers
   * @param {(sdp: string) => Promise<string>} ask  sends an offer, resolves to the answer
   * @param {import("./redundancy.js").Redundancy} redundancy
   * @param {import("./simulcast.js").Simulcast} simulcast
   * @param {() => import("./roster.js").Couple[]} couples  whose sound and picture are played now
   */
  constructor(iceServers, ask, redundancy, simulcast, couples) {
    this.ask = ask;
    this.redundancy = redundancy;
    this.simulcast = simulcast;
    this.connection = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    for (const source of SOURCES) {
      const transceiver = source === "camera" ? simulcast.addCamera(this.connection)
        : source === "screen" ? simulcast.addScreen(this.connection)
          : this.connection.addTransceiver("audio", { direction: "sendonly" });
      if (transceiver.receiver.track.kind === "audio") redundancy.prepare(transceiver);
      this.#sending.set(source, transceiver);
      if (source === "camera") this.#rest = simulcast.makeRoom(transceiver.sender);
    }
    this.#lipSync = new LipSync(couples, () => this.receivers());
  }

  /**
   * Have at least so many slots, as far as the most allowed.
   *
   * @param {number} audio @param {number} video
   * @returns {boolean} whether slots were added, so that an offer is due
   */
  grow(audio, video) {
    const before = this.#slots.audio.length + this.#slots.video.length;
    const wanted = { audio: stepped(audio, MOST_AUDIO_SLOTS), video: stepped(video, MOST_VIDEO_SLOTS) };
    for (const kind of /** @type {Kind[]} */ (["audio", "video"])) {
      while (this.#slots[kind].length < wanted[kind]) {
        const slot = this.connection.addTransceiver(kind, { direction: "recvonly" });
        if (kind === "video") describe(slot);
        this.#slots[kind].push(slot);
      }
    }
    return this.#slots.audio.length + this.#slots.video.length > before;
  }

  get videoSlots() {
    return this.#slots.video.length;
  }

  /**
   * Offer and take the answer; calls queue up. Rejected when the server refuses or the session ends.
   *
   * @param {{iceRestart?: boolean}} [options]
   */
  negotiate({ iceRestart = false } = {}) {
    const run = async () => {
      if (this.connection.signalingState === "closed") return;
      if (iceRestart) this.connection.restartIce();
      await this.connection.setLocalDescription();
      const answer = await this.ask(this.connection.localDescription?.sdp ?? "");
      if (this.connection.signalingState === "have-local-offer") {
        await this.connection.setRemoteDescription({ type: "answer", sdp: answer });
      }
    };
    const result = this.#negotiation.then(run);
    this.#negotiation = result.catch(() => {});
    return result;
  }

  /** @param {Source} source @returns {string | null} the m-line, null before the first offer */
  mid(source) {
    return this.#sending.get(source)?.mid ?? null;
  }

  /** @param {Source} source @param {MediaStreamTrack | null} track */
  async send(source, track) {
    const sender = this.#sending.get(source)?.sender;
    if (!sender || sender.track === track) return;
    if (source === "camera" && track) await this.simulcast.fit(sender, track);
    if (source === "screen" && track) await this.simulcast.fitScreen(sender);
    await sender.replaceTrack(track);
  }

  /** What the server wants sent. @param {import("./types.js").RoomEvent} event */
  apply(event) {
    if (event.type === "encodings" && event.mid === this.mid("camera")) {
      this.simulcast.ask(event.rids, event.instead ?? false, this.#sending.get("camera")?.sender);
    }
    if (event.type === "encodings" && event.mid === this.mid("screen")) {
      this.simulcast.askScreen(event.rids, this.#sending.get("screen")?.sender);
    }
    if (event.type === "codecs") this.simulcast.useCodecs(event.codecs, this.#sending.get("screen")?.sender);
  }

  /** @returns {Map<string, RTCRtpReceiver>} those of the slots by m-line */
  receivers() {
    const receivers = new Map();
    for (const slot of [...this.#slots.audio, ...this.#slots.video]) {
      if (slot.mid !== null) receivers.set(slot.mid, slot.receiver);
    }
    return receivers;
  }

  close() {
    this.#rest();
    this.#lipSync.close();
    this.connection.close();
    this.redundancy.release(this.#sending.values());
  }
}
