/**
 * Who may do what in the room, and what hosts may do about it.
 *
 * Emits `knock` (detail a name: somebody waits at the door), `unmute-asked` (detail {by, kind}), `reported`, and `refused`
 * (detail the sentence of the server).
 */

/** @typedef {import("./types.js").Role} Role */
/** @typedef {import("./types.js").RoomSettings} RoomSettings */
/** @typedef {import("./types.js").Waiter} Waiter */
/** @typedef {import("./types.js").Command} Command */

/** @type {RoomSettings} */
const OPEN = { locked: false, lobby: false, defaultRole: "speaker", maxParticipants: 0, maxPublications: 8 };

export class Governance extends EventTarget {
  settings = OPEN;
  /** Who waits in the lobby, as hosts are told. @type {Waiter[]} */ waiters = [];
  /** Whether we are in the lobby ourselves. */
  waiting = false;

  /** @param {(command: Command) => Promise<import("./types.js").Reply>} command */
  constructor(command) {
    super();
    this.command = command;
  }

  /** @param {import("./types.js").Joined} joined */
  joined(joined) {
    this.waiting = false;
    this.settings = joined.settings ?? OPEN;
    this.#admit(joined.waiters ?? []);
  }

  /** @param {import("./types.js").RoomEvent} event */
  apply(event) {
    if (event.type === "waiting") this.waiting = true;
    else if (event.type === "lobby") this.#admit(event.waiters);
    else if (event.type === "room-changed") this.settings = event.settings;
    else if (event.type === "unmute-asked") this.#emit("unmute-asked", { by: event.by, kind: event.kind });
  }

  /** Do something that only hosts may; what is refused is said. @param {Command} command @returns {Promise<boolean>} */
  async act(command) {
    try {
      await this.command(command);
      return true;
    } catch (error) {
      this.#emit("refused", error instanceof Error ? error.message : "");
      return false;
    }
  }

  /** Tell the people responsible about somebody. @param {string} participant @param {string} reason */
  async report(participant, reason) {
    if (await this.act({ type: "report", participant, reason })) this.#emit("reported", null);
  }

  /** @returns {Promise<import("./types.js").Ban[]>} who may not come in */
  async bans() {
    const reply = await this.command({ type: "list-bans" }).catch(() => null);
    return reply?.bans ?? [];
  }

  /** @param {Waiter[]} waiters */
  #admit(waiters) {
    const known = new Set(this.waiters.map((waiter) => waiter.id));
    this.waiters = waiters;
    for (const { id, name } of waiters) if (!known.has(id)) this.#emit("knock", name);
  }

  /** @param {string} type @param {unknown} detail */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
