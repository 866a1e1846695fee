/** What can be done about somebody, and about the room: dialogs of the list of people. */

import { h, icon } from "../dom.js";
import { t } from "../i18n.js";
import { openDialog } from "./dialog.js";
import { moreDialog } from "./dialogs.js";

/** @typedef {import("../roster.js").Person} Person */

const HOUR = 3600; // s
/** How long a ban lasts, seconds; none: for ever. @type {[string, number | undefined][]} */
const BANS = [["ban.hour", HOUR], ["ban.day", 24 * HOUR], ["ban.week", 7 * 24 * HOUR], ["ban.ever", undefined]];

/**
 * @param {import("../call.js").Call} call @param {Person} person
 * @param {{pin: () => void, message: () => void}} actions
 */
export function personDialog(call, person, actions) {
  const { id: participant, name, role, silenced } = person;
  const host = call.permissions.roomAdmin;
  const { governance } = call;
  /** @param {string} text @param {string} symbol @param {import("../types.js").Command} command */
  const act = (text, symbol, command) => ({ icon: symbol, text, run: () => void governance.act(command) });
  const entries = [
    { icon: "pin", text: "people.pin-short", run: actions.pin },
    { icon: "chat", text: "people.message", run: actions.message },
  ];
  if (host) {
    entries.push(silenced.includes("audio") || person.silent
      ? act("host.ask-unmute", "mic", { type: "ask-unmute", participant, kind: "audio" })
      : act("host.mute", "mic-off", { type: "silence", participant, kind: "audio" }));
    if (silenced.includes("audio") || silenced.includes("video")) entries.push({
      icon: "unlock", text: "host.lift", run: () => {
        for (const kind of silenced) void governance.act({ type: "silence", participant, kind, silenced: false });
      },
    });
    if (!silenced.includes("video")) entries.push(act("host.camera-off", "camera-off", { type: "silence", participant, kind: "video" }));
    if (role !== "host") entries.push(act("host.make-host", "shield", { type: "set-role", participant, role: "host" }));
    if (role !== "speaker") entries.push(act("host.make-speaker", "speaker", { type: "set-role", participant, role: "speaker" }));
    if (role !== "listener") entries.push(act("host.make-listener", "user", { type: "set-role", participant, role: "listener" }));
    entries.push(
      { icon: "remove", text: "host.remove", run: () => confirmDialog("host.remove-title", "host.remove-text", name, "host.remove",
        () => void governance.act({ type: "remove", participant })) },
      { icon: "ban", text: "host.ban", run: () => banDialog(call, person) });
  }
  entries.push({ icon: "flag", text: "report.button", run: () => reportDialog(call, person) });
  moreDialog(entries, name);
}

/**
 * @param {string} title @param {string} text @param {string} name @param {string} action  names of strings but for `name`
 * @param {() => void} run
 */
function confirmDialog(title, text, name, action, run) {
  const no = h("button", { class: "secondary", type: "button", t: "dialog.cancel", onclick: () => dialog.close() });
  const dialog = openDialog({
    title, focus: no,
    body: [h("p", {}, t(text, { name })), h("div", { class: "actions" }, no, h("button", {
      class: "primary dangerous", type: "button", t: action, onclick: () => {
        dialog.close();
        run();
      },
    }))],
  });
}

/** @param {import("../call.js").Call} call @param {Person} person */
function banDialog(call, { id: participant, name }) {
  const select = h("select", { label: "ban.duration" }, ...BANS.map(([text], index) => h("option", { value: String(index), t: text })));
  const dialog = openDialog({
    title: "ban.title", focus: select,
    body: [h("p", {}, t("ban.text", { name })), select, h("div", { class: "actions" },
      h("button", { class: "secondary", type: "button", t: "dialog.cancel", onclick: () => dialog.close() }),
      h("button", {
        class: "primary dangerous", type: "button", t: "host.ban", onclick: () => {
          dialog.close();
          const [, seconds] = BANS[Number(select.value)];
          void call.governance.act({ type: "ban", participant, ...(seconds && { seconds }) });
        },
      }))],
  });
}

