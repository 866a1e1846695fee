/** Languages: catalogues of strings, and the texts in the document that follow a switch. */

/** @type {Record<string, string>} */
export const LANGUAGES = { en: "English", "zh-CN": "简体中文" };

/** @type {Record<string, string>} */
let catalogue = {};
let current = "en";

export function language() {
  return current;
}

/**
 * @param {string} saved  the remembered choice, or ""
 * @param {readonly string[]} wanted  as navigator.languages
 * @returns {string} a key of LANGUAGES
 */
export function chooseLanguage(saved, wanted) {
  if (saved in LANGUAGES) return saved;
  for (const tag of wanted) {
    if (/^zh\b/i.test(tag)) return "zh-CN";
    if (/^en\b/i.test(tag)) return "en";
  }
  return "en";
}

/** @param {string} code  a key of LANGUAGES */
export async function loadLanguage(code) {
  const response = await fetch(`/static/locales/${code}.json`);
  if (!response.ok) throw new Error(`no language file for ${code}`);
  catalogue = await response.json();
  current = code;
  document.documentElement.lang = code;
  translate(document);
}

/**
 * @param {string} key
 * @param {Record<string, string | number>} [values]  for the {placeholders} of the string
 */
export function t(key, values = {}) {
  const text = catalogue[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

/** @param {string[]} names @returns {string} "Ada", "Ada and Bo", "Ada, Bo, and Cy" as the language has it */
export function listed(names) {
  return new Intl.ListFormat(current, { type: "conjunction" }).format(names);
}

/**
 * Write the texts of all elements that name a string: `data-t` as content, `data-label` as accessible name and
 * tooltip, `data-placeholder`.
 *
 * @param {ParentNode} root
 */
export function translate(root) {
  for (const element of root.querySelectorAll("[data-t], [data-label], [data-placeholder]")) {
    if (element instanceof HTMLElement) translateOne(element);
  }
}

/** @param {HTMLElement} element */
export function translateOne(element) {
  const { t: text, label, placeholder } = element.dataset;
  if (text) element.textContent = t(text);
  if (label) {
    element.setAttribute("aria-label", t(label));
    if (element instanceof HTMLButtonElement) element.title = t(label);
  }
  const field = element instanceof HTMLInputElement || element instanceof HTMLTextAreaElement;
  if (placeholder && field) element.placeholder = t(placeholder);
}
