/** Keeps the screen on during a call, where the browser can. */

/** @returns {() => void} lets the screen sleep again */
export function keepAwake() {
  /** @type {WakeLockSentinel | null} */ let lock = null;
  let wanted = true;

  const acquire = async () => {
    if (!("wakeLock" in navigator) || document.visibilityState !== "visible") return;
    try {
      const fresh = await navigator.wakeLock.request("screen");
      if (wanted) lock = fresh;
      else await fresh.release();
    } catch {
      // low battery or policy: the screen may sleep
    }
  };
  // the browser lets go whenever the page is hidden
  document.addEventListener("visibilitychange", acquire);
  void acquire();
  return () => {
    wanted = false;
    document.removeEventListener("visibilitychange", acquire);
    void lock?.release().catch(() => {});
  };
}
