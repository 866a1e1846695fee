/** What is said about a device that gives nothing. */

/** By device and problem, the name of a string; "" when the other device says it already. */
/** @type {Record<import("../media.js").Device, Record<string, string>>} */
export const PROBLEMS = {
  microphone: {
    denied: "problem.microphone.denied", missing: "problem.microphone.missing", busy: "problem.microphone.busy",
    insecure: "problem.insecure",
  },
  camera: {
    denied: "problem.camera.denied", missing: "problem.camera.missing", busy: "problem.camera.busy", insecure: "",
  },
};
