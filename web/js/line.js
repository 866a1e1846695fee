/**
 * The line of this page: reachable under a name, who can be called, what rings, and the calls of before.
 *
 * Emits `change`, `ringing` (detail CallView: somebody calls), `silent` (a call does not ring here any more), `answered`
 * (detail CallView with its room: enter it) and `over` (detail CallView: one of our calls has ended).
 */

import { Signaling, SignalingError } from "./signaling.js";

/** @typedef {import("./types.js").CallView} CallView */
/** @typedef {import("./types.js").Contact} Contact */
/** @typedef {"off" | "connecting" | "on" | "reconnecting" | "refused"} LineState */

const PAGE = 30;

export class Line extends EventTarget {
  /** @type {LineState} */ state = "off";
  /** Why it is refused, the server's own sentence. */
  problem = "";
  /** A code of the protocol: a wrong token, or something that may pass. */
  code = "";
  you = { id: "", name: "" };
  /** @type {Map<string, Contact>} */ contacts = new Map();
  /** The call that we make, hold or are rung for. @type {CallView | null} */
  call = null;
  /** Calls of before, latest first. @type {CallView[]} */ log = [];
  /** Whether there are older ones. */
  more = false;
  /** @type {Signaling | null} */ #signaling = null;
  #everybody = false;
  #busy = false;
  /** The room that we entered for a call. */
  #entered = "";

