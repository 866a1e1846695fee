/** A row of emoji to react with, over the button that opened it. */

import { h } from "../dom.js";
import { EMOJI } from "../chat.js";
import { t } from "../i18n.js";

/** The row that is open, of which there is one. @type {() => void} */
let closeOpen = () => {};

/**
 * Open the row, or close it when this button has opened it.
 *
 * @param {HTMLButtonElement} button @param {(emoji: string) => void} choose
 */
export function emojiBar(button, choose) {
  const again = button.getAttribute("aria-expanded") === "true";
  closeOpen();
  if (again) return;
  const close = (/** @type {boolean} */ back) => {
    element.remove();
    button.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside);
    closeOpen = () => {};
    if (back) button.focus();
  };
  const outside = (/** @type {Event} */ event) => {
    const target = /** @type {Node} */ (event.target);
    if (!element.contains(target) && !button.contains(target)) close(false);
  };
  const buttons = EMOJI.map((emoji) => h("button", {
    type: "button", "aria-label": t("chat.react-with", { emoji }),
    onclick: () => {
      choose(emoji);
      close(true);
    },
  }, emoji));
  const element = h("div", { class: "emoji-bar", role: "toolbar", label: "chat.reactions" }, ...buttons);
  element.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const at = buttons.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    if (step) buttons[(at + step + buttons.length) % buttons.length].focus();
    if (event.key === "Escape") close(true);
    if (step || event.key === "Escape") event.stopPropagation();
  });
  button.setAttribute("aria-expanded", "true");
  (button.closest("aside, footer, main") ?? document.body).append(element);
  place(element, button.getBoundingClientRect());
  document.addEventListener("pointerdown", outside);
  closeOpen = () => close(false);
  buttons[0].focus();
}

/** Above the button where there is room, within the window. @param {HTMLElement} element @param {DOMRect} near */
function place(element, near) {
  const { width, height } = element.getBoundingClientRect();
  const margin = 8;
  const left = near.left + near.width / 2 - width / 2;
  element.style.left = `${Math.max(margin, Math.min(innerWidth - width - margin, left))}px`;
  element.style.top = `${near.top - height - margin > 0 ? near.top - height - margin : near.bottom + margin}px`;
}
