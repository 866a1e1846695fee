/** Redundant audio (RFC 2198): a packet of Opus carries the frames before it, as many as the server asks for. */

/** RTP timestamp units: 14 bits. */
const MAX_OFFSET = 0x3fff;
/** Bytes of a redundant block: 10 bits. */
const MAX_BLOCK = 0x3ff;
/** Bytes: Chromium drops an encoded frame that is much longer (crbug.com/1248479). */
const MAX_PAYLOAD = 1000;
/** Frames that can be asked for: 20 ms each, in 14 bits of timestamp. */
export const MAX_DEPTH = 17;

/**
 * The newest frame of a RED payload.
 *
 * @param {Uint8Array} payload
 * @returns {{payloadType: number, frame: Uint8Array} | null} null when the payload is malformed
 */
export function primary(payload) {
  let at = 0;
  let redundant = 0;
  while (at < payload.length && payload[at] & 0x80) {
    if (at + 4 > payload.length) return null;
    redundant += (payload[at + 2] & 3) << 8 | payload[at + 3];
    at += 4;
  }
  const start = at + 1 + redundant;
  return start > payload.length ? null : { payloadType: payload[at], frame: payload.slice(start) };
}

/** The frames of one sender, and the depth at which they are sent. */
export class Packer {
  #depth = 0;
  /** Newest first. @type {{timestamp: number, frame: Uint8Array}[]} */ #history = [];

  /** @param {unknown} depth  frames before the newest one; anything but a number from 0 on is ignored */
  ask(depth) {
    if (Number.isInteger(depth) && Number(depth) >= 0) this.#depth = Math.min(Number(depth), MAX_DEPTH);
  }

  /**
   * The payload to send in place of the browser's own.
   *
   * @param {Uint8Array<ArrayBuffer>} payload  RED of any depth
   * @param {number} timestamp  RTP
   * @returns {Uint8Array<ArrayBuffer>} the same when there is nothing to make of it
   */
  repack(payload, timestamp) {
    const newest = primary(payload);
    if (!newest || !newest.frame.length || !Number.isInteger(timestamp)) return payload;
    const { payloadType, frame } = newest;
    let size = 1 + frame.length;
    const blocks = [];
    for (const before of this.#history) {
      const offset = (timestamp - before.timestamp) >>> 0;
      size += 4 + before.frame.length;
      if (blocks.length === this.#depth || !offset || offset > MAX_OFFSET || size > MAX_PAYLOAD) break;
      blocks.unshift({ offset, frame: before.frame });
    }
    if (frame.length <= MAX_BLOCK) this.#history.unshift({ timestamp, frame });
    this.#history.length = Math.min(this.#history.length, MAX_DEPTH);
    return write(payloadType, frame, blocks);
  }
}

/**
 * @param {number} payloadType  of all blocks
 * @param {Uint8Array} frame
 * @param {{offset: number, frame: Uint8Array}[]} blocks  oldest first
 * @returns {Uint8Array<ArrayBuffer>}
 */
function write(payloadType, frame, blocks) {
  const headers = blocks.flatMap(({ offset, frame: { length } }) => [
    0x80 | payloadType, offset >> 6, (offset & 0x3f) << 2 | length >> 8, length & 0xff,
  ]);
  const parts = [Uint8Array.from([...headers, payloadType]), ...blocks.map((block) => block.frame), frame];
  const made = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    made.set(part, at);
    at += part.length;
  }
  return made;
}
