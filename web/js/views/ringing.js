/** Somebody calls, or is called: over whatever the page shows. */

import { h, icon } from "../dom.js";
import { t } from "../i18n.js";
import { alertUser } from "../notify.js";
import { play, silence } from "../ringtone.js";
import { hue, initials } from "../rooms.js";

/** @typedef {import("../types.js").CallView} CallView */

/** ms for which a call that nobody answered is shown, unless it is put away before. */
const RESULT_FOR = 8000;

/** What came of a call, by the state of the only one who was called; one who still rang: the server was restarted. */
/** @type {Record<string, string>} */
const RESULTS = {
  busy: "ring.busy", declined: "ring.declined", missed: "ring.missed", offline: "ring.offline", cancelled: "ring.cancelled",
  left: "ring.over", accepted: "ring.over", ringing: "ring.interrupted",
};

/** @type {Record<import("../types.js").CalledState, string>} */
const STATES = {
  ringing: "ring.state-ringing", accepted: "ring.state-accepted", declined: "ring.state-declined",
  busy: "ring.state-busy", missed: "ring.state-missed", offline: "ring.state-offline", cancelled: "ring.state-cancelled",
  left: "ring.state-left",
};

/** @param {string} name @param {boolean} [ringing] */
function face(name, ringing = false) {
  return h("div", { class: `ring-face ${ringing ? "rings" : ""}` },
    h("div", { class: `avatar tone-${hue(name, 8)}`, "aria-hidden": "true" }, initials(name)));
}

/**
 * Show what rings from now on, whatever the screen.
 *
 * @param {import("../line.js").Line} line
 */
export function ringingLayer(line) {
  /** @type {HTMLDialogElement | null} */ let dialog = null;
  /** @type {() => void} */ let calmDown = () => {};
  /** @type {number | undefined} */ let timer;
  let shown = "";

  const hide = () => {
    clearTimeout(timer);
    shown = "";
    dialog?.remove(); // a dialog that leaves the document gives the page back
    dialog = null;
  };

  const quiet = () => {
    silence();
    calmDown();
    calmDown = () => {};
  };

  /** @param {string} key @param {string} title @param {(Node | string)[]} body @param {HTMLElement} focus */
  const open = (key, title, body, focus) => {
    if (shown === key) return;
    hide();
    shown = key;
    dialog = h("dialog", { class: "ring", "aria-label": title }, ...body);
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.addEventListener("keydown", onKey);
    document.body.append(dialog);
    dialog.showModal();
    focus.focus();
  };

  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    event.stopPropagation();
    const key = event.key.toLowerCase();
    if (!dialog?.classList.contains("incoming")) {
      if (key === "escape") dialog?.querySelector("button")?.click();
    } else if (key === "a") void line.accept();
    else if (key === "d") line.decline();
    else if (key === "escape") quiet(); // it goes on to ring for others, and can still be answered
  };

  /** @param {string} className @param {string} symbol @param {string} text @param {() => void} onclick */
  const action = (className, symbol, text, onclick) => h("button", { class: `ring-action ${className}`, type: "button", onclick },
    h("span", { class: "ring-round" }, icon(symbol)), h("span", { t: text }));

  /** @param {CallView} call */
  const incoming = (call) => {
    const { name } = call.caller;
    const title = t("ring.incoming", { name });
    const heading = h("h2", { tabIndex: -1 }, name);
    const others = call.others ? t("ring.and-others", { count: call.others }) : t("ring.calls-you");
    open(`in ${call.id}`, title, [
      face(name, true), heading, h("p", {}, others),
      h("div", { class: "ring-actions" },
        action("decline", "leave", "ring.decline", () => line.decline()),
        action("accept", "phone", "ring.accept", () => void line.accept())),
      h("p", { class: "hint pointer-only" }, h("kbd", {}, "A"), " ", t("ring.accept"), " · ", h("kbd", {}, "D"), " ",
        t("ring.decline"), " · ", h("kbd", {}, "Esc"), " ", t("ring.silence")),
    ], heading); // not the button: whoever types at this moment must not answer by it
    dialog?.classList.add("incoming");
  };

  /** @param {CallView} call  that we make */
  const outgoing = (call) => {
    const names = call.people.map((one) => one.name);
    const single = call.people.length === 1;
    const over = call.state === "ended";
    const cancel = action(over ? "plain" : "decline", over ? "close" : "leave", over ? "ring.close" : "ring.cancel", () => {
      line.hangUp();
      line.dismiss();
    });
    const again = over && call.people.every((one) => one.state !== "offline") && action("accept", "phone", "ring.again", () => {
      const people = call.people.map((one) => one.id);
      line.dismiss();
      void line.ring(people);
    });
    const status = over ? t(single ? RESULTS[call.people[0].state] : "ring.nobody", { name: names[0] })
      : t("ring.calling");
    open(`out ${JSON.stringify(call)}`, t("ring.calling-names", { names: names.join(", ") }), [
      single ? face(names[0], !over) : h("ul", { class: "ring-people" }, ...call.people.map((one) => h("li", {},
        h("span", { class: `avatar tone-${hue(one.name, 8)}`, "aria-hidden": "true" }, initials(one.name)),
        h("span", {}, one.name), h("small", { t: STATES[one.state] })))),
      single ? h("h2", {}, names[0]) : h("h2", {}, t("ring.several", { count: names.length })),
      h("p", { role: "status" }, status),
      h("div", { class: "ring-actions" }, cancel, again || ""),
    ], cancel);
    if (over) timer = setTimeout(() => line.dismiss(), RESULT_FOR);
  };

  line.addEventListener("ringing", (event) => {
    const { detail: call } = /** @type {CustomEvent<CallView>} */ (event);
    play("incoming");
    calmDown = alertUser(t("ring.incoming", { name: call.caller.name }), t("ring.notification"), "clarion-call");
  });
  line.addEventListener("silent", quiet);
  line.addEventListener("answered", quiet);
  line.addEventListener("over", (event) => {
    const { detail: call } = /** @type {CustomEvent<CallView>} */ (event);
    quiet();
    if (call.answered) play("over");
    else if (line.direction(call) === "out") play("busy");
  });

  let playing = "";
  const update = () => {
    const { call } = line;
    const mine = call?.people.find((one) => one.id === line.you.id)?.state;
    const out = call && line.direction(call) === "out";
    const ringsBack = out && call.state === "ringing" ? call.id : "";
    if (ringsBack && ringsBack !== playing) play("outgoing");
    playing = ringsBack;
    if (call && !out && mine === "ringing" && call.state !== "ended") incoming(call);
    else if (call && out && (call.state === "ringing" || (call.state === "ended" && !call.answered))) outgoing(call);
    else hide();
  };
  line.addEventListener("change", update);
  document.addEventListener("language", () => {
    shown = "";
    update();
  });
}
