/** What reaches somebody who looks at another tab: a notification of the system, and the title of the page. */

const BLINK_INTERVAL = 1000; // ms

/** Whether this browser can notify at all, and whether it has been asked. */
export function notificationState() {
  return "Notification" in window ? Notification.permission : "denied";
}

/** Ask for the permission; only from within a touch, where people know what it is for. */
export async function askToNotify() {
  if (notificationState() === "default") await Notification.requestPermission().catch(() => {});
}

/**
 * Call for attention until the returned function is called; whoever looks at the page is not disturbed.
 *
 * @param {string} title @param {string} body @param {string} tag  of which there is one at a time
 */
export function alertUser(title, body, tag) {
  const before = document.title;
  let blink = false;
  const timer = setInterval(() => {
    blink = !blink && !document.hasFocus();
    document.title = blink ? title : before;
  }, BLINK_INTERVAL);
  /** @type {Notification | null} */ let shown = null;
  if (!document.hasFocus() && notificationState() === "granted") {
    try {
      shown = new Notification(title, { body, tag, icon: "/static/favicon.svg", requireInteraction: true });
      shown.onclick = () => {
        window.focus();
        shown?.close();
      };
    } catch {
      // Chrome on Android wants a service worker for this: the ringing and the title have to do
    }
  }
  return () => {
    clearInterval(timer);
    document.title = before;
    shown?.close();
  };
}
