/** The start page: a new room, a known one, or one of the last. */

import { h, icon, setText } from "../dom.js";
import { normaliseRoom, randomRoom } from "../rooms.js";
import { forgetRooms, recentRooms } from "../store.js";
import { header } from "./shell.js";
import { hero } from "./hero.js";
import { reachView } from "./reach.js";

/**
 * @param {import("../main.js").Navigation} navigation
 * @param {import("../line.js").Line} line
 * @returns {import("../main.js").View}
 */
export function startView(navigation, line) {
  const reach = reachView(line);
  const create = h("button", { class: "primary large", type: "button", onclick: () => navigation.enter(randomRoom()) },
    h("span", { t: "start.create" }), icon("arrow"));

  const problem = h("p", { class: "problem", id: "room-problem", role: "alert" });
  const input = h("input", {
    id: "room", type: "text", autocomplete: "off", spellcheck: false, maxLength: 300, placeholder: "start.placeholder",
    "aria-describedby": "room-problem",
  });
  input.setAttribute("autocapitalize", "none");
  const form = h("form", { class: "enter", noValidate: true },
    h("label", { for: "room", t: "start.enter-label" }),
    h("div", { class: "joined-field" }, input, h("button", { class: "secondary", type: "submit", t: "start.enter" })),
    problem);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const room = normaliseRoom(input.value);
    if (room) return navigation.enter(room);
    setText(problem, "start.bad-name");
    input.setAttribute("aria-invalid", "true");
    return input.focus();
  });

  const recent = h("section", { class: "recent" });
  const list = () => {
    const rooms = recentRooms();
    if (rooms.length === 0) return recent.replaceChildren();
    return recent.replaceChildren(
      h("div", { class: "recent-head" }, h("h2", { t: "start.recent" }),
        h("button", { class: "text", type: "button", t: "start.forget", onclick: () => { forgetRooms(); list(); } })),
      h("ul", {}, ...rooms.map((room) => h("li", {}, h("a", {
        class: "chip", href: `/r/${encodeURIComponent(room)}`,
        onclick: (/** @type {MouseEvent} */ event) => {
          if (event.metaKey || event.ctrlKey || event.shiftKey) return;
          event.preventDefault();
          navigation.enter(room);
        },
      }, icon("clock"), room)))));
  };
  list();

  const element = h("div", { class: "page start" },
    header(navigation),
    h("main", { class: "split" },
      h("div", { class: "pitch" },
        h("h1", { t: "start.title" }),
        h("p", { class: "lead", t: "start.lead" }),
        h("div", { class: "actions" }, create),
        form, recent),
      h("div", { class: "start-side" }, reach.element, hero())));
  return { element, destroy: reach.destroy };
}
