/**
 * What was said in a room: messages in the order of the server, those of ours that are still on their way, reactions.
 *
 * Every message has a key of our making and is sent again under it until it is answered, so that none is lost and none
 * comes twice, whatever the connection does. Emits `change`, `arrived` (detail Entry: somebody else wrote), `missed`
 * (detail {count}: so many came while we were away) and `burst` (detail {emoji, name}: a reaction to what is happening
 * now).
 */

import { randomHex } from "./random.js";
import { SignalingError } from "./signaling.js";

/** @typedef {import("./types.js").ChatMessage} ChatMessage */
/** @typedef {import("./types.js").Reply} Reply */
/** Of what `failed` another attempt may help, of what was `refused` not. */
/** @typedef {"sending" | "sent" | "failed" | "refused"} SendState */
/** @typedef {{key: string, number: number, at: number, sender: string, name: string, text: string, to: string,
 *   mine: boolean, state: SendState}} Entry `number` is 0 until the server has stored it */
/** @typedef {{emoji: string, names: string[], mine: boolean}} Tally */

/** Reactions at hand. */
export const EMOJI = ["👍", "❤️", "😂", "😮", "🎉", "🙏"];
/** Characters of one message. */
export const LONGEST = 4000;
/** Of the key of a message, which no other has. */
const KEY_BYTES = 16;
/** Messages asked for at once. */
const PAGE = 50;
/** Refusals that the same message meets again. */
const FINAL = new Set(["too-large", "not-permitted", "not-found", "conflict", "bad-message"]);

export class Chat extends EventTarget {
  /** @type {Map<number, Entry>} */ #stored = new Map();
  /** @type {Map<string, Entry>} */ #pending = new Map();
  /** Keys that wait for an answer at this moment. @type {Set<string>} */ #asked = new Set();
  /** Keys of reactions on their way. @type {Map<string, import("./types.js").Content>} */ #reacting = new Map();
  /** By message, then by emoji and sender: the latest word. */
  /** @type {Map<number, Map<string, {number: number, emoji: string, name: string, mine: boolean, removed: boolean}>>} */
  #reactions = new Map();
  /** Everybody we have been in this call: a new session gives a new id. @type {Set<string>} */ #selves = new Set();
  #self = { id: "", name: "" };
  #joined = false;
  /** Up to this number we know all that was said, back to #oldest. */
  #complete = 0;
  #oldest = Infinity;
  /** While we ask for what we missed: the last that came by itself. */
  /** @type {number | null} */ #meanwhile = null;
  unread = 0;
  /** Whether the panel is in view: what arrives then is read. */
  watched = false;
  /** Whether there are messages before those we have. */
  earlier = false;
  loading = false;

  /** @param {(command: import("./types.js").Command) => Promise<Reply>} command */
  constructor(command) {
    super();
    this.command = command;
  }

