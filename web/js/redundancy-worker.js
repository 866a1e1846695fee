/** Re-makes the RED payload of each packet of a sender (RTCRtpScriptTransform); the depth comes over a port. */

import { Packer } from "./red.js";

/** @typedef {{data: ArrayBuffer, getMetadata: () => {mimeType?: string, rtpTimestamp?: number}}} EncodedFrame */

addEventListener("rtctransform", (event) => {
  const { readable, writable, options } = /** @type {any} */ (event).transformer;
  const packer = new Packer();
  options.port.onmessage = (/** @type {MessageEvent} */ { data }) => packer.ask(data);
  /** @type {Transformer<EncodedFrame, EncodedFrame>} */
  const remake = {
    transform(frame, controller) {
      const { mimeType, rtpTimestamp } = frame.getMetadata();
      if (mimeType?.toLowerCase() === "audio/red" && rtpTimestamp !== undefined) {
        const before = new Uint8Array(frame.data);
        const made = packer.repack(before, rtpTimestamp);
        if (made !== before) frame.data = made.buffer;
      }
      controller.enqueue(frame);
    },
  };
  readable.pipeThrough(new TransformStream(remake)).pipeTo(writable).catch(() => {}); // the sender has ended
});
