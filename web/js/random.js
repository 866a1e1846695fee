/** Names that nobody can guess; crypto.randomUUID() is missing over plain http. */

/** @param {number} bytes @returns {string} so many random bytes, in hexadecimal */
export function randomHex(bytes) {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
