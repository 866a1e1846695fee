/** The tracks of this browser: microphone, camera and screen, with their devices and what is wrong with them. */

import { preferences, remember } from "./store.js";

/**
 * Why a device gives nothing: the user or system forbids it, there is none, another program holds it, or the page
 * may not ask (plain http).
 * @typedef {"" | "denied" | "missing" | "busy" | "insecure"} Problem
 */
/** @typedef {"microphone" | "camera"} Device */
/** @typedef {{on: boolean, track: MediaStreamTrack | null, problem: Problem}} DeviceState */

/** @type {Record<Device, MediaTrackConstraints>} */
const WISHES = {
  microphone: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  camera: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } },
};

/** @param {unknown} error @returns {Problem} */
function problemOf(error) {
  const name = error instanceof DOMException ? error.name : "";
  if (name === "NotAllowedError" || name === "SecurityError") return "denied";
  if (name === "NotFoundError") return "missing";
  return "busy";
}

/**
 * Whether asking again would not ask the user again, who has just said no to one or both.
 *
 * @param {Device} device
 */
async function isGranted(device) {
  try {
    const status = await navigator.permissions.query({ name: /** @type {PermissionName} */ (device) });
    return status.state === "granted";
  } catch {
    return false; // a browser that does not tell
  }
}

/**
 * Emits `change` when a track or problem changes, `devices` when the list of devices does, and `fallback`
 * (detail: Device) when a device was unplugged and another took its place.
 */
export class LocalMedia extends EventTarget {
  /** @type {Record<Device, DeviceState>} */
  state = {
    microphone: { on: preferences().micOn, track: null, problem: "" },
    camera: { on: preferences().cameraOn, track: null, problem: "" },
  };
  /** @type {{video: MediaStreamTrack | null, audio: MediaStreamTrack | null}} */
  screen = { video: null, audio: null };
  /** @type {MediaDeviceInfo[]} */
  devices = [];
  /** @type {"user" | "environment" | ""} */ #facing = "";
  /** Whether the browser is asking the user just now. */
  asking = false;
  #stopped = false;
  /** One request at a time for each device, so that quick toggles cannot leave a track behind. */
  /** @type {Record<Device, Promise<void>>} */
  #queue = { microphone: Promise.resolve(), camera: Promise.resolve() };

  constructor() {
    super();
    navigator.mediaDevices?.addEventListener("devicechange", this.#devicesChanged);
  }

  /** Whether this page may capture at all; not over plain http. */
  static get possible() {
    return typeof navigator.mediaDevices?.getUserMedia === "function";
  }

  static get canShareScreen() {
    return typeof navigator.mediaDevices?.getDisplayMedia === "function";
  }

  /** Open what the user had on last time, with one question for both where possible. */
  async open() {
    const { microphone, camera } = this.state;
    this.asking = LocalMedia.possible && (microphone.on || camera.on);
    this.#changed();
    if (!LocalMedia.possible) {
      this.#fail("microphone", "insecure");
      this.#fail("camera", "insecure");
      this.#changed();
      return;
    }
    if (microphone.on && camera.on) {
      try {
        const stream = await navigator.mediaDevices.getUserMedia({
          audio: this.#constraints("microphone"), video: this.#constraints("camera"),
        });
        this.#adopt("microphone", stream.getAudioTracks()[0]);
        this.#adopt("camera", stream.getVideoTracks()[0]);
      } catch (error) {
        // one of them failed, and the error does not say which: open each by itself
        for (const device of /** @type {Device[]} */ (["microphone", "camera"])) {
          if (problemOf(error) === "denied" && !await isGranted(device)) this.#fail(device, "denied");
          else await this.set(device, true, false);
        }
      }
    } else {
      if (microphone.on) await this.set("microphone", true, false);
      if (camera.on) await this.set("camera", true, false);
    }
    this.asking = false;
    this.#changed();
    await this.refreshDevices();
  }

  /**
   * Turn a device on or off. The microphone keeps its track when off, disabled; the camera is let go, so that its
   * light goes out.
   *
   * @param {Device} device
   * @param {boolean} on
   * @param {boolean} [keep]  whether the choice is remembered
   */
  set(device, on, keep = true) {
    if (keep) remember(device === "microphone" ? { micOn: on } : { cameraOn: on });
    this.#queue[device] = this.#queue[device].then(() => this.#set(device, on));
    return this.#queue[device];
  }

  /** @param {Device} device @param {boolean} on */
  async #set(device, on) {
    const state = this.state[device];
    state.on = on;
    if (!on) {
      if (device === "camera") this.#drop(device);
      else if (state.track) state.track.enabled = false;
    } else if (state.track?.readyState === "live") {
      state.track.enabled = true;
    } else {
      await this.#acquire(device);
    }
    this.#changed();
  }

