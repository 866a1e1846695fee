/**
 * The WebSocket session: numbered commands, acknowledged events, and a connection that comes back by itself.
 *
 * Events (CustomEvent):
 * - `joined`   detail Joined or Reachable: how everything stands, in a new session: the first, or one afresh after the
 *   old one had ended; or, with `snapshot`, in this one, whose events the server could not keep; its media go on
 * - `event`    detail RoomEvent
 * - `state`    detail "connected" | "reconnecting"
 * - `ended`    detail {kind: "closed" | "error" | "unreachable" | "lost", code, message}: nothing follows
 */

import { randomHex } from "./random.js";

/** @typedef {import("./types.js").ServerMessage} ServerMessage */
/** @typedef {import("./types.js").Reply} Reply */
/** @typedef {import("./types.js").Command} Command */
/** @typedef {{type: "join", room: string, name: string, token: string}
 *   | {type: "reach", name: string, token: string}} Hello */
/** @typedef {{kind: "closed" | "error" | "unreachable" | "lost", code: string, message: string}} Ended */

/** Seconds before each attempt to reconnect; the last repeats, the later ones get up to a second of jitter. */
const RECONNECT_DELAYS = [0, 0.3, 1.2, 2.7, 4.8, 7];
/** Attempts, some five minutes: a server that is set up anew is back sooner. */
const ATTEMPTS = 40;
/** Refusals that do not last: as when everybody comes back to a server at the same time. */
const PASSING = ["rate-limited", "unavailable"];
/** Attempts at the very first connection, before a server counts as out of reach. */
const FIRST_ATTEMPTS = 4;
/** Of the secret of a session: a join repeated under it, because the connection broke, is carried out once. */
const SECRET_BYTES = 32;
/** Seconds for a WebSocket to open and be answered. */
const CONNECT_TIMEOUT = 10;
/** Seconds of silence before a ping, and from there until the connection counts as dead. */
const QUIET_BEFORE_PING = 3;
const QUIET_BEFORE_LOST = 4;
/** The same where the network has just changed. */
const PATIENCE_ON_CHANGE = 2;
/** Seconds for which an acknowledgement may wait for more events. */
const ACK_DELAY = 0.25;

export class SignalingError extends Error {
  /** @param {string} code @param {string} message */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

export class Signaling extends EventTarget {
  /** @type {WebSocket | null} */ #socket = null;
  #session = "";
  #lastSeq = 0;
  #ackedSeq = 0;
  #nextId = 1;
  /** Commands from this number on were not sent, because we wait in the lobby. */
  #heldFrom = Infinity;
  /** @type {Map<number, {text: string, resolve: (reply: Reply) => void, reject: (error: Error) => void}>} */
  #pending = new Map();
  /** Session established on the present connection. */
  #ready = false;
  /** Commands may be sent on the present connection: right behind `join`, or once the session is resumed. */
  #sendable = false;
  #everReached = false;
  /** The server was, and has not said yet how everything stands. */
  #restarted = false;
  #attempt = 0;
  #closed = false;
  #heard = 0;
  #pinging = false;
  /** @type {number | undefined} */ #retryTimer;
  /** @type {number | undefined} */ #ackTimer;
  /** @type {number | undefined} */ #connectTimer;
  #watchdog = 0;

  /** @param {Hello} hello  the first message: into a room, or to be reachable */
  constructor(hello) {
    super();
    this.url = new URL("/ws", location.href.replace(/^http/, "ws")).href;
    this.hello = { ...hello, session: randomHex(SECRET_BYTES) };
  }

