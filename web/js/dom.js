/** Building the document without a framework. */

import { translateOne } from "./i18n.js";

/**
 * Make an element. Properties: `class`; `t`, `label`, `placeholder` name a string of the catalogue (see i18n.js);
 * `on…` is a listener; `data-…`, `aria-…`, `role`, `for` are attributes; others are properties of the element.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, unknown>} [properties]
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined) continue;
    if (key === "class") element.className = String(value);
    else if (key === "t" || key === "label" || key === "placeholder") element.dataset[key] = String(value);
    else if (key.startsWith("on")) {
      element.addEventListener(key.slice(2), /** @type {EventListener} */ (value));
    } else if (/^(data-|aria-|role$|for$|list$)/.test(key)) element.setAttribute(key, String(value));
    else Object.assign(element, { [key]: value });
  }
  translateOne(element);
  for (const child of children) if (child) element.append(child);
  return element;
}

/**
 * An icon of icons.svg; decorative, the control that holds it has the name.
 *
 * @param {string} name
 */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `/static/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/** @param {Element} holder  an element that contains an icon() @param {string} name */
export function setIcon(holder, name) {
  const use = holder.querySelector("use");
  const href = `/static/icons.svg#${name}`;
  if (use && use.getAttribute("href") !== href) use.setAttribute("href", href);
}

/** @param {HTMLElement} element @param {string} key  a new name for a control */
export function setLabel(element, key) {
  if (element.dataset.label === key) return;
  element.dataset.label = key;
  translateOne(element);
}

/** @param {HTMLElement} element @param {string} key  a new text for an element */
export function setText(element, key) {
  if (element.dataset.t === key) return;
  element.dataset.t = key;
  translateOne(element);
}

/**
 * Set text without touching the document when nothing changed, so that screen readers stay quiet.
 *
 * @param {Node} node
 * @param {string} text
 */
export function setContent(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
