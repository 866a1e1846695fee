/** Redundancy on what this page says (RFC 2198), as deep as the server asks for. Without it, where a browser lacks it. */

/** For all peer connections of a call; the work is done in a worker. */
export class Redundancy {
  /** @type {Worker | null} */ #worker = null;
  /** @type {Map<RTCRtpTransceiver, MessagePort>} */ #ports = new Map();
  /** What the server asks for, by m-line. @type {Map<string, number>} */ #depths = new Map();
  #possible = typeof RTCRtpScriptTransform === "function" && typeof Worker === "function";

  /** @param {() => void} failed  what was prepared sends nothing: another peer connection is due, which will send */
  constructor(failed) {
    this.failed = failed;
  }

  /** @param {RTCRtpTransceiver} transceiver  of audio, before the first offer: later, Chromium ignores a transform */
  prepare(transceiver) {
    const codecs = RTCRtpReceiver.getCapabilities("audio")?.codecs ?? [];
    const red = codecs.filter((codec) => codec.mimeType.toLowerCase() === "audio/red");
    // Without the worker, RED first would double the rate: the browser's own always has a redundant frame.
    if (!this.#possible || !red.length || !transceiver.setCodecPreferences) return;
    this.#worker ??= this.#start();
    const { port1, port2 } = new MessageChannel();
    transceiver.sender.transform = new RTCRtpScriptTransform(this.#worker, { port: port2 }, [port2]);
    transceiver.setCodecPreferences([...red, ...codecs.filter((codec) => !red.includes(codec))]);
    this.#ports.set(transceiver, port1);
  }

  /** @param {string} mid @param {number} depth  frames before its own in each packet of that m-line */
  ask(mid, depth) {
    this.#depths.set(mid, depth);
    this.apply();
  }

  /** After each negotiation: a new peer connection, too, has the path that the server judged. */
  apply() {
    for (const [transceiver, port] of this.#ports) {
      const depth = this.#depths.get(transceiver.mid ?? "");
      if (depth !== undefined) port.postMessage(depth);
    }
  }

  /** A new session: the server has asked for nothing yet. */
  forget() {
    this.#depths.clear();
  }

  /** @param {Iterable<RTCRtpTransceiver>} transceivers  of a peer connection that is closed */
  release(transceivers) {
    for (const transceiver of transceivers) {
      this.#ports.get(transceiver)?.close();
      this.#ports.delete(transceiver);
    }
  }

  close() {
    this.#worker?.terminate();
  }

  #start() {
    const worker = new Worker(new URL("./redundancy-worker.js", import.meta.url), { type: "module" });
    worker.onerror = () => {
      if (!this.#possible) return;
      this.#possible = false;
      this.failed();
    };
    return worker;
  }
}
