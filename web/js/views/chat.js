/** The panel with what is said in writing. */

import { LONGEST } from "../chat.js";
import { h, icon } from "../dom.js";
import { t } from "../i18n.js";
import { continues, dayOf, messageRow, sameDay } from "./message.js";

/** px from an edge of the list that count as being there. */
const NEAR = 80;
/** px that the field grows to. */
const TALLEST = 132;

/**
 * @param {import("../call.js").Call} call
 * @param {{close: () => void}} actions
 */
export function chatPanel(call, actions) {
  const { chat } = call;
  const close = h("button", { class: "quiet", type: "button", label: "chat.close", onclick: actions.close }, icon("close"));
  const list = h("ol", { class: "chat-list" });
  const scroller = h("div", { class: "chat-scroll", tabIndex: 0, role: "region", label: "chat.messages" }, list);
  const empty = h("div", { class: "chat-empty" }, icon("chat"), h("p", { t: "chat.empty" }));
  const latest = h("button", { class: "secondary chat-latest", type: "button", hidden: true }, icon("down"),
    h("span", { t: "chat.latest" }));
  const field = h("textarea", {
    class: "chat-field", rows: 1, maxLength: LONGEST, placeholder: "chat.placeholder", label: "chat.write", dir: "auto",
  });
  const submit = h("button", { class: "round send", type: "submit", label: "chat.send" }, icon("send"));
  const addressee = h("div", { class: "chat-to", hidden: true });
  const form = h("form", { class: "chat-form" }, addressee, h("div", { class: "chat-line" }, field, submit));
  const element = h("aside", { class: "panel chat", hidden: true, "aria-labelledby": "chat-title" },
    h("div", { class: "panel-head" }, h("h2", { id: "chat-title", t: "chat.title" }), close),
    h("div", { class: "chat-middle" }, scroller, empty, latest), form);
  const silenced = h("p", { class: "chat-silenced", hidden: true, t: "chat.not-permitted" });
  element.append(silenced);
  let to = "";

  const atEnd = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR;
  const toEnd = () => { scroller.scrollTop = scroller.scrollHeight; };

  /** @param {string} [id]  write to this participant only */
  const address = (id = "") => {
    to = id;
    const name = call.roster.people.get(id)?.name;
    addressee.hidden = !name;
    if (!name) return;
    addressee.replaceChildren(icon("lock"), h("span", {}, t("chat.private-to", { name })), h("button", {
      class: "quiet", type: "button", label: "chat.to-everybody", onclick: () => {
        address();
        field.focus();
      },
    }, icon("close")));
  };

  const grow = () => {
    field.style.height = "auto";
    field.style.height = `${Math.min(TALLEST, field.scrollHeight + 2)}px`;
    submit.disabled = !field.value.trim();
  };
  field.addEventListener("input", grow);
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return; // Enter also ends a word of Chinese
    event.preventDefault();
    form.requestSubmit();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = field.value.trim();
    if (!text) return;
    field.value = "";
    grow();
    chat.send(text, to);
    toEnd();
    field.focus();
  });
  latest.addEventListener("click", () => {
    toEnd();
    field.focus();
  });
  scroller.addEventListener("scroll", () => {
    if (scroller.scrollTop < NEAR) earlier();
    if (atEnd()) latest.hidden = true;
  });

  /** Load what is before, as long as there is room for it. */
  const earlier = () => {
    if (chat.earlier && !chat.loading && !element.hidden) void chat.loadEarlier();
  };

  /** Rows as they stand, by key: only what differs is made anew. @type {Map<string, {state: string, row: HTMLElement}>} */
  let made = new Map();

  const rows = () => {
    /** @type {typeof made} */ const next = new Map();
    /** @param {string} key @param {string} state @param {() => HTMLElement} make */
    const row = (key, state, make) => {
      const known = made.get(key);
      next.set(key, known?.state === state ? known : { state, row: make() });
    };
    const { entries } = chat;
    const language = document.documentElement.lang;
    if (chat.loading) row("loading", "", () => h("li", { class: "chat-loading" }, h("span", { class: "spinner" })));
    entries.forEach((entry, index) => {
      const before = entries[index - 1];
      if (!before || !sameDay(before.at, entry.at)) {
        const day = dayOf(entry.at);
        row(`day ${entry.key}`, day, () => h("li", { class: "chat-day" }, h("span", {}, day)));
      }
      const goesOn = continues(before, entry);
      const other = entry.mine ? call.roster.people.get(entry.to)?.name ?? t("chat.somebody") : entry.name;
      const state = JSON.stringify([language, entry.state, entry.number, goesOn, other, chat.reactions(entry.number)]);
      row(entry.key, state, () => messageRow(chat, entry, goesOn, entry.to && other));
    });
    made = next;
    return [...next.values()].map((each) => each.row);
  };

  let last = "";
  const redraw = () => {
    const stay = !atEnd();
    const fromEnd = scroller.scrollHeight - scroller.scrollTop;
    const { react, tally } = document.activeElement instanceof HTMLElement ? document.activeElement.dataset : {};
    putInOrder(list, rows());
    const focused = list.querySelector(react ? `[data-react="${react}"]` : `[data-tally="${tally}"]`);
    if ((react || tally) && focused instanceof HTMLElement) focused.focus({ preventScroll: true });
    const newest = chat.entries.at(-1);
    const arrived = newest !== undefined && newest.key !== last;
    if (!stay) toEnd();
    // what is before comes in above: what is being read stays where it is
    else if (!arrived) scroller.scrollTop = scroller.scrollHeight - fromEnd;
    if (stay && arrived && last && !newest.mine) latest.hidden = false;
    last = newest?.key ?? "";
    if (scroller.scrollHeight <= scroller.clientHeight) earlier();
  };

  let drawn = false;
  const update = () => {
    empty.hidden = chat.entries.length > 0 || chat.loading;
    const may = call.permissions.canPublishData ?? true;
    form.hidden = !may;
    silenced.hidden = may;
    if (to && !call.roster.people.has(to)) address();
    if (element.hidden || drawn) return;
    drawn = true; // once in a frame, however much arrives
    requestAnimationFrame(() => {
      drawn = false;
      if (!element.hidden) redraw();
    });
  };
  chat.addEventListener("change", update);
  grow();

  return {
    element,
    update,
    address,
    /** @param {boolean} visible */
    show(visible) {
      element.hidden = !visible;
      chat.watch(visible);
      if (!visible) return;
      redraw();
      toEnd();
      if (!form.hidden && matchMedia("(hover: hover)").matches) field.focus();
      else close.focus();
    },
    destroy: () => chat.removeEventListener("change", update),
  };
}

/** @param {HTMLElement} list @param {HTMLElement[]} items  what it is to hold; what is in place is not touched */
function putInOrder(list, items) {
  let at = list.firstElementChild;
  for (const item of items) {
    if (item === at) at = at.nextElementSibling;
    else list.insertBefore(item, at);
  }
  while (at) {
    const next = at.nextElementSibling;
    at.remove();
    at = next;
  }
}
