/** Starts the page: language, what this browser can do, and which screen the address asks for. */

import { h } from "./dom.js";
import { Call } from "./call.js";
import { expose } from "./expose.js";
import { chooseLanguage, listed, loadLanguage, t } from "./i18n.js";
import { Line } from "./line.js";
import { LocalMedia } from "./media.js";
import { normaliseRoom } from "./rooms.js";
import { keepToken, preferences, remember, rememberRoom, takeToken } from "./store.js";
import { callView } from "./views/call.js";
import { endingOf, endingView } from "./views/ending.js";
import { prejoinView } from "./views/prejoin.js";
import { ringingLayer } from "./views/ringing.js";
import { startView } from "./views/start.js";

/** @typedef {{element: HTMLElement, destroy?: () => void}} View */

/** ms for which the other one in a call that is over may come back: a page that is loaded anew does. */
const ALONE_PATIENCE = 4000;

/** The room of the last call that was answered, whose name says nothing to anybody, and whom it was with. */
/** @type {{room: string, partners: string[]}} */
const answered = { room: "", partners: [] };
const line = new Line();
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

  /** @param {string} room @returns {string} what people call it */
  titleOf(room) {
    return room === answered.room && room ? listed(answered.partners) : room;
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
    const partners = room === answered.room ? answered.partners : [];
    const call = new Call({ room, name, token: takeToken(room) }, media, partners);
    expose(call);
    call.addEventListener("ended", (event) => {
      const how = /** @type {CustomEvent<import("./signaling.js").Ended>} */ (event).detail;
      navigation.ended(room, endingOf(how), how.message);
    });
    call.start();
    if (room !== line.call?.room) rememberRoom(room);
    line.setBusy(true);
    const view = callView(navigation, call);
    const over = (/** @type {Event} */ event) => {
      if (/** @type {CustomEvent} */ (event).detail.room !== room) return;
      setTimeout(() => {
        if (current === shown && call.roster.people.size < 2) navigation.ended(room, "over");
      }, ALONE_PATIENCE);
    };
    line.addEventListener("over", over);
    const shown = {
      element: view.element,
      destroy() {
        line.removeEventListener("over", over);
        view.destroy?.();
        line.hangUp();
        line.setBusy(false);
      },
    };
    show(shown);
  },

  /** Enter the room of a call that was answered. @param {import("./types.js").CallView} call */
  answer(call) {
    const { room = "", token = "" } = call;
    Object.assign(answered, { room, partners: line.partners(call) });
    keepToken(room, token);
    history.pushState(null, "", `/r/${encodeURIComponent(room)}`);
    setTitle();
    const media = new LocalMedia();
    void media.open();
    navigation.call(room, line.you.name, media);
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
  document.title = room ? t("app.room-title", { room: navigation.titleOf(room) }) : t("app.title");
}

function route() {
  const room = roomOfAddress();
  setTitle();
  if (room === null) show(startView(navigation, line));
  else if (room) navigation.prejoin(room);
  else navigation.ended("", "bad-room");
}

/** Whoever was reachable stays so, and whoever opens a link that makes reachable is. */
function startLine() {
  const { name, reachable } = preferences();
  const token = takeToken("");
  if (!token && !(reachable && name)) return;
  remember({ reachable: true });
  line.start(name, token);
}

line.addEventListener("answered", (event) => {
  navigation.answer(/** @type {CustomEvent<import("./types.js").CallView>} */ (event).detail);
});
addEventListener("popstate", route);
document.addEventListener("language", setTitle);
loadLanguage(chooseLanguage(preferences().language, navigator.languages)).then(() => {
  ringingLayer(line);
  route();
  startLine();
}).catch(() => {
  const text = "Clarion could not be loaded. Please reload the page. 加载失败，请刷新页面。";
  app.replaceChildren(h("p", { class: "noscript" }, text));
});