  /** @returns {Entry[]} in order, ours that are on their way last */
  get entries() {
    return [...[...this.#stored.values()].sort((a, b) => a.number - b.number), ...this.#pending.values()];
  }

  /** @param {number} number @returns {Tally[]} who reacted to a message, by emoji */
  reactions(number) {
    /** @type {Map<string, Tally>} */ const tallies = new Map();
    for (const { emoji, name, mine, removed } of this.#reactions.get(number)?.values() ?? []) {
      if (removed) continue;
      const tally = tallies.get(emoji) ?? { emoji, names: [], mine: false };
      tally.names.push(name);
      tally.mine ||= mine;
      tallies.set(emoji, tally);
    }
    return [...tallies.values()];
  }

  /** A session stands, the first or a new one. @param {import("./types.js").Joined} joined */
  joined(joined) {
    this.#self = { id: joined.you.id, name: joined.you.name };
    this.#selves.add(joined.you.id);
    const { lastMessage = 0 } = joined;
    if (!this.#joined) {
      this.#joined = true;
      this.#complete = lastMessage;
      this.#oldest = lastMessage + 1;
      this.earlier = lastMessage > 0;
    }
    if (lastMessage > this.#complete) void this.#catchUp();
    if (this.earlier && this.#stored.size === 0) void this.loadEarlier();
    for (const entry of this.#pending.values()) if (entry.state === "sending") void this.#deliver(entry);
    for (const [key, content] of this.#reacting) void this.#deliverReaction(key, content);
  }

  /** @param {string} text @param {string} [to]  id of the only participant it is for */
  send(text, to = "") {
    const entry = {
      key: randomHex(KEY_BYTES), number: 0, at: Date.now() / 1000, sender: this.#self.id, name: this.#self.name,
      text, to, mine: true, state: /** @type {SendState} */ ("sending"),
    };
    this.#pending.set(entry.key, entry);
    this.#changed();
    void this.#deliver(entry);
  }

  /** @param {string} key  of a message that failed */
  retry(key) {
    const entry = this.#pending.get(key);
    if (entry?.state !== "failed") return;
    entry.state = "sending";
    this.#changed();
    void this.#deliver(entry);
  }

  /** @param {string} key  of a message that failed and is not wanted any more */
  discard(key) {
    this.#pending.delete(key);
    this.#changed();
  }

  /** @param {number} message  its number, 0: what is happening now @param {string} emoji  taken back if it is ours */
  react(message, emoji) {
    const removed = message > 0 && this.reactions(message).some((tally) => tally.emoji === emoji && tally.mine);
    const content = { kind: /** @type {const} */ ("reaction"), emoji, message, removed };
    const key = randomHex(KEY_BYTES);
    this.#reacting.set(key, content);
    void this.#deliverReaction(key, content);
  }

  /** @param {ChatMessage} message  as it arrives */
  receive(message) {
    const { number, sender, name, content } = message;
    if (this.#meanwhile === null) this.#complete = Math.max(this.#complete, number);
    else this.#meanwhile = Math.max(this.#meanwhile, number);
    const entry = this.#take(message);
    if (entry) this.#emit("arrived", entry);
    if (content.kind === "reaction" && !content.message) this.#emit("burst", { emoji: content.emoji, name, sender });
    this.#changed();
  }

  /** @param {ChatMessage} message  live or missed @returns {Entry | null} what is new to us of somebody else */
  #take(message) {
    const known = this.#stored.has(message.number);
    this.#keep(message);
    const entry = this.#stored.get(message.number);
    if (known || !entry || entry.mine) return null;
    if (!this.watched) this.unread += 1;
    return entry;
  }

  /** The panel was opened, or closed. @param {boolean} watched */
  watch(watched) {
    this.watched = watched;
    if (watched) this.unread = 0;
    this.#changed();
  }

  /** One page of what was said before. */
  async loadEarlier() {
    if (this.loading) return;
    this.loading = true;
    this.#changed();
    const page = await this.#ask({ type: "history", before: this.#oldest, limit: PAGE });
    this.loading = false;
    if (page) {
      this.earlier = page.more ?? false;
      for (const message of page.messages ?? []) this.#keep(message);
      this.#oldest = Math.min(this.#oldest, page.messages?.[0]?.number ?? this.#oldest);
    }
    this.#changed();
  }

  /** What was said between two sessions of ours, or more than the server could keep for us. */
  async #catchUp() {
    if (this.#meanwhile !== null) return;
    this.#meanwhile = 0;
    let count = 0;
    for (let more = true; more;) {
      const page = await this.#ask({ type: "history", after: this.#complete, limit: PAGE });
      if (!page) break; // asked again when the next session stands
      const messages = page.messages ?? [];
      for (const message of messages) if (this.#take(message)) count += 1;
      this.#complete = messages.at(-1)?.number ?? this.#complete;
      more = page.more ?? false;
      if (!more) this.#complete = Math.max(this.#complete, this.#meanwhile);
    }
    this.#meanwhile = null;
    if (count) this.#emit("missed", { count });
    this.#changed();
  }

  /** @param {import("./types.js").Command} command @returns {Promise<Reply | null>} */
  async #ask(command) {
    try {
      return await this.command(command);
    } catch {
      return null; // the session ended meanwhile; the next one asks again
    }
  }

  /** @param {ChatMessage} message */
  #keep(message) {
    const { content, number, key, at, sender, name, to = "" } = message;
    const mine = this.#selves.has(sender) || this.#pending.has(key);
    if (content.kind === "text") {
      this.#pending.delete(key);
      this.#stored.set(number, { key, number, at, sender, name, text: content.text, to, mine, state: "sent" });
    } else if (content.kind === "reaction" && content.message) {
      const reactions = this.#reactions.get(content.message) ?? new Map();
      this.#reactions.set(content.message, reactions);
      const by = `${content.emoji} ${mine ? "" : sender}`;
      if ((reactions.get(by)?.number ?? 0) > number) return;
      reactions.set(by, { number, emoji: content.emoji, name, mine, removed: content.removed ?? false });
    }
  }

  /** @param {Entry} entry */
  async #deliver(entry) {
    const { key, text, to } = entry;
    const answer = await this.#post(key, { kind: "text", text }, to);
    if (answer === "gone" || !this.#pending.has(key)) return; // goes with the next session; came before its answer
    if (typeof answer === "string") {
      entry.state = FINAL.has(answer) ? "refused" : "failed";
    } else {
      this.#pending.delete(key);
      this.#stored.set(answer.number, { ...entry, ...answer, state: "sent" });
    }
    this.#changed();
  }

  /** @param {string} key @param {import("./types.js").Content} content */
  async #deliverReaction(key, content) {
    if (await this.#post(key, content) !== "gone") this.#reacting.delete(key);
  }

  /**
   * @param {string} key @param {import("./types.js").Content} content @param {string} [to]
   * @returns {Promise<{number: number, at: number} | string>} where it was stored; the code of a refusal, "gone" too
   *   when it is being asked already
   */
  async #post(key, content, to = "") {
    if (this.#asked.has(key)) return "gone";
    this.#asked.add(key);
    try {
      const { number = 0, at = 0 } = await this.command({ type: "send", key, content, ...(to && { to }) });
      return { number, at };
    } catch (error) {
      return error instanceof SignalingError ? error.code : "internal";
    } finally {
      this.#asked.delete(key);
    }
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }

  /** @param {string} type @param {unknown} detail */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
