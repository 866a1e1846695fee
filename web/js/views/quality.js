/** A small sign on a tile: how large and smooth its picture is, and why it is not better. */

import { h, setContent } from "../dom.js";
import { t } from "../i18n.js";

/** Milliseconds over which frames are counted. */
const COUNT_FOR = 2000;

/** @typedef {{paused?: boolean, limit?: "bandwidth" | "source"} | undefined} Limits */

export class QualitySign {
  #size = h("span", { class: "quality-size" });
  #why = h("span", { class: "quality-why" });
  element = h("div", { class: "quality", "aria-hidden": "true", hidden: true }, this.#size, this.#why);
  #held = h("span", { t: "tile.paused" });
  /** Covers a picture that stands still. */
  cover = h("div", { class: "held", "aria-hidden": "true", hidden: true }, this.#held);
  #frames = 0;
  #countedAt = 0;
  #timer = 0;
  /** @type {Limits} */ #limits;

  /** @param {HTMLVideoElement} video */
  constructor(video) {
    this.video = video;
    this.#timer = setInterval(() => this.#count(), COUNT_FOR);
  }

  /**
   * @param {Limits} limits  none: it is not known, or the best there is
   * @param {boolean} received  whether the picture comes over the network
   * @returns {string} what a screen reader says
   */
  update(limits, received) {
    this.#limits = received ? limits : undefined;
    this.element.hidden = !received || !this.video.videoHeight;
    this.cover.hidden = !this.#limits?.paused;
    const why = this.#reason();
    setContent(this.#why, why);
    this.element.classList.toggle("is-limited", why !== "");
    return this.#limits?.paused ? t("tile.paused") : why;
  }

  #reason() {
    if (!this.#limits?.limit || this.#limits.paused) return "";
    return t(this.#limits.limit === "bandwidth" ? "tile.low-bandwidth" : "tile.low-source");
  }

  #count() {
    const { video } = this;
    if (this.element.hidden || !video.videoHeight) return;
    const now = performance.now();
    const frames = video.getVideoPlaybackQuality().totalVideoFrames;
    const rate = Math.round((frames - this.#frames) * 1000 / (now - this.#countedAt));
    const lines = Math.min(video.videoHeight, video.videoWidth);
    if (this.#countedAt && rate >= 0) setContent(this.#size, t("tile.size", { lines, rate }));
    [this.#frames, this.#countedAt] = [frames, now];
  }

  remove() {
    clearInterval(this.#timer);
  }
}
