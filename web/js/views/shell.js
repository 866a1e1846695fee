/** What the quiet pages share: the mark, the switches of theme and language. */

import { h, icon, setIcon, setLabel } from "../dom.js";
import { LANGUAGES, language, loadLanguage } from "../i18n.js";
import { preferences, remember } from "../store.js";

const THEMES = /** @type {const} */ (["", "light", "dark"]);
const THEME_ICONS = { "": "auto", light: "sun", dark: "moon" };
const THEME_LABELS = { "": "theme.auto", light: "theme.light", dark: "theme.dark" };

export function mark() {
  return h("img", { class: "mark", src: "/static/favicon.svg", alt: "", width: 32, height: 32 });
}

export function themeSwitch() {
  const button = h("button", { class: "quiet", type: "button", label: "theme.auto" }, icon("auto"));
  const show = () => {
    const { theme } = preferences();
    setIcon(button, THEME_ICONS[theme]);
    setLabel(button, THEME_LABELS[theme]);
  };
  button.addEventListener("click", () => {
    remember({ theme: THEMES[(THEMES.indexOf(preferences().theme) + 1) % THEMES.length] });
    document.dispatchEvent(new Event("theme"));
    show();
  });
  show();
  return button;
}

export function languageSwitch() {
  const select = h("select", { label: "language.label" });
  for (const [code, name] of Object.entries(LANGUAGES)) {
    select.append(h("option", { value: code, selected: code === language(), lang: code }, name));
  }
  select.addEventListener("change", async () => {
    remember({ language: select.value });
    await loadLanguage(select.value);
    document.dispatchEvent(new Event("language"));
  });
  return h("span", { class: "language" }, icon("globe"), select);
}

/** @param {import("../main.js").Navigation} navigation */
export function header(navigation) {
  const home = h("a", { class: "brand", href: "/" }, mark(), h("span", {}, "Clarion"));
  home.addEventListener("click", (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    navigation.start();
  });
  return h("header", { class: "top" }, home, h("div", { class: "switches" }, languageSwitch(), themeSwitch()));
}