/** @param {import("../call.js").Call} call @param {Person} person */
function reportDialog(call, { id: participant, name }) {
  const reason = h("textarea", { class: "chat-field", rows: 3, maxLength: 500, label: "report.reason", placeholder: "report.placeholder" });
  const dialog = openDialog({
    title: "report.title", focus: reason,
    body: [h("p", {}, t("report.text", { name })), reason, h("div", { class: "actions" },
      h("button", { class: "secondary", type: "button", t: "dialog.cancel", onclick: () => dialog.close() }),
      h("button", {
        class: "primary", type: "button", t: "report.send", onclick: () => {
          dialog.close();
          void call.governance.report(participant, reason.value.trim());
        },
      }))],
  });
}

/** @param {import("../call.js").Call} call */
export function roomDialog(call) {
  const { governance } = call;
  /** @param {string} text @param {string} hint @param {boolean} on @param {(on: boolean) => import("../types.js").Command} command */
  const toggle = (text, hint, on, command) => {
    const box = h("input", { type: "checkbox", checked: on });
    box.addEventListener("change", () => void governance.act(command(box.checked)));
    return h("label", { class: "switch" }, h("span", {}, h("span", { t: text }), h("small", { t: hint })), box, h("i"));
  };
  const { locked, lobby, defaultRole } = governance.settings;
  const banned = h("div", { class: "bans" });
  const listBans = async () => {
    const bans = await governance.bans();
    banned.replaceChildren(...bans.map(({ identity, name }) => h("div", {}, h("span", {}, name || identity), h("button", {
      class: "text", type: "button", t: "host.unban", onclick: () => void governance.act({ type: "unban", identity }).then(listBans),
    }))));
  };
  void listBans();
  const dialog = openDialog({
    title: "host.room", className: "govern",
    body: [
      toggle("host.lock", "host.lock-hint", locked, (on) => ({ type: "set-room", locked: on })),
      toggle("host.lobby", "host.lobby-hint", lobby, (on) => ({ type: "set-room", lobby: on })),
      toggle("host.listen", "host.listen-hint", defaultRole === "listener",
        (on) => ({ type: "set-room", defaultRole: on ? "listener" : "speaker" })),
      banned,
      h("div", { class: "actions" },
        h("button", {
          class: "secondary", type: "button", onclick: () => {
            void governance.act({ type: "silence", participant: null, kind: "audio" });
            dialog.close();
          },
        }, icon("mic-off"), h("span", { t: "host.mute-all" })),
        h("button", {
          class: "secondary dangerous-text", type: "button", onclick: () => {
            dialog.close();
            confirmDialog("host.end-title", "host.end-text", "", "host.end", () => void governance.act({ type: "end-room" }));
          },
        }, icon("leave"), h("span", { t: "host.end" }))),
    ],
  });
}

/** A host asks us to unmute. @param {string} by @param {string} title  names a string @param {() => void} unmute */
export function unmuteDialog(by, title, unmute) {
  const yes = h("button", {
    class: "primary", type: "button", t: "ask.yes", onclick: () => {
      dialog.close();
      unmute();
    },
  });
  const dialog = openDialog({
    title, focus: yes,
    body: [h("p", {}, t("ask.text", { name: by })), h("div", { class: "actions" },
      h("button", { class: "secondary", type: "button", t: "ask.no", onclick: () => dialog.close() }), yes)],
  });
}

/** The people at the door, for hosts. @param {import("../call.js").Call} call @param {import("../types.js").Waiter[]} waiters */
export function lobbyList(call, waiters) {
  /** @param {string | null} waiter @param {boolean} admitted */
  const decide = (waiter, admitted) => void call.governance.act({ type: "admit", waiter, admitted });
  return [h("h3", {}, t("lobby.waiting", { count: waiters.length })),
    h("ul", {}, ...waiters.map(({ id, name }) => h("li", {}, h("span", { class: "people-name" }, h("span", {}, name)),
      h("button", { class: "quiet", type: "button", "aria-label": t("lobby.deny", { name }), title: t("lobby.deny", { name }),
        onclick: () => decide(id, false) }, icon("close")),
      h("button", { class: "quiet admit", type: "button", "aria-label": t("lobby.admit", { name }), title: t("lobby.admit", { name }),
        onclick: () => decide(id, true) }, icon("check"))))),
    waiters.length > 1 ? h("button", { class: "secondary wide", type: "button", t: "lobby.admit-all", onclick: () => decide(null, true) }) : ""];
}
