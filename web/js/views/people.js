/** The list of who is here. */

import { h, icon, setContent } from "../dom.js";
import { t } from "../i18n.js";
import { hue, initials } from "../rooms.js";

const KIND_LABELS = { web: "", python: "people.python", whip: "people.whip" };

/**
 * @param {import("../call.js").Call} call
 * @param {import("./stage.js").Stage} stage
 * @param {{close: () => void, invite: () => void}} actions
 */
export function peoplePanel(call, stage, actions) {
  const title = h("h2", { id: "people-title" });
  const list = h("ul", { class: "people-list" });
  const close = h("button", {
    class: "quiet", type: "button", label: "people.close", onclick: actions.close,
  }, icon("close"));
  const element = h("aside", { class: "panel people", hidden: true, "aria-labelledby": "people-title" },
    h("div", { class: "panel-head" }, title, close), list,
    h("button", { class: "secondary wide", type: "button", onclick: actions.invite },
      icon("invite"), h("span", { t: "control.invite" })));

  /** @param {import("../roster.js").Person} person */
  const row = (person) => {
    const pinned = stage.pinned === person.id;
    const pin = h("button", {
      class: "quiet", type: "button", "aria-pressed": String(pinned), "data-pin": person.id,
      "aria-label": t(pinned ? "people.unpin" : "people.pin", { name: person.name }),
      onclick: () => stage.pin(person.id),
    }, icon(pinned ? "unpin" : "pin"));
    const silent = person.isSelf ? !call.media.state.microphone.on : person.silent;
    const kind = KIND_LABELS[person.kind];
    return h("li", { class: person.speaking && !silent ? "speaking" : "" },
      h("span", { class: `avatar tone-${hue(person.name, 8)}`, "aria-hidden": "true" }, initials(person.name)),
      h("span", { class: "people-name" },
        h("span", {}, person.isSelf ? t("tile.you", { name: person.name }) : person.name),
        !person.connected && h("small", { t: "tile.away" }),
        kind && person.connected && h("small", { t: kind })),
      person.publication("screen")
        && h("span", { class: "mark-icon", role: "img", label: "people.sharing" }, icon("screen")),
      h("span", {
        class: `mark-icon ${silent ? "off" : ""}`, role: "img", label: silent ? "tile.muted" : "people.microphone-on",
      }, icon(silent ? "mic-off" : "mic")),
      pin);
  };

  let shown = "";
  return {
    element,
    /** @param {boolean} visible */
    show(visible) {
      element.hidden = !visible;
      if (visible) close.focus();
    },
    update() {
      const people = [...call.roster.people.values()];
      setContent(title, t("people.title", { count: people.length }));
      if (element.hidden) return;
      // rebuilt only when something in it differs: a speaking ring must not take the focus away from a button
      const state = JSON.stringify([document.documentElement.lang, stage.pinned, people.map((person) => [
        person.id, person.name, person.connected, person.silent, person.speaking, call.media.state.microphone.on,
        Boolean(person.publication("screen"))])]);
      if (state === shown) return;
      shown = state;
      const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.pin : undefined;
      list.replaceChildren(...people.map(row));
      if (focused) {
        for (const button of list.querySelectorAll("button")) if (button.dataset.pin === focused) button.focus();
      }
    },
  };
}
