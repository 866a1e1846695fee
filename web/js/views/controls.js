/** The bar of a call. */

import { h, icon, setContent, setIcon, setLabel } from "../dom.js";
import { t } from "../i18n.js";
import { LocalMedia } from "../media.js";
import { KEYS } from "./dialogs.js";

/**
 * @typedef {object} Actions
 * @property {() => void} microphone
 * @property {() => void} camera
 * @property {() => void} screen
 * @property {() => void} layout
 * @property {() => void} people
 * @property {() => void} chat
 * @property {(button: HTMLButtonElement) => void} react
 * @property {() => void} invite
 * @property {() => void} settings
 * @property {() => void} keys
 * @property {() => void} flip
 * @property {() => void} more
 * @property {() => void} leave
 */

const CLOCK_INTERVAL = 1000; // ms
const MOST_UNREAD = 99;

/** @param {number} seconds */
function duration(seconds) {
  const parts = [Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60].map((part) => String(part).padStart(2, "0"));
  const hours = Math.floor(seconds / 3600);
  return (hours ? `${hours}:` : "") + parts.join(":");
}

/**
 * @param {import("../call.js").Call} call
 * @param {import("./stage.js").Stage} stage
 * @param {Actions} actions
 */
export function controlBar(call, stage, actions) {
  /** @param {string} name @param {string} label @param {() => void} run @param {string} [className] */
  const button = (name, label, run, className = "") =>
    h("button", { class: `round ${className}`, type: "button", label, onclick: run }, icon(name));

  const microphone = button("mic", "control.mute", actions.microphone);
  const camera = button("camera", "control.camera-off", actions.camera);
  const flip = button("flip", "control.flip", actions.flip, "phone-only");
  const screen = button("screen", "control.share", actions.screen, "wide-only");
  const layout = button("grid", "control.spotlight", actions.layout, "wide-only");
  const more = button("more", "control.more", actions.more, "phone-only");
  const leave = button("leave", "control.leave", actions.leave, "danger");
  const react = button("smile", "chat.react", () => actions.react(react), "wide-only");
  react.setAttribute("aria-haspopup", "true");
  react.setAttribute("aria-expanded", "false");
  const chat = button("chat", "control.chat", actions.chat);
  const unread = h("span", { class: "count unread", "aria-hidden": "true", hidden: true });
  chat.append(unread);
  const people = button("people", "control.people", actions.people);
  const count = h("span", { class: "count", "aria-hidden": "true" });
  people.append(count);
  const invite = button("invite", "control.invite", actions.invite);
  const settings = button("settings", "control.settings", actions.settings, "wide-only");
  const keys = button("keyboard", "control.keys", actions.keys, "wide-only pointer-only");
  for (const [control, key] of /** @type {const} */ ([
    [microphone, "M"], [camera, "V"], [screen, "S"], [layout, "L"], [people, "P"], [chat, "C"], [invite, "I"]])) {
    control.setAttribute("aria-keyshortcuts", KEYS.find(([known]) => known === key)?.[0] ?? key);
  }
  const title = h("span", { class: "bar-name" });
  const clock = h("time", { class: "clock" });
  const element = h("div", { class: "bar" },
    h("div", { class: "bar-room" }, title, clock),
    h("div", { class: "bar-main", role: "group", label: "call.controls" },
      microphone, camera, flip, screen, react, layout, more, leave),
    h("div", { class: "bar-side" }, chat, people, invite, settings, keys));

  const started = performance.now();
  const tick = () => setContent(clock, duration((performance.now() - started) / 1000));
  const timer = setInterval(tick, CLOCK_INTERVAL);
  tick();

  return {
    element,
    microphone,
    people,
    chat,
    update() {
      setContent(title, call.title);
      const { state, screen: shared } = call.media;
      const speaks = state.microphone.on && state.microphone.track !== null;
      const shows = state.camera.on && state.camera.track !== null;
      toggle(microphone, speaks, speaks ? "mic" : "mic-off", speaks ? "control.mute" : "control.unmute");
      toggle(camera, shows, shows ? "camera" : "camera-off", shows ? "control.camera-off" : "control.camera-on");
      toggle(screen, shared.video !== null, shared.video ? "screen-stop" : "screen",
        shared.video ? "control.stop-share" : "control.share");
      screen.classList.toggle("active", shared.video !== null);
      const { staged } = stage;
      setIcon(layout, staged ? "grid" : "spotlight");
      setLabel(layout, staged ? "control.grid" : "control.spotlight");
      microphone.hidden = camera.hidden = !call.permissions.canPublish;
      screen.hidden = !call.permissions.canPublish || !LocalMedia.canShareScreen;
      flip.hidden = !shows || call.media.devices.filter((device) => device.kind === "videoinput").length < 2;
      microphone.classList.toggle("problem", state.microphone.problem !== "");
      camera.classList.toggle("problem", state.camera.problem !== "");
      const news = call.chat.unread;
      unread.hidden = news === 0;
      setContent(unread, news > MOST_UNREAD ? `${MOST_UNREAD}+` : String(news));
      chat.title = news ? t("control.chat-unread", { count: news }) : t("control.chat");
      chat.setAttribute("aria-label", chat.title);
      count.hidden = call.roster.people.size === 0; // in the lobby
      setContent(count, String(call.roster.people.size));
      people.title = t("control.people-count", { count: call.roster.people.size });
    },
    destroy: () => clearInterval(timer),
  };
}

/** @param {HTMLButtonElement} control @param {boolean} on @param {string} name @param {string} label */
function toggle(control, on, name, label) {
  control.setAttribute("aria-pressed", String(on));
  setIcon(control, name);
  setLabel(control, label);
}
