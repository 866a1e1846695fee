/** The dialogs of a call: invite, settings, keyboard, and what a phone's bar has no room for. */

import { h, icon, setText } from "../dom.js";
import { linkTo } from "../rooms.js";
import { takeToken } from "../store.js";
import { devicePickers } from "./devices.js";
import { openDialog } from "./dialog.js";
import { languageSwitch, themeSwitch } from "./shell.js";

const COPIED_FOR = 2500; // ms

/**
 * A button that copies the link of the room and says so.
 *
 * @param {string} room @param {string} className
 */
export function copyButton(room, className) {
  const text = h("span", { t: "invite.copy" });
  const button = h("button", { class: className, type: "button" }, icon("copy"), text);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(linkTo(room));
    } catch {
      // no clipboard over plain http: the field with the link is there to copy from
      return setText(text, "invite.copy-failed");
    }
    setText(text, "invite.copied");
    return setTimeout(() => setText(text, "invite.copy"), COPIED_FOR);
  });
  return button;
}

/** @param {string} room */
export function inviteDialog(room) {
  const link = linkTo(room);
  const field = h("input", {
    type: "text", readOnly: true, value: link, label: "invite.link", onfocus: () => field.select(),
  });
  const share = typeof navigator.share === "function" && h("button", {
    class: "secondary", type: "button",
    onclick: () => void navigator.share({ title: "Clarion", url: link }).catch(() => {}),
  }, icon("share"), h("span", { t: "invite.share" }));
  const copy = copyButton(room, "primary");
  const code = h("img", {
    class: "qr", alt: "", src: `/api/rooms/${encodeURIComponent(room)}/qr.svg`, width: 176, height: 176,
  });
  const codeBox = h("figure", { class: "qr-box" }, code, h("figcaption", { t: "invite.qr" }));
  code.addEventListener("error", () => codeBox.remove());
  openDialog({
    title: "invite.title", className: "invite", focus: copy,
    body: [
      h("p", { t: takeToken(room) ? "invite.with-token" : "invite.text" }), field,
      h("div", { class: "actions" }, copy, share || ""), codeBox,
    ],
  });
}

/**
 * @param {import("../media.js").LocalMedia} media
 * @param {(speaker: string) => void} routeTo
 */
export function settingsDialog(media, routeTo) {
  const pickers = devicePickers(media, routeTo);
  void media.refreshDevices();
  openDialog({
    title: "settings.title", className: "settings", onClose: () => pickers.destroy?.(),
    body: [pickers.element, h("div", { class: "settings-look" },
      h("span", { t: "settings.language" }), languageSwitch(), h("span", { t: "settings.theme" }), themeSwitch())],
  });
}

/** Keys of the call and what they do; the letters are on the controls too. */
export const KEYS = [
  ["M", "keys.mute"], ["V", "keys.camera"], ["S", "keys.screen"], ["L", "keys.layout"], ["P", "keys.people"],
  ["C", "keys.chat"],
  ["I", "keys.invite"], ["?", "keys.sheet"], ["Esc", "keys.escape"],
];

export function keysDialog() {
  const touch = matchMedia("(hover: none)").matches;
  openDialog({
    title: "keys.title", className: "keys",
    body: [
      h("dl", {}, ...KEYS.map(([key, text]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", { t: text })))),
      touch ? "" : h("p", { class: "hint", t: "keys.hint" }),
    ],
  });
}

/**
 * @param {{icon: string, text: string, run: () => void}[]} entries  `text` names a string
 * @param {string} [name]  of whom they are about
 */
export function moreDialog(entries, name = "") {
  const dialog = openDialog({
    title: "control.more", name, className: "sheet",
    body: [h("ul", { class: "menu" }, ...entries.map((entry) => h("li", {}, h("button", {
      type: "button",
      onclick: () => {
        dialog.close();
        entry.run();
      },
    }, icon(entry.icon), h("span", { t: entry.text })))))],
  });
}

/** @param {() => void} unblock  plays the sound; called within the touch */
export function soundDialog(unblock) {
  const tap = h("button", { class: "primary large", type: "button" }, icon("speaker"), h("span", { t: "sound.tap" }));
  const dialog = openDialog({
    title: "sound.title", className: "sound", focus: tap,
    body: [h("p", { t: "sound.text" }), h("div", { class: "actions" }, tap)],
  });
  tap.addEventListener("click", () => {
    unblock();
    dialog.close();
  });
}
