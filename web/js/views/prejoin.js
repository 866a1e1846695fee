/** Before the call: how one looks and sounds, under which name, with which devices. */

import { h, icon, setIcon, setLabel, setText } from "../dom.js";
import { Meter } from "../meter.js";
import { LocalMedia } from "../media.js";
import { initials } from "../rooms.js";
import { preferences, remember } from "../store.js";
import { devicePickers } from "./devices.js";
import { PROBLEMS } from "./problems.js";
import { header } from "./shell.js";

const METER_BARS = 12;

/** @typedef {import("../media.js").Device} Device */

/**
 * @param {import("../main.js").Navigation} navigation
 * @param {string} room
 * @returns {import("../main.js").View}
 */
export function prejoinView(navigation, room) {
  const media = new LocalMedia();
  let handedOver = false;

  const video = h("video", { muted: true, playsInline: true, autoplay: true, class: "mirrored" });
  const avatar = h("div", { class: "avatar tone-0", "aria-hidden": "true" });
  const status = h("p", { class: "preview-status", role: "status" });
  const meter = h("div", { class: "meter", role: "img", label: "prejoin.meter" },
    ...Array.from({ length: METER_BARS }, () => h("i")));
  const bars = /** @type {HTMLElement[]} */ ([...meter.children]);
  const toggles = {
    microphone: h("button", { class: "round", type: "button", label: "control.mute" }, icon("mic")),
    camera: h("button", { class: "round", type: "button", label: "control.camera-off" }, icon("camera")),
  };
  const problems = h("ul", { class: "problems" });
  const preview = h("div", { class: "preview" }, video, avatar, status,
    h("div", { class: "preview-bar" }, meter, toggles.microphone, toggles.camera));

  const name = h("input", {
    id: "name", type: "text", autocomplete: "name", maxLength: 64, required: true, value: preferences().name,
    placeholder: "prejoin.name-placeholder", "aria-describedby": "name-problem",
  });
  const nameProblem = h("p", { class: "problem", id: "name-problem", role: "alert" });
  const joinText = h("span", { t: "prejoin.join" });
  const pickers = devicePickers(media);
  const form = h("form", { class: "card", noValidate: true },
    h("div", { class: "card-head" },
      h("p", { class: "eyebrow", t: "prejoin.eyebrow" }), h("h1", { class: "room-title" }, navigation.titleOf(room))),
    h("div", { class: "field" }, h("label", { for: "name", t: "prejoin.name" }), name, nameProblem),
    h("button", { class: "primary large wide", type: "submit" }, joinText, icon("arrow")),
    h("details", { class: "device-details", open: innerWidth > 720 },
      h("summary", { t: "prejoin.devices" }), pickers.element));

  /** @type {Meter | null} */ let levels = null;
  /** @type {MediaStreamTrack | null} */ let measured = null;

  const showLevel = (/** @type {number} */ level) => {
    const lit = media.state.microphone.on ? Math.round(level * METER_BARS) : 0;
    bars.forEach((bar, index) => bar.classList.toggle("lit", index < lit));
  };

  const update = () => {
    const { microphone, camera } = media.state;
    if (video.srcObject !== null !== Boolean(camera.track) || video.dataset.track !== camera.track?.id) {
      video.srcObject = camera.track ? new MediaStream([camera.track]) : null;
      video.dataset.track = camera.track?.id ?? "";
    }
    video.classList.toggle("mirrored", camera.track?.getSettings().facingMode !== "environment");
    preview.classList.toggle("has-video", camera.track !== null);
    setText(status, camera.track ? "prejoin.camera-on" : media.asking ? "prejoin.asking" : "prejoin.camera-off");
    for (const device of /** @type {Device[]} */ (["microphone", "camera"])) {
      const on = media.state[device].on && media.state[device].track !== null;
      const button = toggles[device];
      button.setAttribute("aria-pressed", String(on));
      setIcon(button, (device === "microphone" ? "mic" : "camera") + (on ? "" : "-off"));
      if (device === "microphone") setLabel(button, on ? "control.mute" : "control.unmute");
      else setLabel(button, on ? "control.camera-off" : "control.camera-on");
    }
    if (microphone.track !== measured) {
      levels?.stop();
      measured = microphone.track;
      levels = measured ? new Meter(measured, showLevel) : null;
      showLevel(0);
    }
    problems.replaceChildren(...(/** @type {Device[]} */ (["microphone", "camera"])).map((device) => {
      const key = PROBLEMS[device][media.state[device].problem];
      return key ? h("li", {}, icon("warning"), h("span", { t: key })) : "";
    }).filter((item) => item !== ""));
    const silent = microphone.problem !== "" && camera.problem !== "";
    setText(joinText, silent ? "prejoin.join-without" : "prejoin.join");
  };

  const drawInitials = () => { avatar.textContent = initials(name.value); };
  name.addEventListener("input", drawInitials);
  toggles.microphone.addEventListener("click", () => void flip("microphone"));
  toggles.camera.addEventListener("click", () => void flip("camera"));

  /** @param {Device} device */
  async function flip(device) {
    const { on, track } = media.state[device];
    await media.set(device, !(on && track));
    await media.refreshDevices();
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const cleaned = name.value.trim().replace(/\s+/g, " ");
    if (!cleaned) {
      setText(nameProblem, "prejoin.name-missing");
      name.setAttribute("aria-invalid", "true");
      name.focus();
      return;
    }
    remember({ name: cleaned });
    handedOver = true;
    navigation.call(room, cleaned, media);
  });

  media.addEventListener("change", update);
  drawInitials();
  update();
  void media.open();

  const element = h("div", { class: "page prejoin" }, header(navigation),
    h("main", { class: "split" }, h("div", { class: "look" }, preview, problems), form));
  return {
    element,
    destroy() {
      media.removeEventListener("change", update);
      levels?.stop();
      pickers.destroy?.();
      video.srcObject = null;
      if (!handedOver) media.stop();
    },
  };
}