  start() {
    this.#watchdog = setInterval(() => this.#watch(), 1000);
    addEventListener("online", this.#hurry);
    this.#connect();
  }

  /**
   * Send a command; it survives reconnects and is carried out once.
   *
   * @param {Command} command
   * @returns {Promise<Reply>} rejected with SignalingError when refused, or when the session has ended
   */
  command(command) {
    if (this.#closed) return Promise.reject(new SignalingError("gone", "the session has ended"));
    const id = this.#nextId++;
    const text = JSON.stringify({ ...command, id });
    if (this.#sendable) this.#socket?.send(text);
    return new Promise((resolve, reject) => this.#pending.set(id, { text, resolve, reject }));
  }

  /** End the session on purpose: the server is told, nothing is reported. */
  leave() {
    if (this.#closed) return;
    if (this.#sendable) this.#socket?.send(JSON.stringify({ type: "leave", id: this.#nextId++ }));
    this.#stop();
  }

  /** The network has just changed: try again at once, or see whether the connection has survived it. */
  #hurry = () => {
    if (this.#closed) return;
    if (this.#ready) {
      this.#heard = performance.now() - (QUIET_BEFORE_PING + QUIET_BEFORE_LOST - PATIENCE_ON_CHANGE) * 1000;
      return this.#watch();
    }
    this.#attempt = Math.min(this.#attempt, 1);
    clearTimeout(this.#retryTimer);
    this.#connect();
  };

  #connect() {
    this.#dropSocket();
    const socket = new WebSocket(this.url);
    this.#socket = socket;
    this.#connectTimer = setTimeout(() => this.#lost(socket), CONNECT_TIMEOUT * 1000);
    socket.onopen = () => this.#greet();
    socket.onmessage = (message) => {
      if (socket === this.#socket && typeof message.data === "string") this.#receive(message.data);
    };
    socket.onclose = () => this.#lost(socket);
  }

  #greet() {
    const hello = this.#session
      ? { type: "resume", session: this.#session, ack: this.#lastSeq }
      : { kind: "web", ...this.hello };
    this.#socket?.send(JSON.stringify(hello));
    if (this.#session) return;
    this.#sendable = true;
    for (const { text } of this.#pending.values()) this.#socket?.send(text);
  }

  /** @param {string} text */
  #receive(text) {
    this.#heard = performance.now();
    const message = /** @type {ServerMessage} */ (JSON.parse(text));
    const seq = message.seq ?? 0;
    if (seq) {
      if (message.type === "joined" || message.type === "reachable") this.#lastSeq = this.#ackedSeq = 0;
      if (seq <= this.#lastSeq) return;
      this.#lastSeq = seq;
      this.#ackTimer ??= setTimeout(() => this.#acknowledge(), ACK_DELAY * 1000);
    }
    switch (message.type) {
      case "joined":
      case "reachable":
        this.#session = message.session || this.#session;
        this.#established();
        this.#everReached = true;
        for (const [id, { text: held }] of this.#pending) if (id >= this.#heldFrom) this.#socket?.send(held);
        this.#heldFrom = Infinity;
        this.#emit("joined", this.#restarted ? { ...message, snapshot: false } : message);
        this.#restarted = false;
        break;
      case "resumed":
        if (message.restarted) { // the commands were about media that are no more; messages are sent again
          this.#restarted = true;
          this.#forget("the server was restarted");
          break; // how everything stands comes next
        }
        this.#established();
        for (const [id, { text: again }] of this.#pending) {
          if (id > message.lastId) this.#socket?.send(again);
        }
        break;
      case "reply":
        this.#settle(message.re)?.resolve(message);
        break;
      case "waiting":
        // in the lobby: what was sent is kept there, what comes now waits here
        clearTimeout(this.#connectTimer);
        [this.#everReached, this.#attempt] = [true, 0];
        this.#sendable = false;
        this.#heldFrom = this.#nextId;
        this.#emit("event", message);
        break;
      case "error":
        this.#refused(message);
        break;
      case "closed":
        this.#end({ kind: "closed", code: message.reason, message: "" });
        break;
      default:
        this.#emit("event", message);
    }
  }

  /** @param {import("./types.js").ErrorMessage} error */
  #refused({ re, code, message }) {
    if (re) this.#settle(re)?.reject(new SignalingError(code, message));
    else if (this.#ready) console.warn("the server complains:", message); // and goes on, or says `closed` next
    else if (code === "gone" && this.#session) this.#joinAfresh();
    else if (this.#everReached && PASSING.includes(code)) this.#lost(this.#socket);
    else this.#end({ kind: "error", code, message });
  }

  #established() {
    clearTimeout(this.#connectTimer);
    this.#ready = this.#sendable = true;
    this.#attempt = 0;
    this.#pinging = false;
    this.#emit("state", "connected");
  }

  /** The old session cannot be resumed: a new one in its place, commands and all. */
  #joinAfresh() {
    this.#forget("the session has ended");
    this.#session = "";
    this.hello.session = randomHex(SECRET_BYTES);
    this.#nextId = 1;
    this.#connect();
  }

  /** @param {number} id */
  #settle(id) {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }

  #acknowledge() {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    if (!this.#ready || this.#ackedSeq === this.#lastSeq) return;
    this.#ackedSeq = this.#lastSeq;
    this.#socket?.send(JSON.stringify({ type: "ack", seq: this.#lastSeq }));
  }

  /** Ask for a sign of life after some silence, and give the connection up after more. */
  #watch() {
    if (!this.#ready) return;
    const quiet = (performance.now() - this.#heard) / 1000;
    if (quiet > QUIET_BEFORE_PING + QUIET_BEFORE_LOST && this.#pinging) this.#lost(this.#socket);
    else if (quiet > QUIET_BEFORE_PING && !this.#pinging) {
      this.#pinging = true;
      this.command({ type: "ping" }).catch(() => {}).finally(() => { this.#pinging = false; });
    }
  }

  /** @param {WebSocket | null} socket  the connection that broke */
  #lost(socket) {
    if (this.#closed || socket !== this.#socket) return;
    this.#dropSocket();
    if (this.#attempt >= (this.#everReached ? ATTEMPTS : FIRST_ATTEMPTS)) {
      return this.#end({ kind: this.#everReached ? "lost" : "unreachable", code: "", message: "" });
    }
    const delay = RECONNECT_DELAYS[Math.min(this.#attempt, RECONNECT_DELAYS.length - 1)] + (this.#attempt > 1 ? Math.random() : 0);
    this.#attempt += 1;
    this.#emit("state", "reconnecting");
    this.#retryTimer = setTimeout(() => this.#connect(), delay * 1000);
  }

  #dropSocket() {
    clearTimeout(this.#connectTimer);
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    this.#ready = this.#sendable = false;
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  /** @param {string} why */
  #forget(why) {
    for (const { reject } of this.#pending.values()) reject(new SignalingError("gone", why));
    this.#pending.clear();
  }

  /** @param {Ended} how */
  #end(how) {
    this.#stop();
    this.#emit("ended", how);
  }

  #stop() {
    this.#closed = true;
    clearInterval(this.#watchdog);
    clearTimeout(this.#retryTimer);
    removeEventListener("online", this.#hurry);
    this.#dropSocket();
    this.#forget("the session has ended");
  }

  /** @param {string} type @param {unknown} detail */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