  /** @param {Device} device */
  async #acquire(device) {
    if (!LocalMedia.possible) {
      this.#fail(device, "insecure");
      return;
    }
    const open = (/** @type {MediaTrackConstraints} */ wish) => navigator.mediaDevices.getUserMedia(
      device === "microphone" ? { audio: wish } : { video: wish });
    try {
      const stream = await open(this.#constraints(device)).catch((error) => {
        if (error instanceof DOMException && error.name === "NotAllowedError") throw error;
        return open(WISHES[device]); // the remembered device is gone or taken: any other
      });
      this.#adopt(device, stream.getTracks()[0]);
    } catch (error) {
      this.#fail(device, problemOf(error));
    }
  }

  /** @param {Device} device @param {Problem} problem */
  #fail(device, problem) {
    this.#drop(device);
    this.state[device].problem = problem;
    this.state[device].on = false;
  }

  /** @param {Device} device @param {MediaStreamTrack} track */
  #adopt(device, track) {
    if (this.#stopped) return track.stop();
    const state = this.state[device];
    this.#drop(device);
    state.track = track;
    state.problem = "";
    track.enabled = state.on;
    if (device === "camera") track.contentHint = "motion";
    track.onended = () => this.#unplugged(device);
    return this.#changed();
  }

  /** @param {Device} device */
  #drop(device) {
    const { track } = this.state[device];
    if (!track) return;
    track.onended = null;
    track.stop();
    this.state[device].track = null;
  }

  /** @param {Device} device */
  async #unplugged(device) {
    const wasOn = this.state[device].on;
    this.#drop(device);
    await this.set(device, wasOn, false);
    if (this.state[device].track) this.dispatchEvent(new CustomEvent("fallback", { detail: device }));
    await this.refreshDevices();
  }

  /** @param {Device} device @returns {MediaTrackConstraints} */
  #constraints(device) {
    const chosen = preferences()[device];
    if (device === "camera" && this.#facing) return { ...WISHES.camera, facingMode: { ideal: this.#facing } };
    // "exact", since Chromium takes the system's default microphone over an "ideal" one
    return chosen ? { ...WISHES[device], deviceId: { exact: chosen } } : WISHES[device];
  }

  /** @param {Device} device @param {string} deviceId */
  choose(device, deviceId) {
    remember({ [device]: deviceId });
    this.#facing = device === "camera" ? "" : this.#facing;
    return this.#reopen(device);
  }

  /** Front or back: the other one. */
  flipCamera() {
    const now = this.state.camera.track?.getSettings().facingMode;
    this.#facing = now === "environment" ? "user" : "environment";
    return this.#reopen("camera");
  }

  /** @param {Device} device */
  #reopen(device) {
    this.#queue[device] = this.#queue[device].then(async () => {
      if (!this.state[device].on && device === "camera") return;
      this.#drop(device); // many phones open the second camera only after the first is let go
      await this.#acquire(device);
      this.#changed();
    });
    return this.#queue[device];
  }

  /** @returns {Promise<boolean>} whether something is now shared; the user may think better of it */
  async shareScreen() {
    try {
      const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: 30 } }, audio: true });
      this.stopScreen();
      [this.screen.video] = stream.getVideoTracks();
      this.screen.audio = stream.getAudioTracks()[0] ?? null;
      this.screen.video.contentHint = "detail";
      this.screen.video.onended = () => this.stopScreen();
    } catch {
      return false;
    }
    this.#changed();
    return true;
  }

  stopScreen() {
    if (!this.screen.video) return;
    this.screen.video.onended = null;
    this.screen.video.stop();
    this.screen.audio?.stop();
    this.screen = { video: null, audio: null };
    this.#changed();
  }

  async refreshDevices() {
    try {
      this.devices = await navigator.mediaDevices.enumerateDevices();
    } catch {
      this.devices = [];
    }
    this.dispatchEvent(new Event("devices"));
  }

  #devicesChanged = () => void this.refreshDevices();

  /** Let every device go. */
  stop() {
    this.#stopped = true;
    navigator.mediaDevices?.removeEventListener("devicechange", this.#devicesChanged);
    this.#drop("microphone");
    this.#drop("camera");
    this.stopScreen();
  }

  #changed() {
    if (!this.#stopped) this.dispatchEvent(new Event("change"));
  }
}
