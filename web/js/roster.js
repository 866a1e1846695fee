/** Who is in the room and what they offer: the server's events, applied. */

import { listed } from "./i18n.js";

/** @typedef {import("./types.js").Publication} Publication */
/** @typedef {import("./types.js").RoomEvent} RoomEvent */
/** @typedef {import("./types.js").Source} Source */

/** Seconds for which somebody counts as speaking after the last sign of it, so that rings do not flicker. */
const SPEAKING_HOLD = 0.7;
/** Milliseconds for which a voice counts as heard: what is done for it is not undone between two sentences. */
const HEARD_HOLD = 30_000;
/** Sounds, and the pictures that belong to them. */
/** @type {[Source, Source][]} */
const COUPLES = [["microphone", "camera"], ["screen-audio", "screen"]];

/**
 * Sound and picture of one person: on which m-lines, `of` which publications, and by `clocks` the RTP timestamps of both
 * that were captured at one moment.
 *
 * @typedef {{sound: string, picture: string, of: string, clocks: [number, number]}} Couple
 */

export class Person {
  /** @type {Map<string, Publication>} */ publications = new Map();
  /** performance.now() in ms of the last speech, 0: none yet. */
  spoke = 0;
  speaking = false;

  /** @param {import("./types.js").Participant} participant @param {boolean} isSelf */
  constructor(participant, isSelf) {
    this.id = participant.id;
    this.name = participant.name;
    this.kind = participant.kind;
    this.connected = participant.connected;
    this.isSelf = isSelf;
    this.role = participant.role ?? "speaker";
    /** What a host has muted. */
    this.silenced = participant.silenced ?? [];
    for (const publication of participant.publications ?? []) this.publications.set(publication.id, publication);
  }

  /** @param {Source} source @returns {Publication | undefined} */
  publication(source) {
    return [...this.publications.values()].find((publication) => publication.source === source);
  }

  /** Whether there is no sound of this person to hear. */
  get silent() {
    return this.publication("microphone")?.muted ?? true;
  }
}

export class Roster {
  /** In the order of entering, ourselves first. @type {Map<string, Person>} */
  people = new Map();
  /** What each m-line carries. @type {Map<string, import("./types.js").SlotAssignment>} */
  slots = new Map();
  /** How the picture of each m-line is kept from its best. @type {Map<string, import("./types.js").SlotQuality>} */
  qualities = new Map();
  /** RTP timestamps of one moment by m-line. @type {Map<string, number>} */
  clocks = new Map();
  selfId = "";
  /** Who speaks according to the latest event; it stands until the next one. @type {Set<string>} */
  #speakers = new Set();

  /** @param {import("./types.js").Joined} joined */
  begin(joined) {
    this.people.clear();
    this.slots.clear();
    this.qualities.clear();
    if (!joined.snapshot) this.clocks.clear(); // a snapshot tells of the room, the connection goes on
    this.#speakers.clear();
    this.selfId = joined.you.id;
    this.people.set(joined.you.id, new Person(joined.you, true));
    for (const participant of joined.participants) this.people.set(participant.id, new Person(participant, false));
  }

  get self() {
    return this.people.get(this.selfId);
  }

  get others() {
    return [...this.people.values()].filter((person) => !person.isSelf);
  }

  /** @param {string[]} partners  whom a call was begun with, if anybody @returns {string} whom it is with; "": just a room */
  company(partners) {
    if (!partners.length) return "";
    const here = this.others.map((person) => person.name);
    return listed(here.length ? here : partners);
  }

  /** @param {RoomEvent} event */
  apply(event) {
    switch (event.type) {
      case "participant-joined":
        if (!this.people.has(event.participant.id)) {
          this.people.set(event.participant.id, new Person(event.participant, false));
        }
        break;
      case "participant-left":
        this.people.delete(event.participant);
        break;
      case "participant-changed": {
        const person = this.people.get(event.participant);
        if (person) person.connected = event.connected;
        break;
      }
      case "published":
        this.people.get(event.participant)?.publications.set(event.publication.id, event.publication);
        break;
      case "unpublished":
        this.people.get(event.participant)?.publications.delete(event.publication);
        break;
      case "muted": {
        const publication = this.people.get(event.participant)?.publications.get(event.publication);
        if (publication) publication.muted = event.muted;
        break;
      }
      case "role": {
        const person = this.people.get(event.participant);
        if (person) [person.role, person.silenced] = [event.role, event.silenced ?? []];
        break;
      }
      case "slots":
        this.slots = new Map(event.slots.map((slot) => [slot.mid, slot]));
        break;
      case "speakers":
        this.#speakers = new Set(event.speakers.map((speaker) => speaker.participant));
        for (const id of this.#speakers) this.heard(id);
        this.settle();
        break;
      case "quality":
        this.qualities = new Map(event.slots.map((slot) => [slot.mid, slot]));
        break;
      case "clocks":
        this.clocks = new Map(Object.entries(event.timestamps));
        break;
      case "transport":
        break;
    }
  }

  /** @param {string} id  somebody who speaks at this moment */
  heard(id) {
    const person = this.people.get(id);
    if (!person) return;
    person.spoke = performance.now();
    person.speaking = true;
  }

  /** Let those go silent who have been so for a while. @returns {boolean} whether anybody did */
  settle() {
    let changed = false;
    for (const person of this.people.values()) {
      const held = performance.now() - person.spoke < SPEAKING_HOLD * 1000;
      if (person.speaking && !held && !this.#speakers.has(person.id)) {
        person.speaking = false;
        changed = true;
      }
    }
    return changed;
  }

  /** @param {string} publication @returns {string | null} the m-line that carries it now */
  slotOf(publication) {
    for (const slot of this.slots.values()) if (slot.publication === publication) return slot.mid;
    return null;
  }

  /** @returns {Couple[]} of those who speak, or did a moment ago, so far as the clocks are known */
  couples() {
    const couples = [];
    const since = performance.now() - HEARD_HOLD;
    for (const person of this.others.filter(({ speaking, spoke }) => speaking || (spoke && spoke > since))) {
      for (const [voice, view] of COUPLES) {
        const [heard, seen] = [person.publication(voice)?.id ?? "", person.publication(view)?.id ?? ""];
        const [sound, picture] = [this.slotOf(heard) ?? "", this.slotOf(seen) ?? ""];
        const [first, second] = [this.clocks.get(sound), this.clocks.get(picture)];
        if (first === undefined || second === undefined) continue;
        /** @type {[number, number]} */ const clocks = [first, second];
        couples.push({ sound, picture, of: `${heard} ${seen}`, clocks });
      }
    }
    return couples;
  }

  /** @param {"audio" | "video"} kind  how many publications of it the others have */
  count(kind) {
    let count = 0;
    for (const person of this.others) {
      for (const publication of person.publications.values()) if (publication.kind === kind) count += 1;
    }
    return count;
  }
}
