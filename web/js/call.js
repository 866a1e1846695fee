/** A call: session, peer connection, people and own tracks, held together. The views only read it. */

import { Chat } from "./chat.js";
import { Governance } from "./governance.js";
import { watchNetwork } from "./network.js";
import { Peer } from "./peer.js";
import { Publisher } from "./publisher.js";
import { Redundancy } from "./redundancy.js";
import { Roster } from "./roster.js";
import { Signaling, SignalingError } from "./signaling.js";
import { Simulcast } from "./simulcast.js";
import { AudioOutput } from "./speakers.js";
import { Watching } from "./watching.js";

/** Milliseconds for which a peer connection may be disconnected before ICE starts again. */
const DISCONNECTED_PATIENCE = 2500;
/** Milliseconds, at most, between one peer connection that failed and the next. */
const LONGEST_PAUSE = 8000;

/**
 * Emits `change` (something to show differs; gathered per frame), `notice` (detail {key, values}), `blocked` (sound
 * needs a touch) and `ended` (detail Ended of signaling.js).
 */
export class Call extends EventTarget {
  roster = new Roster();
  audio = new AudioOutput();
  /** @type {import("./types.js").Permissions} */
  permissions = { canPublish: true, canSubscribe: true, roomAdmin: false };
  /** @type {"joining" | "joined" | "reconnecting"} */
  state = "joining";
  /** @type {Peer | null} */ #peer = null;
  /** @type {RTCIceServer[]} */ #iceServers = [];
  /** @type {() => void} */ #unwatchNetwork = () => {};
  #redundancy = new Redundancy(() => this.#build());
  #simulcast = new Simulcast();
  watching = new Watching((view) => this.#send(this.signaling.command({ type: "watch", ...view })));
  /** @type {number | undefined} */ #patience;
  /** @type {number | undefined} */ #rebuildTimer;
  /** Peer connections in a row that failed. */
  #failures = 0;
  #settleTimer = 0;
  #announced = false;
  #ended = false;

  /**
   * @param {{room: string, name: string, token: string}} entry
   * @param {import("./media.js").LocalMedia} media
   * @param {string[]} partners  names of those whom we called or who called us; none: it is a room that one enters
   */
  constructor(entry, media, partners) {
    super();
    this.partners = partners;
    this.entry = entry;
    this.media = media;
    this.signaling = new Signaling({ type: "join", ...entry });
    this.chat = new Chat((command) => this.signaling.command(command));
    this.governance = new Governance((command) => this.signaling.command(command));
    this.publisher = new Publisher(media, (command) => this.signaling.command(command), () => this.#peer);
  }

  start() {
    const { signaling } = this;
    /** @param {string} type @param {(detail: any) => void} handle */
    const on = (type, handle) => signaling.addEventListener(type, (event) => {
      handle(/** @type {CustomEvent} */ (event).detail);
    });
    on("joined", (joined) => this.#joined(joined));
    on("event", (event) => this.#apply(event));
    on("state", (state) => this.#connectionState(state));
    on("ended", (how) => this.#end(how));
    this.media.addEventListener("change", this.#localChange);
    this.audio.addEventListener("blocked", () => this.dispatchEvent(new Event("blocked")));
    addEventListener("pagehide", this.#pageHidden);
    this.#unwatchNetwork = watchNetwork(this.#networkChanged);
    this.#settleTimer = setInterval(() => { if (this.roster.settle()) this.#changed(); }, 200);
    this.#build(); // its offer goes out right behind `join`: a round trip less until the first sound
    signaling.start();
  }

  leave() {
    this.signaling.leave();
    this.#stop();
  }

  get peer() { return this.#peer; }

  /** What this call is called: by whom it is with, or by its room. */
  get title() { return this.roster.company(this.partners) || this.entry.room; }

  /** @param {string} publication @returns {MediaStreamTrack | null} the track of a slot that carries it */
  trackOf(publication) {
    return this.#peer?.receivers().get(this.roster.slotOf(publication) ?? "")?.track ?? null;
  }

  /** @param {string} publication @returns {import("./types.js").SlotQuality | undefined} what keeps it from its best */
  qualityOf(publication) {
    return this.roster.qualities.get(this.roster.slotOf(publication) ?? "");
  }

  /** Our own voice, measured here: the ring of the self view needs no journey to the server. */
  heardSelf() {
    this.roster.heard(this.roster.selfId);
    this.#changed();
  }

  /** @param {import("./types.js").Joined} joined */
  #joined(joined) {
    this.roster.begin(joined);
    this.permissions = joined.permissions;
    this.chat.joined(joined);
    this.governance.joined(joined);
    if (joined.snapshot) {
      this.roster.apply({ type: "slots", seq: 0, slots: joined.slots ?? [] });
      this.#playSlots();
      if (this.#grow()) this.#negotiate();
      return;
    }
    this.#iceServers = joined.iceServers ?? [];
    this.watching.forget();
    this.#redundancy.forget();
    this.#simulcast.forget();
    if (this.#announced || this.#iceServers.length) {
      this.publisher.reset();
      this.#build();
    } else if (this.#grow()) this.#negotiate();
    if (!this.#announced) {
      if (this.partners.length) this.#notice("notice.you-talk", { name: this.title });
      else this.#notice("notice.you-joined", { room: joined.room });
    }
    this.#announced = true;
    this.#changed();
  }

  /** A new peer connection, with slots for everybody who is here. */
  #build() {
    this.#peer?.close();
    const peer = new Peer(this.#iceServers, async (sdp) => {
      const reply = this.signaling.command({ type: "offer", sdp });
      this.#publish(); // goes out right behind the offer, without waiting for its answer
      return (await reply).sdp ?? "";
    }, this.#redundancy, this.#simulcast, () => this.roster.couples());
    this.#peer = peer;
    this.#grow();
    peer.connection.onconnectionstatechange = () => {
      if (peer !== this.#peer) return;
      const state = peer.connection.connectionState;
      clearTimeout(this.#patience);
      if (state === "connected") this.#failures = 0;
      if (state === "failed") this.#rebuild();
      if (state === "disconnected") this.#patience = setTimeout(this.#networkChanged, DISCONNECTED_PATIENCE);
      this.#changed();
    };
    this.#negotiate();
  }

  /** The peer connection has failed: a new one, at once the first time, then with growing pauses. */
  #rebuild() {
    if (this.#rebuildTimer !== undefined || this.#ended) return;
    const pause = this.#failures ? Math.min(LONGEST_PAUSE, 500 * 2 ** this.#failures) : 0;
    this.#failures += 1;
    this.#rebuildTimer = setTimeout(() => {
      this.#rebuildTimer = undefined;
      this.#build();
    }, pause);
  }

  /** @returns {boolean | undefined} whether an offer is due */
  #grow() {
    const { canSubscribe } = this.permissions;
    return canSubscribe && this.#peer?.grow(this.roster.count("audio"), this.roster.count("video"));
  }

  /** @param {{iceRestart?: boolean}} [options] */
  #negotiate(options) {
    const peer = this.#peer;
    if (!peer) return;
    peer.negotiate(options).then(() => {
      this.#redundancy.apply();
      this.#playSlots();
    }).catch((error) => {
      const code = error instanceof SignalingError ? error.code : "bad-sdp"; // an answer the browser cannot take
      if (peer !== this.#peer || this.#ended || code === "gone" || code === "rate-limited") return;
      this.leave();
      this.#emit("ended", { kind: "error", code, message: error.message });
    });
  }

  /** @param {import("./types.js").RoomEvent} event */
  #apply(event) {
    if (event.type === "message") return this.chat.receive(event.message);
    const leaving = event.type === "participant-left" ? this.roster.people.get(event.participant) : undefined;
    this.roster.apply(event);
    this.governance.apply(event);
    if (event.type === "permissions") this.#permit(event.permissions);
    if (event.type === "participant-joined") this.#notice("notice.joined", { name: event.participant.name });
    if (leaving) this.#notice("notice.left", { name: leaving.name });
    if (event.type === "published" && this.#grow()) this.#negotiate();
    if (event.type === "slots") this.#playSlots();
    this.#peer?.apply(event);
    if (event.type === "redundancy") this.#redundancy.ask(event.mid, event.depth ?? 0);
    // while an offer waits for its answer, the news is of the connection before it
    const stable = this.#peer?.connection.signalingState === "stable";
    if (event.type === "transport" && event.state === "failed" && stable) this.#rebuild();
    this.#changed();
  }

  /** What we may has changed: what we may no longer publish is withdrawn already. */
  #permit(/** @type {import("./types.js").Permissions} */ permissions) {
    if (permissions.canPublish !== this.permissions.canPublish) this.publisher.reset();
    this.permissions = permissions;
    this.#publish();
    if (this.#grow()) this.#negotiate();
  }

  #playSlots() {
    const tracks = [...this.#peer?.receivers() ?? []].map(([mid, { track }]) => /** @type {const} */ ([mid, track]));
    this.audio.set(new Map(tracks.filter(([, track]) => track.kind === "audio")));
    this.#changed();
  }

  /** @param {"connected" | "reconnecting"} state */
  #connectionState(state) {
    if (state === "connected") {
      if (this.state === "reconnecting" && this.#announced) this.#notice("notice.reconnected", {});
      this.state = "joined";
      if (this.#peer?.connection.connectionState === "disconnected") this.#networkChanged();
    } else if (this.#announced) {
      this.state = "reconnecting";
    }
    this.#changed();
  }

  #networkChanged = () => {
    if (this.#peer && this.state !== "joining") this.#negotiate({ iceRestart: true });
  };

  #localChange = () => {
    this.#publish();
    this.#changed();
  };

  #publish() {
    if (this.permissions.canPublish) this.#send(this.publisher.sync());
  }

  /** @param {Promise<unknown>} command  whose refusal the user can do nothing about */
  #send(command) {
    command.then(() => this.#changed(), (error) => {
      if (!(error instanceof SignalingError && error.code === "gone")) console.warn("refused:", error.message);
    });
  }

  /** Leave at once when the tab closes, so that no ghost stays; a tab kept in memory comes back by itself. */
  #pageHidden = (/** @type {PageTransitionEvent} */ event) => {
    if (!event.persisted) this.leave();
  };

  /** @param {import("./signaling.js").Ended} how */
  #end(how) {
    this.#stop();
    this.#emit("ended", how);
  }

  #stop() {
    this.#ended = true;
    clearInterval(this.#settleTimer);
    this.watching.close();
    clearTimeout(this.#patience);
    clearTimeout(this.#rebuildTimer);
    removeEventListener("pagehide", this.#pageHidden);
    this.#unwatchNetwork();
    this.media.removeEventListener("change", this.#localChange);
    this.#peer?.close();
    this.#redundancy.close();
    this.audio.close();
  }

  #changing = false;

  #changed() {
    if (this.#changing || this.#ended) return;
    this.#changing = true;
    queueMicrotask(() => {
      this.#changing = false;
      if (!this.#ended) this.dispatchEvent(new Event("change"));
    });
  }

  /** @param {string} key @param {Record<string, string>} values */
  #notice(key, values) {
    this.#emit("notice", { key, values });
  }

  /** @param {string} type @param {unknown} detail */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
