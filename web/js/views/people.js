/** The list of who is here. */

import { h, icon, setContent, setIcon, setLabel } from "../dom.js";
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

  /** @param {string} id  whose row, which stays the same element: a press on a button that is replaced does nothing */
  const makeRow = (id) => {
    const find = () => call.roster.people.get(id);
    const self = Boolean(find()?.isSelf);
    const button = self ? h("button", {
      class: "quiet", type: "button", onclick: () => stage.pin(id),
    }, icon("pin")) : h("button", {
      class: "quiet", type: "button", onclick: () => {
        const person = find();
        if (person) personDialog(call, person, { pin: () => stage.pin(id), message: () => actions.message(id) });
      },
    }, icon("more"));
    const avatar = h("span", { "aria-hidden": "true" });
    const name = h("span");
    const note = h("small");
    const sharing = h("span", { class: "mark-icon", role: "img", label: "people.sharing" }, icon("screen"));
    const microphone = h("span", { role: "img", label: "people.microphone-on" }, icon("mic"));
    const item = h("li", {}, avatar, h("span", { class: "people-name" }, name, note), sharing, microphone, button);
    return {
      element: item,
      /** @param {import("../roster.js").Person} person */
      update(person) {
        const silent = self ? !call.media.state.microphone.on : person.silent;
        item.className = person.speaking && !silent ? "speaking" : "";
        avatar.className = `avatar tone-${hue(person.name, 8)}`;
        setContent(avatar, initials(person.name));
        setContent(name, self ? t("tile.you", { name: person.name }) : person.name);
        const about = person.connected ? KIND_LABELS[person.kind] || ROLES[person.role] : "tile.away";
        note.hidden = !about;
        setContent(note, about && t(about));
        sharing.hidden = !person.publication("screen");
        microphone.className = `mark-icon ${silent ? "off" : ""}`;
        setLabel(microphone, silent ? "tile.muted" : "people.microphone-on");
        setIcon(microphone, silent ? "mic-off" : "mic");
        const pinned = stage.pinned === id;
        if (self) {
          button.setAttribute("aria-pressed", String(pinned));
          setIcon(button, pinned ? "unpin" : "pin");
        }
        const label = !self ? "people.more" : pinned ? "people.unpin" : "people.pin";
        button.setAttribute("aria-label", t(label, { name: person.name }));
      },
    };
  };

  /** @type {Map<string, ReturnType<typeof makeRow>>} */
  const rows = new Map();
  /** @param {import("../roster.js").Person[]} people */
  const updateRows = (people) => {
    const present = new Set(people.map(({ id }) => id));
    for (const [id, row] of rows) {
      if (present.has(id)) continue;
      row.element.remove();
      rows.delete(id);
    }
    people.forEach((person, place) => {
      const row = rows.get(person.id) ?? makeRow(person.id);
      rows.set(person.id, row);
      row.update(person);
      if (list.children[place] !== row.element) list.insertBefore(row.element, list.children[place] ?? null);
    });
  };

  let shownWaiters = "";
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
      const state = JSON.stringify([document.documentElement.lang, waiters]);
      if (state !== shownWaiters) lobby.replaceChildren(...lobbyList(call, waiters));
      shownWaiters = state;
      updateRows(people);
    },
  };
}
