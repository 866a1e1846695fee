/** Tells when the browser has another network, or a network again. */

/**
 * @param {() => void} changed
 * @returns {() => void} stops watching
 */
export function watchNetwork(changed) {
  // On phones the browser tells whether this is Wi-Fi or mobile data.
  const info = /** @type {(EventTarget & {type?: string}) | undefined} */ (/** @type {any} */ (navigator).connection);
  let type = info?.type;
  // The event also comes for every new guess of the speed, which is no reason to do anything.
  const infoChanged = () => {
    if (info?.type === type) return;
    type = info?.type;
    changed();
  };
  addEventListener("online", changed);
  info?.addEventListener("change", infoChanged);
  return () => {
    removeEventListener("online", changed);
    info?.removeEventListener("change", infoChanged);
  };
}
