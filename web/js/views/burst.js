/** A reaction to what is happening now, rising over the tile of whoever sent it. */

import { h } from "../dom.js";

const SHOWN_FOR = 3200; // ms
const MOST = 24;
/** Share of the width in the middle of a tile over which they are spread. */
const SPREAD = 0.5;

/** @param {HTMLElement} host  a tile, or the stage @param {string} emoji @param {string} name */
export function burst(host, emoji, name) {
  if (host.querySelectorAll(":scope > .burst").length >= MOST) return;
  const element = h("div", { class: "burst", "aria-hidden": "true" }, h("span", {}, emoji),
    host.classList.contains("tile") ? "" : h("small", {}, name));
  element.style.left = `${50 + (Math.random() - 0.5) * SPREAD * 100}%`;
  host.append(element);
  setTimeout(() => element.remove(), SHOWN_FOR);
}