  /** @param {string} name @param {string} token */
  start(name, token) {
    this.stop();
    const signaling = new Signaling({ type: "reach", name, token });
    this.#signaling = signaling;
    /** @param {string} type @param {(detail: any) => void} handle */
    const on = (type, handle) => signaling.addEventListener(type, (event) => {
      if (signaling === this.#signaling) handle(/** @type {CustomEvent} */ (event).detail);
    });
    on("joined", (reachable) => this.#reachable(reachable));
    on("event", (event) => this.#apply(event));
    on("state", (state) => this.#become(state === "connected" ? "on" : this.state === "on" ? "reconnecting" : this.state));
    on("ended", ({ code, message }) => {
      this.#signaling = null;
      this.#forget();
      [this.problem, this.code] = [message, code];
      this.#become("refused");
    });
    addEventListener("pagehide", this.#leave);
    this.#become("connecting");
    signaling.start();
  }

  stop() {
    removeEventListener("pagehide", this.#leave);
    this.#signaling?.leave();
    this.#signaling = null;
    this.#forget();
    this.#become("off");
  }

  /** @param {string[]} people  ids @returns {Promise<string>} "" or the code of a refusal */
  async ring(people) {
    const reply = await this.#ask({ type: "ring", people });
    if (typeof reply === "string") return reply;
    if (reply.call) this.#follow(reply.call);
    return "";
  }

  async accept() {
    const { call } = this;
    if (!call) return;
    this.dispatchEvent(new Event("silent"));
    const reply = await this.#ask({ type: "accept", call: call.id });
    if (typeof reply === "object" && reply.call) this.#follow(reply.call);
  }

  decline() {
    if (this.call) void this.#ask({ type: "decline", call: this.call.id });
  }

  hangUp() {
    const { call } = this;
    this.#entered = "";
    if (call && call.state !== "ended") void this.#ask({ type: "hang-up", call: call.id });
  }

  /** We are in some call, or no longer. @param {boolean} busy */
  setBusy(busy) {
    if (busy === this.#busy) return;
    this.#busy = busy;
    if (this.state === "on") void this.#ask({ type: "set-busy", busy });
  }

  /** What is shown of a call that has ended is put away. */
  dismiss() {
    if (this.call?.state === "ended") this.call = null;
    this.#changed();
  }

  /** One page of the log, the first or the next. @param {boolean} [next] */
  async loadLog(next = false) {
    const before = next ? this.log.at(-1)?.began : undefined;
    const reply = await this.#ask({ type: "call-history", limit: PAGE, ...(before && { before }) });
    if (typeof reply === "string") return;
    this.log = [...(next ? this.log : []), ...(reply.calls ?? [])];
    this.more = reply.more ?? false;
    this.#changed();
  }

  /** @param {CallView} call @returns {"in" | "out"} */
  direction(call) {
    return call.caller.id === this.you.id ? "out" : "in";
  }

  /** @param {CallView} call @returns {string[]} names of those whom it is with, so far as we know of them */
  partners(call) {
    return [call.caller, ...call.people].filter((one) => one.id !== this.you.id).map((one) => one.name);
  }

  /** @param {import("./types.js").Reachable} reachable */
  #reachable(reachable) {
    this.you = reachable.you;
    this.#everybody = reachable.everybody ?? false;
    this.contacts = new Map((reachable.contacts ?? []).map((contact) => [contact.id, contact]));
    const calls = reachable.calls ?? [];
    // the server has been restarted, or we were away too long: a call that it does not know is none
    if (this.call && !calls.some((call) => call.id === this.call?.id)) {
      const calling = this.call.state === "ringing" && this.direction(this.call) === "out";
      this.call = calling ? { ...this.call, state: "ended" } : null; // whoever calls is told
      this.dispatchEvent(new Event("silent"));
    }
    if (this.#busy) void this.#ask({ type: "set-busy", busy: true });
    for (const call of calls) this.#follow(call);
    void this.loadLog();
    this.#changed();
  }

  /** @param {import("./types.js").LineEvent} event */
  #apply(event) {
    if (event.type === "contact") {
      const { contact } = event;
      if (this.#everybody && contact.presence === "offline") this.contacts.delete(contact.id);
      else this.contacts.set(contact.id, contact);
    } else if (event.type === "call") {
      this.#follow(event.call);
    }
    this.#changed();
  }

  /** @param {CallView} call  as it is now */
  #follow(call) {
    if (this.call?.id === call.id && this.call.state === "ended") return;
    const outgoing = this.direction(call) === "out";
    const mine = call.people.find((one) => one.id === this.you.id)?.state;
    if (call.state === "ended" || (!outgoing && mine !== "ringing" && mine !== "accepted")) void this.loadLog();
    if (this.call && this.call.id !== call.id && this.call.state !== "ended") return; // one at a time
    const before = this.call?.id === call.id ? this.call : null;
    if (!before && call.state === "ended" && !outgoing) return; // missed while busy: the log has it
    this.call = call;
    const rings = !outgoing && mine === "ringing" && call.state !== "ended";
    if (rings && !before) this.#emit("ringing", call);
    if (!rings && !outgoing) this.dispatchEvent(new Event("silent"));
    if (call.room && call.room !== this.#entered) {
      this.#entered = call.room;
      this.#emit("answered", call);
    }
    const elsewhere = !outgoing && !rings && !call.room && call.state !== "ended";
    if (elsewhere) this.call = null; // answered or declined on another device
    if (call.state === "ended") {
      this.#emit("over", { ...call, room: this.#entered });
      this.#entered = "";
      if (!outgoing) this.call = null;
    }
    this.#changed();
  }

  /** @param {import("./types.js").Command} command @returns {Promise<import("./types.js").Reply | string>} */
  async #ask(command) {
    if (!this.#signaling) return "gone";
    try {
      return await this.#signaling.command(command);
    } catch (error) {
      return error instanceof SignalingError ? error.code : "internal";
    }
  }

  #forget() {
    const rang = this.call !== null;
    this.call = null;
    this.contacts = new Map();
    this.log = [];
    if (rang) this.dispatchEvent(new Event("silent"));
  }

  #leave = (/** @type {PageTransitionEvent} */ event) => {
    if (!event.persisted) this.#signaling?.leave();
  };

  /** @param {LineState} state */
  #become(state) {
    this.state = state;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }

  /** @param {string} type @param {unknown} detail */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
