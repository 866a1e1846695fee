/** One message of the chat, and what can be done with it. */

import { h, icon } from "../dom.js";
import { language, t } from "../i18n.js";
import { hue, initials } from "../rooms.js";
import { isOnlyEmoji, linked } from "../text.js";
import { emojiBar } from "./emoji.js";

/** @typedef {import("../chat.js").Entry} Entry */

/** Seconds within which messages of one person stand together. */
const TOGETHER = 300;

/** @param {Entry | undefined} before @param {Entry} entry @returns {boolean} whether `entry` goes on what was said */
export function continues(before, entry) {
  return Boolean(before && before.sender === entry.sender && before.mine === entry.mine && before.to === entry.to
    && entry.at - before.at < TOGETHER && sameDay(before.at, entry.at));
}

/** @param {number} a @param {number} b  Unix times in seconds */
export function sameDay(a, b) {
  return new Date(a * 1000).toDateString() === new Date(b * 1000).toDateString();
}

/** @param {number} at  Unix time in seconds */
export function dayOf(at) {
  if (sameDay(at, Date.now() / 1000)) return t("chat.today");
  return new Intl.DateTimeFormat(language(), { weekday: "long", day: "numeric", month: "long" }).format(at * 1000);
}

/** @param {number} at  Unix time in seconds */
function timeOf(at) {
  return new Intl.DateTimeFormat(language(), { hour: "2-digit", minute: "2-digit" }).format(at * 1000);
}

/**
 * @param {import("../chat.js").Chat} chat @param {Entry} entry
 * @param {boolean} continued  the head of the message before stands for this one too
 * @param {string} addressee  name of the only one it is for, or ""
 */
export function messageRow(chat, entry, continued, addressee) {
  const { mine, number, key } = entry;
  const time = h("time", { dateTime: new Date(entry.at * 1000).toISOString() }, timeOf(entry.at));
  const secret = addressee && h("span", { class: "chat-private" }, icon("lock"), t(
    mine ? "chat.private-to" : "chat.private-from", { name: addressee }));
  const head = (!continued || entry.to) && h("div", { class: "chat-who" },
    !mine && h("span", { class: "chat-name" }, entry.name), secret, !continued && time);
  const bubble = h("div", { class: `bubble ${isOnlyEmoji(entry.text) ? "large-emoji" : ""}`, dir: "auto" },
    ...linked(entry.text));
  const react = number > 0 && h("button", {
    class: "quiet react", type: "button", label: "chat.react", "aria-haspopup": "true", "aria-expanded": "false",
    "data-react": number,
    onclick: (/** @type {Event} */ event) => emojiBar(
      /** @type {HTMLButtonElement} */ (event.currentTarget), (emoji) => chat.react(number, emoji)),
  }, icon("smile"));
  return h("li", { class: `said ${mine ? "mine" : ""} ${continued ? "continued" : ""}`, "data-message": key },
    !mine && !continued && h("span", {
      class: `avatar tone-${hue(entry.name, 8)}`, "aria-hidden": "true",
    }, initials(entry.name)),
    h("div", { class: "chat-body" }, head, h("div", { class: "bubble-line" }, bubble, react),
      tallies(chat, number), delivery(chat, entry)));
}

/** @param {import("../chat.js").Chat} chat @param {number} number */
function tallies(chat, number) {
  const found = number > 0 ? chat.reactions(number) : [];
  if (found.length === 0) return "";
  return h("div", { class: "tallies" }, ...found.map(({ emoji, names, mine }) => h("button", {
    type: "button", class: "tally", "aria-pressed": String(mine), title: names.join(", "), "data-tally": `${number}${emoji}`,
    "aria-label": t("chat.reacted", { emoji, names: names.join(", ") }), onclick: () => chat.react(number, emoji),
  }, h("span", {}, emoji, names.length > 1 && h("b", {}, String(names.length))))));
}

/** @param {import("../chat.js").Chat} chat @param {Entry} entry */
function delivery(chat, { state, key }) {
  if (state === "sent") return "";
  if (state === "sending") return h("div", { class: "delivery" }, icon("clock"), h("span", { t: "chat.sending" }));
  return h("div", { class: "delivery failed" }, icon("warning"),
    h("span", { t: state === "failed" ? "chat.failed" : "chat.refused" }),
    state === "failed" && h("button", {
      class: "text", type: "button", t: "chat.retry", onclick: () => chat.retry(key),
    }),
    h("button", { class: "text", type: "button", t: "chat.discard", onclick: () => chat.discard(key) }));
}
