/**
 * Sound and picture of a person, played together: whichever is early is held back, by no more than need be.
 *
 * A browser does so by itself only where both are of one MediaStream for life, which slots are not, and it then keeps
 * the sound back when the picture is long gone. So the page does it, by what is played when, and by the clocks of the
 * slots, which the server tells.
 */

/** @typedef {{timestamp: number, rtpTimestamp: number}} Played  when (ms) which RTP timestamp was played */
/** @typedef {import("./roster.js").Couple} Couple */

/** ms between two looks at what is played, and so many looks to one step. */
const LOOK_EVERY = 250;
const LOOKS = 4;
/** Ticks of the RTP clocks in a ms. */
const SOUND_TICKS = 48;
const PICTURE_TICKS = 90;
/** ms by which the picture may be behind the sound, and ahead of it, before either is held back. Of what is repaired the
 * single pictures are late, and people notice a picture that is behind by 45, one ahead by 125 (ITU-R BT.1359). */
const MOST_BEHIND = 10;
const MOST_AHEAD = 5;
/** ms in one step, at most: to play slower than this is heard. */
const STEP = 100;
/** Of what is amiss, so much is mended in a step, since the next may come before it has taken effect. */
const GAIN = 0.7;
/** Less, in ms, is not worth a change. */
const LITTLE = 8;
/** ms that a jitter buffer of sound is asked for at most: people talk at the same time when they wait longer. */
const SOUND_MOST = 350;
/** ms of a picture: what it is early by with headphones without a wire. It waits for a sound that is as late anyway. */
const PICTURE_MOST = 200;
/** A picture so many ms behind is out of reach: then the sound, which people answer to, is not held back in vain. */
const TOO_LATE = 300;
/** With the sound held back as far as it may be, the picture is still so many ms behind: that is in vain. */
const IN_VAIN = 100;
/** So many steps in a row: a jitter buffer takes a while to do as it is asked. */
const PATIENCE_IN_VAIN = 3;
/** Then it is tried again when the picture is no more than so many ms behind: else the voice would go to and fro. */
const WORTH_ANOTHER_TRY = 150;
/** So many steps without anything to align are a pause that both come back from as they were. */
const PATIENCE = 3;
/** ms: what is further apart is told by the clocks of a connection before this one. */
const ABSURD = 5000;
/** ms of a frame of sound: reports of browsers take its first sample as captured when it is whole. */
const FRAME = 20;
/** ms of what comes next that Opus looks at before it encodes, of which timestamps know nothing (RFC 7845 4.2). */
const LOOK_AHEAD = 6.5;
/** ms that what was decoded waits behind what is left of the frame before, on average: sound is played 10 at a time. */
const DECODED_EARLY = 5;
/** ms that sound takes from there to the loudspeaker where a browser does not say it. Headphones without a wire: 200. */
const OUTPUT = 30;
/** ms until a picture is seen: it waits for the next refresh of a display, of which there is one each 17, to be drawn. */
const DISPLAY = 16;

/** How far to hold back the one or the other. */
export class Alignment {
  /** ms that the jitter buffer of the sound, and of the picture, is asked for at least; 0: as little as it can. */
  sound = 0;
  picture = 0;
  #gaveUp = false;
  /** Steps in a row that were in vain. */
  #inVain = 0;

