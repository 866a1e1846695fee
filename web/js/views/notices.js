/** Short notices in a corner, read out to those who do not see them. */

import { h } from "../dom.js";
import { t } from "../i18n.js";

const SHOWN_FOR = 4500; // ms
const MOST_SHOWN = 3;

export class Notices {
  element = h("div", { class: "notices", "aria-hidden": "true" });
  #live = document.getElementById("live");
  /** @type {Set<number>} */ #timers = new Set();

  /** Read out only. @param {string} key @param {Record<string, string>} [values] */
  tell(key, values = {}) {
    if (this.#live) this.#live.textContent = t(key, values);
  }

  /** @param {string} key @param {Record<string, string>} [values] */
  say(key, values = {}) {
    this.tell(key, values);
    const notice = h("p", { class: "notice" }, t(key, values));
    this.element.append(notice);
    while (this.element.children.length > MOST_SHOWN) this.element.firstElementChild?.remove();
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      notice.remove();
    }, SHOWN_FOR);
    this.#timers.add(timer);
  }

  destroy() {
    for (const timer of this.#timers) clearTimeout(timer);
    if (this.#live) this.#live.textContent = "";
  }
}
