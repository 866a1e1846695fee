/** The pages on which a call ends, or cannot begin: what happened, and the sensible next step. */

import { h, icon } from "../dom.js";
import { header } from "./shell.js";

/** @typedef {"rejoin" | "anyway" | "home" | "reload"} Action */
/** @typedef {{icon: string, title: string, text: string, actions: Action[]}} Ending */

/** @type {Record<string, Ending>} */
export const ENDINGS = {
  "left": { icon: "leave", title: "ending.left.title", text: "ending.left.text", actions: ["rejoin", "home"] },
  "over": { icon: "leave", title: "ending.over.title", text: "ending.over.text", actions: ["home"] },
  "replaced": {
    icon: "tabs", title: "ending.replaced.title", text: "ending.replaced.text", actions: ["rejoin", "home"],
  },
  "removed": { icon: "leave", title: "ending.removed.title", text: "ending.removed.text", actions: ["home"] },
  "banned": { icon: "leave", title: "ending.banned.title", text: "ending.banned.text", actions: ["home"] },
  "ended": { icon: "leave", title: "ending.ended.title", text: "ending.ended.text", actions: ["home"] },
  "locked": { icon: "lock", title: "ending.locked.title", text: "ending.locked.text", actions: ["rejoin", "home"] },
  "denied": { icon: "lock", title: "ending.denied.title", text: "ending.denied.text", actions: ["home"] },
  "timeout": { icon: "plug", title: "ending.timeout.title", text: "ending.timeout.text", actions: ["rejoin", "home"] },
  "shutdown": {
    icon: "clock", title: "ending.shutdown.title", text: "ending.shutdown.text", actions: ["rejoin", "home"],
  },
  "too-slow": {
    icon: "plug", title: "ending.too-slow.title", text: "ending.too-slow.text", actions: ["rejoin", "home"],
  },
  "lost": { icon: "plug", title: "ending.lost.title", text: "ending.lost.text", actions: ["rejoin", "home"] },
  "unreachable": {
    icon: "plug", title: "ending.unreachable.title", text: "ending.unreachable.text", actions: ["rejoin", "home"],
  },
  "unauthorized": {
    icon: "lock", title: "ending.unauthorized.title", text: "ending.unauthorized.text", actions: ["rejoin", "home"],
  },
  "not-permitted": {
    icon: "lock", title: "ending.not-permitted.title", text: "ending.not-permitted.text", actions: ["home"],
  },
  "not-found": {
    icon: "warning", title: "ending.not-found.title", text: "ending.not-found.text", actions: ["home"],
  },
  "room-full": {
    icon: "full", title: "ending.room-full.title", text: "ending.room-full.text", actions: ["rejoin", "home"],
  },
  "server-full": {
    icon: "full", title: "ending.server-full.title", text: "ending.server-full.text", actions: ["rejoin", "home"],
  },
  "rate-limited": {
    icon: "clock", title: "ending.rate-limited.title", text: "ending.rate-limited.text", actions: ["rejoin", "home"],
  },
  "bad-room": { icon: "warning", title: "ending.bad-room.title", text: "ending.bad-room.text", actions: ["home"] },
  "refused": {
    icon: "warning", title: "ending.refused.title", text: "ending.refused.text", actions: ["rejoin", "home"],
  },
  "protocol-error": {
    icon: "warning", title: "ending.protocol-error.title", text: "ending.protocol-error.text",
    actions: ["reload", "home"],
  },
  "internal": {
    icon: "warning", title: "ending.internal.title", text: "ending.internal.text", actions: ["rejoin", "home"],
  },
  "unsupported": {
    icon: "warning", title: "ending.unsupported.title", text: "ending.unsupported.text", actions: ["home"],
  },
  "insecure": {
    icon: "lock", title: "ending.insecure.title", text: "ending.insecure.text", actions: ["anyway", "home"],
  },
};

/** Codes of the protocol whose page has another name. */
/** @type {Record<string, string>} */
const SAME_PAGE = {
  "bad-message": "refused", "too-large": "refused", "conflict": "refused", "unavailable": "internal",
  "bad-sdp": "protocol-error", "bad-state": "protocol-error", "gone": "timeout",
  "revoked": "unauthorized",
};

/** @param {import("../signaling.js").Ended} how @returns {string} a key of ENDINGS */
export function endingOf(how) {
  const kind = how.kind === "lost" || how.kind === "unreachable" ? how.kind : SAME_PAGE[how.code] ?? how.code;
  return kind in ENDINGS ? kind : "internal";
}

/**
 * @param {import("../main.js").Navigation} navigation
 * @param {string} room
 * @param {string} kind  a key of ENDINGS
 * @param {string} [detail]  the server's own sentence
 * @returns {import("../main.js").View}
 */
export function endingView(navigation, room, kind, detail = "") {
  const ending = ENDINGS[kind];
  /** @param {string} className @param {string} text @param {() => void} onclick */
  const button = (className, text, onclick) => h("button", { class: className, type: "button", t: text, onclick });
  const again = kind === "left" || kind === "replaced" ? "ending.rejoin" : "ending.retry";
  /** @type {Record<Action, () => HTMLElement>} */
  const buttons = {
    rejoin: () => button("primary", again, () => navigation.prejoin(room, true)),
    anyway: () => button("primary", "ending.anyway", () => navigation.prejoin(room, true)),
    reload: () => button("primary", "ending.reload", () => location.reload()),
    home: () => button("secondary", "ending.home", () => navigation.start()),
  };
  const actions = ending.actions.filter((action) => room || action === "home" || action === "reload");
  const element = h("div", { class: "page ending", "data-ending": kind },
    header(navigation),
    h("main", { class: "message" },
      h("div", { class: "badge" }, icon(ending.icon)),
      h("h1", { t: ending.title }),
      h("p", { class: "lead", t: ending.text }),
      detail && h("p", { class: "detail", lang: "en" }, detail),
      h("div", { class: "actions" }, ...actions.map((action) => buttons[action]())),
      room && h("p", { class: "room-name" }, navigation.titleOf(room))));
  return { element };
}