  /**
   * @param {number | null} behind  ms by which the picture is behind the sound; null: there is nothing to align
   * @param {number} own  ms that the jitter buffer of the sound waits without being asked
   */
  step(behind, own = 0) {
    if (behind === null || behind <= WORTH_ANOTHER_TRY) this.#gaveUp = false;
    this.#inVain = this.sound === SOUND_MOST && behind !== null && behind > IN_VAIN ? this.#inVain + 1 : 0;
    if (behind === null || (!this.sound && (this.#gaveUp || behind > TOO_LATE))) [this.sound, this.picture] = [0, 0];
    else if (this.picture) this.picture = moved(this.picture, -behind - MOST_AHEAD, PICTURE_MOST);
    else if (this.#inVain === PATIENCE_IN_VAIN) [this.sound, this.#gaveUp] = [0, true];
    else if (this.sound || behind > MOST_BEHIND) {
      const error = behind - MOST_BEHIND;
      // to ask for less than it waits anyway changes nothing
      this.sound = moved(error < LITTLE ? this.sound : Math.max(this.sound, own), error, SOUND_MOST);
    } else if (behind < -MOST_AHEAD) this.picture = moved(0, -behind - MOST_AHEAD, PICTURE_MOST);
  }
}

/** @param {number} delay @param {number} error @param {number} most */
function moved(delay, error, most) {
  if (Math.abs(error) < LITTLE) return delay;
  const by = Math.max(-STEP, Math.min(STEP, GAIN * error));
  return Math.max(0, Math.min(most, Math.round(delay + by)));
}

/**
 * @param {Played} played @param {number} clock  the RTP timestamp of a moment @param {number} ticks  of that clock in a ms
 * @returns {number} ms at which that moment is played
 */
function playing(played, clock, ticks) {
  // RTP timestamps wrap: `| 0` takes the shorter way around
  return played.timestamp - ((played.rtpTimestamp - clock) | 0) / ticks;
}

/** A delay, of which a browser tells the sum over all samples so far: its mean since the last look. */
class Delay {
  ms;
  #type;
  #sum;
  #count;
  /** @type {Record<string, number>} */ #before = {};

  /** @param {string} type @param {string} sum @param {string} count  in statistics @param {number} ms  until they tell */
  constructor(type, sum, count, ms) {
    this.#type = type;
    this.#sum = sum;
    this.#count = count;
    this.ms = ms;
  }

  /** @param {RTCStatsReport} report */
  look(report) {
    for (const one of report.values()) {
      if (one.type !== this.#type) continue;
      const samples = one[this.#count] - (this.#before[this.#count] ?? 0);
      if (samples > 0) this.ms = 1000 * (one[this.#sum] - (this.#before[this.#sum] ?? 0)) / samples;
      this.#before = one;
    }
  }
}

/** A couple and what was noticed of it since the last step. */
class Watched {
  alignment = new Alignment();
  /** How long the jitter buffer of the sound waits by itself. */
  own = new Delay("inbound-rtp", "jitterBufferMinimumDelay", "jitterBufferEmittedCount", 0);
  /** When the moment of `#clocks` was heard and seen, ms. */
  /** @type {number[]} */ #hearing = [];
  /** @type {number[]} */ #seeing = [];
  #clocks = [0, 0];
  #idle = 0;
  /** @type {Played | undefined} */ #sound;
  /** @type {Played | undefined} */ #picture;

  /** @param {Played | undefined} heard @param {Played | undefined} seen @param {[number, number]} clocks */
  look(heard, seen, clocks) {
    if (clocks.some((clock, place) => clock !== this.#clocks[place])) [this.#hearing, this.#seeing] = [[], []];
    this.#clocks = clocks;
    // what stands still is not compared: nobody speaks, or the picture is not sent
    if (heard && seen && heard.rtpTimestamp !== this.#sound?.rtpTimestamp
      && seen.rtpTimestamp !== this.#picture?.rtpTimestamp) {
      const [hearing, seeing] = [playing(heard, clocks[0], SOUND_TICKS), playing(seen, clocks[1], PICTURE_TICKS)];
      if (Math.abs(seeing - hearing) < ABSURD) {
        this.#hearing.push(hearing);
        this.#seeing.push(seeing);
      }
    }
    [this.#sound, this.#picture] = [heard, seen];
  }

  /** @param {number} output  ms that sound takes to the loudspeaker */
  step(output) {
    this.#idle = this.#seeing.length ? 0 : this.#idle + 1;
    if (this.#seeing.length) {
      // of a packet that came inside a later one (RED) the later timestamp is told, so that it seems to be heard early
      const heard = Math.max(...this.#hearing) + FRAME + LOOK_AHEAD + DECODED_EARLY + output;
      const seen = this.#seeing.sort((a, b) => a - b)[this.#seeing.length >> 1] + DISPLAY;
      this.alignment.step(seen - heard, this.own.ms);
    } else if (this.#idle >= PATIENCE) this.alignment.step(null);
    [this.#hearing, this.#seeing] = [[], []];
  }
}

export class LipSync {
  /** @type {Map<string, Watched>} */ #watched = new Map();
  /** Receivers that hold something back, and ms of it. @type {Map<RTCRtpReceiver, number>} */ #held = new Map();
  #looks = 0;
  /** How long sound is still under way when it has left its jitter buffer, which all of a page is alike. */
  #output = new Delay("media-playout", "totalPlayoutDelay", "totalSamplesCount", OUTPUT);
  #timer;

  /**
   * @param {() => Couple[]} couples  whose sound and picture are played now
   * @param {() => Map<string, RTCRtpReceiver>} receivers  of the slots by m-line
   */
  constructor(couples, receivers) {
    this.#timer = setInterval(() => this.#look(couples(), receivers()), LOOK_EVERY);
  }

  /** @param {Couple[]} couples @param {Map<string, RTCRtpReceiver>} receivers */
  #look(couples, receivers) {
    this.#looks += 1;
    const due = this.#looks % LOOKS === 0;
    /** @type {Map<string, Watched>} */ const watching = new Map();
    /** @type {Map<RTCRtpReceiver, number>} */ const wanted = new Map();
    for (const { sound, picture, of, clocks } of couples) {
      const [ear, eye] = [receivers.get(sound), receivers.get(picture)];
      if (!ear || !eye) continue;
      const key = [sound, picture, of].join(" ");
      const watched = this.#watched.get(key) ?? new Watched();
      watching.set(key, watched);
      watched.look(ear.getSynchronizationSources()[0], eye.getSynchronizationSources()[0], clocks);
      if (due) watched.step(this.#output.ms);
      if (due) void ear.getStats().then((report) => [this.#output, watched.own].forEach((delay) => delay.look(report)));
      wanted.set(ear, watched.alignment.sound).set(eye, watched.alignment.picture);
    }
    this.#watched = watching;
    this.#hold(wanted);
  }

  /** @param {Map<RTCRtpReceiver, number>} wanted */
  #hold(wanted) {
    for (const receiver of new Set([...this.#held.keys(), ...wanted.keys()])) {
      const delay = wanted.get(receiver) ?? 0;
      if (delay === (this.#held.get(receiver) ?? 0)) continue;
      receiver.jitterBufferTarget = delay || null;
      if (delay) this.#held.set(receiver, delay);
      else this.#held.delete(receiver);
    }
  }

  close() {
    clearInterval(this.#timer);
    this.#hold(new Map());
  }
}
