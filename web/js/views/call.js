/** The call itself: stage, bar, list of people, notices, keys. */

import { h, icon, setContent } from "../dom.js";
import { t } from "../i18n.js";
import { LocalMedia } from "../media.js";
import { Meter } from "../meter.js";
import { keepAwake } from "../wakelock.js";
import { chatPanel } from "./chat.js";
import { controlBar } from "./controls.js";
import { copyButton, inviteDialog, keysDialog, moreDialog, settingsDialog, soundDialog } from "./dialogs.js";
import { emojiBar } from "./emoji.js";
import { unmuteDialog } from "./govern.js";
import { Notices } from "./notices.js";
import { peoplePanel } from "./people.js";
import { PROBLEMS } from "./problems.js";
import { Stage } from "./stage.js";

/** Milliseconds for which the hint to a muted speaker stays, and until it may come again. */
const HINT_FOR = 4000;
const HINT_PAUSE = 20_000;

/**
 * @param {import("../main.js").Navigation} navigation
 * @param {import("../call.js").Call} call
 * @returns {import("../main.js").View}
 */
export function callView(navigation, call) {
  const { media } = call;
  const { room } = call.entry;
  const notices = new Notices();
  const stage = new Stage(call, () => show("people"));
  /** @param {import("../media.js").Device} device */
  const flip = async (device) => {
    if (!call.permissions.canPublish) return;
    const { on, track } = media.state[device];
    const muted = call.roster.self?.silenced.includes(device === "microphone" ? "audio" : "video");
    if (muted && !(on && track)) return notices.say("notice.silenced");
    await media.set(device, !(on && track));
    const key = PROBLEMS[device][media.state[device].problem];
    if (key) notices.say(key);
  };

  const actions = {
    microphone: () => void flip("microphone"),
    camera: () => void flip("camera"),
    flip: () => void media.flipCamera(),
    screen: async () => {
      if (!call.permissions.canPublish || !LocalMedia.canShareScreen) return;
      if (media.screen.video) media.stopScreen();
      else if (!await media.shareScreen()) notices.say("notice.no-screen");
    },
    layout: () => {
      stage.toggleMode();
      update();
    },
    people: () => show(panels.people.element.hidden ? "people" : ""),
    chat: () => show(panels.chat.element.hidden ? "chat" : ""),
    react: (/** @type {HTMLButtonElement} */ button) => emojiBar(button, (emoji) => call.chat.react(0, emoji)),
    invite: () => inviteDialog(room),
    settings: () => settingsDialog(media, (speaker) => call.audio.choose(speaker)),
    keys: keysDialog,
    leave: () => {
      call.leave();
      navigation.ended(room, "left");
    },
    more: () => moreDialog([
      ...(call.permissions.canPublish && LocalMedia.canShareScreen ? [{
        icon: "screen", text: media.screen.video ? "control.stop-share" : "control.share", run: actions.screen,
      }] : []),
      {
        icon: stage.staged ? "grid" : "spotlight", text: stage.staged ? "control.grid" : "control.spotlight",
        run: actions.layout,
      },
      { icon: "settings", text: "control.settings", run: actions.settings },
    ]),
  };

  const bar = controlBar(call, stage, actions);
  /** @param {string} id  write to this one only */
  const message = (id) => {
    show("chat");
    panels.chat.address(id);
  };
  const panels = {
    people: peoplePanel(call, stage, { close: () => show(""), invite: actions.invite, message }),
    chat: chatPanel(call, { close: () => show("") }),
  };
  const waiting = h("div", { class: "waiting", role: "status", hidden: true },
    h("span", { class: "badge" }, icon("door")), h("h2", { t: "lobby.you" }), h("p", { t: "lobby.you-text" }),
    h("span", { class: "spinner" }));
  const banner = h("div", { class: "banner", role: "status" });
  const sharing = h("div", { class: "sharing", hidden: true }, icon("screen"), h("span", { t: "call.sharing" }),
    h("button", { class: "secondary", type: "button", t: "control.stop-share", onclick: () => media.stopScreen() }));
  const alone = h("div", { class: "alone", hidden: true },
    h("div", {}, h("p", { class: "alone-title", t: "call.alone" }), h("p", { t: "call.alone-text" })),
    copyButton(room, "primary"));
  const hint = h("p", { class: "muted-hint", role: "status" });
  const heading = h("h1", { class: "visually-hidden" }, call.title);
  const element = h("div", { class: "call" },
    h("main", { class: "floor" },
      heading, banner, sharing, stage.element, waiting, alone, notices.element, hint),
    panels.people.element, panels.chat.element,
    h("footer", { class: "dock" }, bar.element));

  /** @param {"people" | "chat" | ""} name  the panel to show, of which there is one at a time */
  function show(name) {
    const from = Object.entries(panels).find(([, panel]) => panel.element.contains(document.activeElement))?.[0];
    for (const [key, panel] of Object.entries(panels)) {
      if (panel.element.hidden !== (key !== name)) panel.show(key === name);
      bar[/** @type {keyof typeof panels} */ (key)].setAttribute("aria-expanded", String(key === name));
    }
    update();
    if (!name && from) bar[/** @type {keyof typeof panels} */ (from)].focus();
  }

  /** @type {Meter | null} */ let meter = null;
  /** @type {MediaStreamTrack | null} */ let measured = null;
  let hintAt = -HINT_PAUSE;
  /** @type {number | undefined} */ let hintTimer;

  const listen = () => {
    const { track } = media.state.microphone;
    if (track === measured) return;
    meter?.stop();
    measured = track;
    meter = track && new Meter(track, (_level, speaking) => {
      if (!speaking) return;
      if (media.state.microphone.on) return call.heardSelf();
      const now = performance.now();
      if (now - hintAt < HINT_PAUSE) return;
      hintAt = now;
      hint.textContent = t(call.roster.self?.silenced.includes("audio") ? "notice.silenced" : "call.muted-hint");
      hintTimer = setTimeout(() => { hint.textContent = ""; }, HINT_FOR);
    });
  };

  const update = () => {
    listen();
    if (media.state.microphone.on) hint.textContent = "";
    setContent(heading, call.title);
    bar.update();
    stage.update();
    panels.people.update();
    panels.chat.update();
    sharing.hidden = !media.screen.video;
    alone.hidden = call.state === "joining" || call.roster.people.size > 1;
    element.classList.toggle("is-alone", !alone.hidden);
    const transport = call.peer?.connection.connectionState ?? "new";
    const interrupted = transport === "disconnected" || transport === "failed";
    waiting.hidden = !call.governance.waiting;
    obey();
    setContent(banner, call.governance.waiting ? "" : call.state === "joining" ? t("call.joining")
      : call.state === "reconnecting" ? t("call.reconnecting") : interrupted ? t("call.media-lost") : "");
  };

  /** What a host has muted goes off here, too: the light of the camera says the truth. */
  const obey = () => {
    const silenced = call.roster.self?.silenced ?? [];
    for (const [kind, device, key] of /** @type {const} */ ([
      ["audio", "microphone", "notice.muted-by-host"], ["video", "camera", "notice.camera-by-host"]])) {
      const { on, track } = media.state[device];
      if (!silenced.includes(kind) || !on || !track) continue;
      void media.set(device, false);
      notices.say(key);
    }
  };
  const onKnock = (/** @type {Event} */ event) => notices.say("lobby.knock", { name: /** @type {CustomEvent} */ (event).detail });
  const onRefused = () => notices.say("notice.refused");
  const onAsked = (/** @type {Event} */ event) => {
    const { by, kind } = /** @type {CustomEvent} */ (event).detail;
    const device = kind === "audio" ? "microphone" : "camera";
    if (media.state[device].on && media.state[device].track) return;
    unmuteDialog(by, kind === "audio" ? "ask.title" : "ask.title-camera", () => void media.set(device, true));
  };

  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (document.querySelector("dialog[open]")) return;
    const target = /** @type {HTMLElement} */ (event.target);
    const typing = target.closest?.("input, textarea, select, [contenteditable]");
    if (typing && (event.key !== "Escape" || event.isComposing)) return;
    /** @type {Record<string, () => void>} */
    const keys = {
      m: actions.microphone, v: actions.camera, s: actions.screen, l: actions.layout, p: actions.people, c: actions.chat,
      i: actions.invite, "?": actions.keys,
    };
    if (event.key === "Escape") show("");
    else if (Object.hasOwn(keys, event.key.toLowerCase())) {
      event.preventDefault();
      keys[event.key.toLowerCase()]();
    }
  };

  const onFallback = (/** @type {Event} */ event) => {
    const device = /** @type {CustomEvent} */ (event).detail;
    notices.say(device === "microphone" ? "notice.microphone-changed" : "notice.camera-changed");
  };
  const onNotice = (/** @type {Event} */ event) => {
    const { key, values } = /** @type {CustomEvent} */ (event).detail;
    // to have joined is seen; those who do not see it are told
    if (key === "notice.you-joined") notices.tell(key, values);
    else notices.say(key, values);
  };

  const onArrived = (/** @type {Event} */ event) => {
    const { name, text } = /** @type {CustomEvent<import("../chat.js").Entry>} */ (event).detail;
    // the panel shows it; those who do not see it are told
    if (call.chat.watched) notices.tell("chat.said", { name, text });
    else notices.say("chat.said", { name, text });
  };
  const onMissed = (/** @type {Event} */ event) =>
    notices.say("chat.missed", { count: String(/** @type {CustomEvent<{count: number}>} */ (event).detail.count) });
  const onBurst = (/** @type {Event} */ event) => stage.burst(/** @type {CustomEvent} */ (event).detail);

  call.addEventListener("change", update);
  call.chat.addEventListener("change", bar.update);
  call.governance.addEventListener("knock", onKnock);
  call.governance.addEventListener("refused", onRefused);
  call.governance.addEventListener("reported", () => notices.say("report.sent"));
  call.governance.addEventListener("unmute-asked", onAsked);
  call.chat.addEventListener("arrived", onArrived);
  call.chat.addEventListener("missed", onMissed);
  call.chat.addEventListener("burst", onBurst);
  call.addEventListener("notice", onNotice);
  call.addEventListener("blocked", () => {
    const unblock = () => call.audio.unblock();
    addEventListener("pointerdown", unblock, { once: true }); // any touch will do
    if (!document.querySelector("dialog.sound")) soundDialog(unblock);
  });
  media.addEventListener("fallback", onFallback);
  stage.element.addEventListener("layout", update);
  document.addEventListener("keydown", onKey);
  document.addEventListener("language", update);
  const letSleep = keepAwake();
  update();

  return {
    element,
    destroy() {
      document.removeEventListener("keydown", onKey);
      document.removeEventListener("language", update);
      call.removeEventListener("change", update);
      media.removeEventListener("fallback", onFallback);
      clearTimeout(hintTimer);
      for (const dialog of document.querySelectorAll("dialog")) dialog.close();
      meter?.stop();
      panels.chat.destroy();
      stage.destroy();
      bar.destroy();
      notices.destroy();
      letSleep();
      call.leave();
      media.stop();
    },
  };
}
