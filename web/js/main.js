/** Starts the page: language, what this browser can do, and which screen the address asks for. */

import { h } from "./dom.js";
import { Call } from "./call.js";
import { expose } from "./expose.js";
import { chooseLanguage, loadLanguage, t } from "./i18n.js";
import { LocalMedia } from "./media.js";
import { normaliseRoom } from "./rooms.js";
import { preferences, rememberRoom, takeToken } from "./store.js";
import { callView } from "./views/call.js";
import { endingOf, endingView } from "./views/ending.js";
import { prejoinView } from "./views/prejoin.js";
import { startView } from "./views/start.js";

/** @typedef {{element: HTMLElement, destroy?: () => void}} View */

const app = /** @type {HTMLElement} */ (document.getElementById("app"));
/** @type {View | undefined} */
let current;

/** @param {View} view */
function show(view) {
  current?.destroy?.();
  current = view;
  app.replaceChildren(view.element);
  const heading = view.element.querySelector("h1");
  if (heading instanceof HTMLElement) {
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  }
  scrollTo(0, 0);
}

function supported() {
  return typeof RTCPeerConnection === "function" && "addTransceiver" in RTCPeerConnection.prototype
    && typeof WebSocket === "function" && typeof HTMLDialogElement === "function";
}

/** What the screens may do to one another. */
const navigation = {
  start() {
    history.pushState(null, "", "/");
    route();
  },

  /** @param {string} room */
  enter(room) {
    history.pushState(null, "", `/r/${encodeURIComponent(room)}`);
    route();
  },

  /** @param {string} room @param {string} kind  of endingOf() @param {string} [detail] */
  ended(room, kind, detail) {
    show(endingView(navigation, room, kind, detail));
  },

  /**
   * @param {string} room @param {string} name
   * @param {import("./media.js").LocalMedia} media
   */
  call(room, name, media) {
    const call = new Call({ room, name, token: takeToken(room) }, media);
    expose(call);
    call.addEventListener("ended", (event) => {
      const how = /** @type {CustomEvent<import("./signaling.js").Ended>} */ (event).detail;
      navigation.ended(room, endingOf(how), how.message);
    });
    call.start();
    rememberRoom(room);
    show(callView(navigation, call));
  },

  /** @param {string} room @param {boolean} [anyway]  although no device can be used here */
  prejoin(room, anyway = false) {
    takeToken(room);
    if (!supported()) navigation.ended(room, "unsupported");
    else if (!LocalMedia.possible && !anyway) navigation.ended(room, "insecure");
    else show(prejoinView(navigation, room));
  },
};

/** @typedef {typeof navigation} Navigation */

/** @returns {string | null} the room of the address, "" when it names none, null on the start page */
function roomOfAddress() {
  const match = /^\/r\/([^/]+)\/?$/.exec(location.pathname);
  if (!match) return null;
  try {
    return normaliseRoom(decodeURIComponent(match[1]));
  } catch {
    return ""; // broken escapes
  }
}

function setTitle() {
  const room = roomOfAddress();
  document.title = room ? t("app.room-title", { room }) : t("app.title");
}

function route() {
  const room = roomOfAddress();
  setTitle();
  if (room === null) show(startView(navigation));
  else if (room) navigation.prejoin(room);
  else navigation.ended("", "bad-room");
}

addEventListener("popstate", route);
document.addEventListener("language", setTitle);
loadLanguage(chooseLanguage(preferences().language, navigator.languages)).then(route).catch(() => {
  const text = "Clarion could not be loaded. Please reload the page. 加载失败，请刷新页面。";
  app.replaceChildren(h("p", { class: "noscript" }, text));
});
