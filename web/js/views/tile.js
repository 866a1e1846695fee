/** One tile of a call: a picture or initials, a name, and the marks of a voice. */

import { h, icon, setContent, setIcon, setLabel } from "../dom.js";
import { t } from "../i18n.js";
import { hue, initials } from "../rooms.js";
import { QualitySign } from "./quality.js";

const TONES = 8;
/** Of a tile's shorter side, and in px. */
const AVATAR_SHARE = 0.42;
const AVATAR_MOST = 128;
/** px: tiles narrower than this have smaller letters. */
const SMALL = 260;

/**
 * @param {HTMLElement} element
 * @param {import("../layout.js").Box | null | undefined} box  none: no room for this element
 */
export function placeAt(element, box) {
  element.hidden = !box;
  if (!box) return;
  element.style.transform = `translate(${Math.round(box.x)}px, ${Math.round(box.y)}px)`;
  element.style.width = `${Math.floor(box.width)}px`;
  element.style.height = `${Math.floor(box.height)}px`;
}

/**
 * @typedef {object} TileState
 * @property {string} name
 * @property {boolean} isSelf
 * @property {boolean} isScreen
 * @property {boolean} silent    microphone off
 * @property {boolean} speaking
 * @property {boolean} away      the connection of this person is lost for now
 * @property {boolean} pinned
 * @property {MediaStreamTrack | null} track
 * @property {import("./quality.js").Limits} quality
 */

export class Tile {
  #video = h("video", { muted: true, playsInline: true, autoplay: true });
  #avatar = h("div", { class: "avatar", "aria-hidden": "true" });
  #micOff = h("span", { class: "mic-off" }, icon("mic-off"));
  #voice = h("span", { class: "voice", "aria-hidden": "true" }, h("i"), h("i"), h("i"));
  #name = h("span", { class: "tile-name" });
  #quality = new QualitySign(this.#video);
  #pin;
  #away = h("div", { class: "away", hidden: true }, h("span", { class: "spinner" }), h("span", { t: "tile.away" }));
  /** @type {string} */ #trackId = "";

  /** @param {string} id @param {(id: string) => void} onPin */
  constructor(id, onPin) {
    this.id = id;
    this.#pin = h("button", {
      class: "pin", type: "button", label: "tile.pin", onclick: () => onPin(id),
    }, icon("pin"));
    this.element = h("div", { class: "tile", role: "group", "data-tile": id },
      this.#video, this.#avatar, this.#quality.cover, this.#away, this.#quality.element,
      h("div", { class: "plate" }, this.#micOff, this.#voice, this.#name), this.#pin);
    this.element.addEventListener("dblclick", () => onPin(id));
    this.#video.addEventListener("loadeddata", () => this.element.classList.add("has-video"));
    this.#video.addEventListener("resize", () => {
      this.element.classList.toggle("upright", this.#video.videoHeight > this.#video.videoWidth);
    });
  }

  /** @param {TileState} state */
  update(state) {
    const { element } = this;
    this.#setTrack(state.track);
    const shown = state.isScreen ? t("tile.screen-of", { name: state.name })
      : state.isSelf ? t("tile.you", { name: state.name }) : state.name;
    setContent(this.#name, shown);
    setContent(this.#avatar, initials(state.name));
    const tone = `tone-${hue(state.name, TONES)}`;
    if (!this.#avatar.classList.contains(tone)) this.#avatar.className = `avatar ${tone}`;
    const facing = state.track?.getSettings().facingMode;
    this.#video.classList.toggle("mirrored", state.isSelf && !state.isScreen && facing !== "environment");
    element.classList.toggle("screen", state.isScreen);
    element.classList.toggle("self", state.isSelf);
    element.classList.toggle("speaking", state.speaking && !state.isScreen && !state.silent);
    element.classList.toggle("is-away", state.away);
    element.classList.toggle("pinned", state.pinned);
    this.#micOff.hidden = !state.silent || state.isScreen;
    this.#away.hidden = !state.away;
    setIcon(this.#pin, state.pinned ? "unpin" : "pin");
    setLabel(this.#pin, state.pinned ? "tile.unpin" : "tile.pin");
    this.#pin.setAttribute("aria-pressed", String(state.pinned));
    const quality = this.#quality.update(state.quality, Boolean(state.track) && !state.isSelf);
    const marks = [shown, this.#micOff.hidden ? "" : t("tile.muted"), state.away ? t("tile.away") : "", quality];
    const label = marks.filter(Boolean).join(", ");
    if (element.getAttribute("aria-label") !== label) element.setAttribute("aria-label", label);
  }

  /** @param {MediaStreamTrack | null} track */
  #setTrack(track) {
    if ((track?.id ?? "") === this.#trackId) return;
    this.#trackId = track?.id ?? "";
    this.element.classList.remove("has-video");
    this.#video.srcObject = track ? new MediaStream([track]) : null;
    if (track) this.#video.play().catch(() => {}); // muted, so never refused for want of a touch
  }

  /** @param {import("../layout.js").Box | undefined} box  undefined: no room for this tile */
  place(box) {
    placeAt(this.element, box);
    if (!box) return;
    this.element.classList.toggle("small", box.width < SMALL);
    const avatar = Math.min(AVATAR_MOST, Math.min(box.width, box.height) * AVATAR_SHARE);
    this.#avatar.style.setProperty("--avatar", `${Math.round(avatar)}px`);
  }

  remove() {
    this.#video.srcObject = null;
    this.#quality.remove();
    this.element.remove();
  }
}
