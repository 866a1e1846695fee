/** The list of who is here. */

import { h, icon, setContent } from "../dom.js";
import { t } from "../i18n.js";
import { hue, initials } from "../rooms.js";
import { lobbyList, personDialog, roomDialog } from "./govern.js";

const ROLES = { host: "role.host", speaker: "", listener: "role.listener" };
const KIND_LABELS = { web: "", python: "people.python", whip: "people.whip" };

/**
 * @param {import("../call.js").Call} call
 * @param {import("./stage.js").Stage} stage
 * @param {{close: () => void, invite: () => void, message: (id: string) => void}} actions
 */
export function peoplePanel(call, stage, actions) {
  const title = h("h2", { id: "people-title" });
  const list = h("ul", { class: "people-list" });
  const lobby = h("section", { class: "lobby", hidden: true, label: "lobby.title" });
  const room = h("button", { class: "secondary wide", type: "button", onclick: () => roomDialog(call) },
    icon("shield"), h("span", { t: "host.room" }));
  const close = h("button", {
    class: "quiet", type: "button", label: "people.close", onclick: actions.close,
  }, icon("close"));
  const element = h("aside", { class: "panel people", hidden: true, "aria-labelledby": "people-title" },
    h("div", { class: "panel-head" }, title, close), lobby, list, room,
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
    const more = !person.isSelf && h("button", {
      class: "quiet", type: "button", "aria-label": t("people.more", { name: person.name }), "data-more": person.id,
      onclick: () => personDialog(call, person, {
        pin: () => stage.pin(person.id), message: () => actions.message(person.id),
      }),
    }, icon("more"));
    const silent = person.isSelf ? !call.media.state.microphone.on : person.silent;
    const kind = KIND_LABELS[person.kind];
    return h("li", { class: person.speaking && !silent ? "speaking" : "" },
      h("span", { class: `avatar tone-${hue(person.name, 8)}`, "aria-hidden": "true" }, initials(person.name)),
      h("span", { class: "people-name" },
        h("span", {}, person.isSelf ? t("tile.you", { name: person.name }) : person.name),
        !person.connected && h("small", { t: "tile.away" }),
        person.connected && (kind || person.role !== "speaker") && h("small", { t: kind || ROLES[person.role] })),
      person.publication("screen")
        && h("span", { class: "mark-icon", role: "img", label: "people.sharing" }, icon("screen")),
      h("span", {
        class: `mark-icon ${silent ? "off" : ""}`, role: "img", label: silent ? "tile.muted" : "people.microphone-on",
      }, icon(silent ? "mic-off" : "mic")),
      person.isSelf ? pin : more);
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
      room.hidden = !call.permissions.roomAdmin;
      const { waiters } = call.governance;
      lobby.hidden = waiters.length === 0 || room.hidden;
      // rebuilt only when something in it differs: a speaking ring must not take the focus away from a button
      const state = JSON.stringify([document.documentElement.lang, stage.pinned, people.map((person) => [
        person.id, person.name, person.connected, person.silent, person.speaking, person.role, person.silenced, call.media.state.microphone.on,
        Boolean(person.publication("screen"))]), waiters]);
      if (state === shown) return;
      shown = state;
      lobby.replaceChildren(...lobbyList(call, waiters));
      const { pin, more } = document.activeElement instanceof HTMLElement ? document.activeElement.dataset : {};
      list.replaceChildren(...people.map(row));
      for (const button of list.querySelectorAll("button")) {
        if ((pin && button.dataset.pin === pin) || (more && button.dataset.more === more)) button.focus();
      }
    },
  };
}
