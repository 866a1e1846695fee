/** The tiles of a call: which there are, which one has the stage, where each goes, and which video that asks for. */

import { h } from "../dom.js";
import { t } from "../i18n.js";
import { arrangeGrid, arrangePair, arrangeStage, byImportance } from "../layout.js";
import { burst } from "./burst.js";
import { Tile, placeAt } from "./tile.js";

/** @typedef {import("../roster.js").Person} Person */
/** @typedef {{id: string, person: Person, isScreen: boolean, publication: string}} Entry */
/** @typedef {import("../layout.js").Arrangement} Arrangement */

/** Device pixels: the server is told of heights in such steps, so that it is not told of every resize. */
const HEIGHT_STEP = 30;
const SCREEN = "/screen";

export class Stage {
  /** @type {Map<string, Tile>} */ #tiles = new Map();
  #more = h("button", { class: "overflow", type: "button", hidden: true });
  element = h("section", { class: "stage", label: "call.stage" }, this.#more);
  /** What the user wants: "" shows a shared screen large, "grid" never, "spotlight" the speaker too. */
  /** @type {"" | "grid" | "spotlight"} */ mode = "";
  #pinned = "";
  #spotlight = "";
  /** @type {Set<string>} */ #screens = new Set();
  #resize;

  /** @param {import("../call.js").Call} call @param {() => void} showPeople */
  constructor(call, showPeople) {
    this.call = call;
    this.#more.addEventListener("click", showPeople);
    this.#resize = new ResizeObserver(() => this.update());
    this.#resize.observe(this.element);
    document.addEventListener("visibilitychange", this.#shownOrHidden);
  }

  get pinned() {
    return this.#pinned;
  }

  /** Whether one tile is larger than the others now. */
  get staged() {
    return this.#stageOf(this.#entries()) !== "";
  }

  /** @param {string} id  pin this tile, or let it go */
  pin(id) {
    this.#pinned = this.#pinned === id ? "" : id;
    this.update();
    this.element.dispatchEvent(new Event("layout", { bubbles: true }));
  }

  toggleMode() {
    if (this.staged) {
      this.mode = "grid";
      this.#pinned = "";
    } else {
      this.mode = "spotlight";
    }
    this.update();
  }

  /** @returns {Entry[]} in the order of entering; screens of others before all */
  #entries() {
    /** @type {Entry[]} */ const screens = [];
    /** @type {Entry[]} */ const cameras = [];
    for (const person of this.call.roster.people.values()) {
      const screen = person.publication("screen");
      if (screen && !person.isSelf) {
        screens.push({ id: person.id + SCREEN, person, isScreen: true, publication: screen.id });
      }
      cameras.push({ id: person.id, person, isScreen: false, publication: person.publication("camera")?.id ?? "" });
    }
    return [...screens, ...cameras];
  }

  /** @param {Entry[]} entries @returns {string} the tile on the stage, or "" */
  #stageOf(entries) {
    if (entries.some((entry) => entry.id === this.#pinned)) return this.#pinned;
    if (this.mode === "grid" || entries.length < 2) return "";
    const screen = entries.filter((entry) => entry.isScreen).at(-1);
    if (screen) return screen.id;
    if (this.mode !== "spotlight") return "";
    const others = entries.filter((entry) => !entry.person.isSelf);
    const speaking = others.filter((entry) => entry.person.speaking).sort((a, b) => b.person.spoke - a.person.spoke);
    const still = others.find((entry) => entry.id === this.#spotlight);
    // whoever has the stage keeps it while speaking, and until somebody else does
    const yields = !still || (!still.person.speaking && speaking.length > 0);
    if (yields) this.#spotlight = (speaking[0] ?? others[0])?.id ?? "";
    return this.#spotlight;
  }

  update() {
    const entries = this.#entries();
    this.#noticeScreens(entries);
    const stage = this.#stageOf(entries);
    const { boxes, hidden, more } = this.#arrange(entries, stage);
    const ids = new Set(entries.map((entry) => entry.id));
    for (const [id, tile] of this.#tiles) {
      if (ids.has(id)) continue;
      tile.remove();
      this.#tiles.delete(id);
    }
    const floating = !stage && entries.length === 2 && entries.some((entry) => entry.person.isSelf);
    for (const entry of entries) {
      const tile = this.#tiles.get(entry.id) ?? this.#add(entry.id);
      tile.update({
        name: entry.person.name,
        isSelf: entry.person.isSelf,
        isScreen: entry.isScreen,
        silent: entry.person.isSelf ? !this.#ownVoice() : entry.person.silent,
        speaking: entry.person.speaking,
        away: !entry.person.connected,
        pinned: entry.id === this.#pinned,
        track: this.#trackOf(entry),
        quality: this.call.qualityOf(entry.publication),
      });
      tile.place(boxes.get(entry.id));
      tile.element.classList.toggle("on-stage", entry.id === stage);
      tile.element.classList.toggle("floating", floating && entry.person.isSelf);
    }
    placeAt(this.#more, more);
    if (hidden.length > 0) this.#more.textContent = t("call.more-people", { count: hidden.length });
    this.#watch(entries, stage, boxes, hidden.length > 0);
  }

  #ownVoice() {
    const { on, track } = this.call.media.state.microphone;
    return on && track !== null;
  }

  /** @param {Entry} entry */
  #trackOf(entry) {
    if (entry.person.isSelf) return this.call.media.state.camera.track;
    const publication = entry.person.publications.get(entry.publication);
    return publication && !publication.muted ? this.call.trackOf(publication.id) : null;
  }

  /** @param {string} id */
  #add(id) {
    const tile = new Tile(id, (pinned) => this.pin(pinned));
    this.#tiles.set(id, tile);
    this.element.append(tile.element);
    return tile;
  }

  /** A screen that has just been shared gets the stage, whatever the layout was. @param {Entry[]} entries */
  #noticeScreens(entries) {
    const now = new Set(entries.filter((entry) => entry.isScreen).map((entry) => entry.id));
    if (this.mode === "grid" && [...now].some((id) => !this.#screens.has(id))) this.mode = "";
    this.#screens = now;
  }

  /** @param {Entry[]} entries @param {string} stage @returns {Arrangement} */
  #arrange(entries, stage) {
    const { clientWidth: width, clientHeight: height } = this.element;
    const ranked = entries.map((entry) => ({
      id: entry.id, spoke: entry.person.spoke, keep: entry.isScreen || entry.person.isSelf,
    }));
    if (stage) {
      const rest = ranked.filter((entry) => entry.id !== stage);
      const trial = arrangeStage(stage, rest.map((entry) => entry.id), width, height);
      if (trial.hidden.length === 0) return trial;
      return arrangeStage(stage, byImportance(rest, rest.length - trial.hidden.length), width, height);
    }
    const self = entries.find((entry) => entry.person.isSelf);
    const other = entries.find((entry) => !entry.person.isSelf);
    if (entries.length === 2 && self && other) return arrangePair(other.id, self.id, width, height);
    const trial = arrangeGrid(ranked.map((entry) => entry.id), width, height);
    if (trial.hidden.length === 0) return trial;
    return arrangeGrid(byImportance(ranked, ranked.length - trial.hidden.length), width, height);
  }

  /**
   * @param {Entry[]} entries @param {string} stage @param {Map<string, import("../layout.js").Box>} boxes
   * @param {boolean} someHidden
   */
  #watch(entries, stage, boxes, someHidden) {
    const most = this.call.peer?.videoSlots ?? 0;
    const wanted = entries.filter((entry) => !entry.person.isSelf && entry.publication && boxes.has(entry.id));
    const weight = (/** @type {Entry} */ entry) => {
      const muted = entry.person.publications.get(entry.publication)?.muted;
      return Number(entry.id === stage) * 4 + Number(entry.isScreen) * 2 + Number(!muted);
    };
    wanted.sort((a, b) => weight(b) - weight(a)); // stable: equals stay in the order of the tiles
    const list = wanted.slice(0, most).map((entry) => entry.publication);
    /** @type {Record<string, number>} */ const heights = {};
    for (const entry of entries) {
      if (entry.person.isSelf || !entry.publication) continue;
      const lines = document.hidden ? 0 : (boxes.get(entry.id)?.height ?? 0) * devicePixelRatio;
      heights[entry.publication] = Math.ceil(lines / HEIGHT_STEP) * HEIGHT_STEP;
    }
    this.call.watching.watch(list, list.length > 0 && (stage !== "" || someHidden || wanted.length > most), heights);
  }

  /** @param {{emoji: string, name: string, sender: string}} reaction  to what is happening now */
  burst({ emoji, name, sender }) {
    const tile = this.#tiles.get(sender)?.element;
    burst(tile && !tile.hidden ? tile : this.element, emoji, name);
  }

  #shownOrHidden = () => this.update();

  destroy() {
    document.removeEventListener("visibilitychange", this.#shownOrHidden);
    this.#resize.disconnect();
    for (const tile of this.#tiles.values()) tile.remove();
  }
}
