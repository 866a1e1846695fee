/** Pickers of microphone, camera and loudspeaker, with a test sound: before the call and in it. */

import { h, icon } from "../dom.js";
import { t } from "../i18n.js";
import { playTestSound } from "../meter.js";
import { canChooseSpeaker } from "../speakers.js";
import { preferences, remember } from "../store.js";

/** @type {{device: "microphone" | "camera" | "speaker", kind: MediaDeviceKind, label: string, icon: string}[]} */
const PICKERS = [
  { device: "microphone", kind: "audioinput", label: "devices.microphone", icon: "mic" },
  { device: "camera", kind: "videoinput", label: "devices.camera", icon: "camera" },
  { device: "speaker", kind: "audiooutput", label: "devices.speaker", icon: "speaker" },
];

/**
 * @param {import("../media.js").LocalMedia} media
 * @param {(speaker: string) => void} [routeTo]  sends the sound of the call to a loudspeaker
 * @returns {import("../main.js").View}
 */
export function devicePickers(media, routeTo = () => {}) {
  const element = h("div", { class: "devices" });

  /** @param {typeof PICKERS[number]} picker @param {HTMLSelectElement} select */
  const fill = (picker, select) => {
    const found = media.devices.filter((device) => device.kind === picker.kind && device.deviceId);
    const chosen = picker.device === "speaker" ? preferences().speaker
      : media.state[picker.device].track?.getSettings().deviceId ?? preferences()[picker.device];
    select.replaceChildren(...found.map((device, index) => h("option", {
      value: device.deviceId, selected: device.deviceId === chosen,
    }, device.label || t("devices.unnamed", { number: index + 1 }))));
    select.disabled = found.length === 0;
    if (found.length === 0) select.append(h("option", { t: "devices.none" }));
  };

  const selects = PICKERS.filter((picker) => picker.device !== "speaker" || canChooseSpeaker).map((picker) => {
    const id = `pick-${picker.device}-${Math.random().toString(36).slice(2, 8)}`;
    const select = h("select", { id });
    select.addEventListener("change", () => {
      if (picker.device === "speaker") {
        remember({ speaker: select.value });
        routeTo(select.value);
      } else {
        void media.choose(picker.device, select.value);
      }
    });
    const test = picker.device === "speaker" && h("button", {
      class: "secondary", type: "button", t: "devices.test",
      onclick: () => void playTestSound(preferences().speaker).catch(() => {}),
    });
    element.append(h("div", { class: "device" }, icon(picker.icon),
      h("label", { for: id, t: picker.label }), h("div", { class: "device-field" }, select, test)));
    return { picker, select };
  });

  const refresh = () => selects.forEach(({ picker, select }) => fill(picker, select));
  refresh();
  media.addEventListener("devices", refresh);
  media.addEventListener("change", refresh);
  document.addEventListener("language", refresh);
  return {
    element,
    destroy() {
      media.removeEventListener("devices", refresh);
      media.removeEventListener("change", refresh);
      document.removeEventListener("language", refresh);
    },
  };
}
