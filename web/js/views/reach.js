/** On the start page: being reachable, people to call, calls of before. */

import { h, icon, setText } from "../dom.js";
import { language, t } from "../i18n.js";
import { askToNotify, notificationState } from "../notify.js";
import { hue, initials } from "../rooms.js";
import { preferences, remember, takeToken } from "../store.js";

/** @typedef {import("../types.js").CallView} CallView */

/** @type {Record<import("../types.js").Presence, string>} */
const PRESENCE = { available: "reach.available", busy: "reach.busy", offline: "reach.offline" };
/** Order in which contacts stand. */
const RANK = { available: 0, busy: 1, offline: 2 };
/** Codes of a refusal, and what is said about it. @type {Record<string, string>} */
const REFUSALS = {
  "rate-limited": "reach.too-often", "not-permitted": "reach.not-permitted", "bad-state": "reach.in-a-call",
};

/** @param {import("../line.js").Line} line */
export function reachView(line) {
  const element = h("section", { class: "reach", label: "reach.title" });
  /** Who is chosen to be called together. @type {Set<string>} */
  const chosen = new Set();
  const problem = h("p", { class: "problem", role: "alert" });

  /** @param {string[]} people */
  const ring = async (people) => {
    setText(problem, "");
    problem.textContent = "";
    const code = await line.ring(people);
    if (code) setText(problem, REFUSALS[code] ?? "reach.failed");
    else chosen.clear();
  };

  const off = () => {
    const name = h("input", {
      id: "reach-name", type: "text", autocomplete: "name", maxLength: 64, value: preferences().name,
      placeholder: "prejoin.name-placeholder", "aria-describedby": "reach-problem",
    });
    const refused = line.state === "refused";
    const invitation = refused && (line.code === "unauthorized" || line.code === "not-permitted");
    const form = h("form", { class: "reach-off", noValidate: true },
      h("div", { class: "reach-pitch" }, h("span", { class: "reach-bell" }, icon("bell")),
        h("div", {}, h("h2", { t: "reach.title" }), h("p", { t: "reach.text" }))),
      h("label", { class: "visually-hidden", for: "reach-name", t: "prejoin.name" }),
      h("div", { class: "joined-field" }, name, h("button", { class: "secondary", type: "submit" }, h("span", { t: "reach.on" }))),
      h("p", { class: "problem", id: "reach-problem", role: "alert" },
        refused ? t(invitation ? "reach.needs-invitation" : "reach.refused") : ""));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const cleaned = name.value.trim().replace(/\s+/g, " ");
      if (!cleaned) return name.focus();
      remember({ name: cleaned, reachable: true });
      void askToNotify(); // here people know what it is for
      return line.start(cleaned, takeToken(""));
    });
    return [form];
  };

  const on = () => {
    const state = line.state === "on" ? "reach.reachable" : line.state === "connecting" ? "reach.connecting" : "reach.reconnecting";
    const contacts = [...line.contacts.values()].sort((a, b) => RANK[a.presence] - RANK[b.presence]
      || a.name.localeCompare(b.name, language()));
    for (const id of chosen) if (line.contacts.get(id)?.presence !== "available") chosen.delete(id);
    const together = chosen.size > 1 && h("button", {
      class: "primary wide", type: "button", onclick: () => void ring([...chosen]),
    }, icon("phone"), h("span", {}, t("reach.call-together", { count: chosen.size })));
    return [
      h("div", { class: "reach-head" },
        h("span", { class: `avatar tone-${hue(line.you.name || "?", 8)}`, "aria-hidden": "true" }, initials(line.you.name)),
        h("div", {}, h("h2", {}, line.you.name || t("reach.title")),
          h("p", { role: "status", class: `presence ${line.state === "on" ? "available" : "busy"}` }, t(state))),
        h("button", {
          class: "secondary", type: "button", t: "reach.off", onclick: () => {
            remember({ reachable: false });
            line.stop();
          },
        })),
      problem,
      contacts.length
        ? h("ul", { class: "contacts", label: "reach.contacts" }, ...contacts.map(contactRow))
        : h("p", { class: "reach-nobody", t: "reach.nobody" }),
      together || "",
      notificationState() === "default" ? h("button", {
        class: "text", type: "button", t: "reach.notify", onclick: () => void askToNotify().then(() => {
          drawn = "";
          update();
        }),
      }) : "",
      line.log.length ? h("details", { class: "call-log", open: true },
        h("summary", { t: "reach.log" }), h("ul", {}, ...line.log.map(logRow)),
        line.more ? h("button", { class: "text", type: "button", t: "reach.log-more", onclick: () => void line.loadLog(true) }) : "")
        : "",
    ];
  };

  /** @param {import("../types.js").Contact} contact */
  const contactRow = (contact) => {
    const { id, name, presence } = contact;
    const free = presence === "available";
    const check = h("input", {
      type: "checkbox", checked: chosen.has(id), disabled: !free, "aria-label": t("reach.choose", { name }), "data-choose": id,
    });
    check.addEventListener("change", () => {
      if (check.checked) chosen.add(id);
      else chosen.delete(id);
      update();
    });
    return h("li", { class: presence },
      h("label", { class: "contact-face" }, check,
        h("span", { class: `avatar tone-${hue(name, 8)}`, "aria-hidden": "true" }, initials(name))),
      h("span", { class: "contact-name" }, h("span", {}, name), h("small", { class: `presence ${presence}`, t: PRESENCE[presence] })),
      h("button", {
        class: "round call-button", type: "button", "aria-label": t("reach.call", { name }), title: t("reach.call", { name }),
        disabled: !free, "data-call": id, onclick: () => void ring([id]),
      }, icon("phone")));
  };

  /** @param {CallView} call */
  const logRow = (call) => {
    const out = line.direction(call) === "out";
    const people = out ? call.people : [call.caller];
    const names = people.map((one) => one.name).join(", ");
    const missed = !out && !call.answered;
    const mine = call.people.find((one) => one.id === line.you.id)?.state;
    const what = call.answered && (out || mine !== "declined") ? length(call) : t(out ? OUT[call.people[0].state] ?? "log.out"
      : mine === "declined" ? "log.declined" : "log.missed");
    const back = people.every((one) => line.contacts.has(one.id));
    return h("li", { class: missed && mine !== "declined" ? "missed" : "" },
      h("span", { class: "log-icon" }, icon(out ? "phone-out" : "phone-in")),
      h("span", { class: "contact-name" }, h("span", {}, names), h("small", {}, what)),
      h("time", { dateTime: new Date(call.began * 1000).toISOString() }, when(call.began)),
      back ? h("button", {
        class: "quiet", type: "button", "aria-label": t("reach.call", { name: names }), onclick: () => void ring(people.map((one) => one.id)),
      }, icon("phone")) : h("span", { class: "quiet" }));
  };

  let drawn = "";
  const update = () => {
    const shows = line.state === "off" || line.state === "refused" ? "off" : "on";
    const state = JSON.stringify([language(), line.state, line.you, [...line.contacts], line.log, line.more, [...chosen], line.code]);
    if (state === drawn || (shows === "off" && drawn && element.dataset.shows === "off" && !line.code)) return;
    drawn = state;
    const { choose, call } = document.activeElement instanceof HTMLElement ? document.activeElement.dataset : {};
    element.dataset.shows = shows;
    element.replaceChildren(...(shows === "off" ? off() : on()).filter((part) => part !== ""));
    const again = choose ? `[data-choose="${CSS.escape(choose)}"]` : call ? `[data-call="${CSS.escape(call)}"]` : "";
    const focus = again && element.querySelector(again);
    if (focus instanceof HTMLElement) focus.focus();
  };
  line.addEventListener("change", update);
  document.addEventListener("language", update);
  update();
  return {
    element,
    destroy() {
      line.removeEventListener("change", update);
      document.removeEventListener("language", update);
    },
  };
}

/** Calls of ours that nobody answered, by the state of the first who was called. @type {Record<string, string>} */
const OUT = {
  busy: "log.out-busy", declined: "log.out-declined", missed: "log.out-missed", offline: "log.out-offline",
  cancelled: "log.out-cancelled",
};

/** @param {CallView} call */
function length({ answered = 0, ended = 0 }) {
  const seconds = Math.max(0, Math.round(ended - answered));
  if (!ended || seconds < 60) return t("log.seconds", { count: ended ? seconds : 0 });
  return t("log.minutes", { count: Math.round(seconds / 60) });
}

/** @param {number} at  Unix time in seconds */
function when(at) {
  const date = new Date(at * 1000);
  const today = date.toDateString() === new Date().toDateString();
  return new Intl.DateTimeFormat(language(), today ? { hour: "2-digit", minute: "2-digit" } : { day: "numeric", month: "short" })
    .format(date);
}
