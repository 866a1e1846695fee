/** A modal dialog: the browser traps the focus in it, Esc and a touch outside close it. */

import { h, icon } from "../dom.js";

/**
 * @param {{title: string, name?: string, className?: string, body: (Node | string)[], onClose?: () => void,
 *   focus?: HTMLElement}} options  `title` names a string, `name` stands in its place; `focus` is the likely next step, else the title is read
 * @returns {HTMLDialogElement} open, and gone from the document once closed
 */
export function openDialog({ title, name = "", className = "", body, onClose, focus }) {
  const id = `dialog-${Math.random().toString(36).slice(2, 8)}`;
  const heading = name ? h("h2", { id, tabIndex: -1 }, name) : h("h2", { id, t: title, tabIndex: -1 });
  const dialog = h("dialog", { class: `dialog ${className}`, "aria-labelledby": id },
    h("div", { class: "dialog-head" }, heading,
      h("button", {
        class: "quiet", type: "button", label: "dialog.close", onclick: () => dialog.close(),
      }, icon("close"))),
    h("div", { class: "dialog-body" }, ...body));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => {
    dialog.remove();
    onClose?.();
  });
  document.body.append(dialog);
  dialog.showModal();
  (focus ?? heading).focus();
  return dialog;
}
