/** Text that people wrote, as nodes: links can be followed, nothing else is anything but text. */

import { h } from "./dom.js";

const LINK = /\b(?:https?:\/\/|www\.)[^\s<>"'`]+/giu;
/** What ends a sentence, not the link in it. */
const TRAILING = /[.,;:!?)\]}'"。，、；：！？）】》」』…]+$/u;
const ONLY_EMOJI = /^(?:\p{Extended_Pictographic}[\u{1f3fb}-\u{1f3ff}\ufe0f\u200d]*){1,3}$/u;

/** @param {string} text @returns {(string | HTMLAnchorElement)[]} */
export function linked(text) {
  /** @type {(string | HTMLAnchorElement)[]} */ const nodes = [];
  let from = 0;
  for (const match of text.matchAll(LINK)) {
    const shown = trimmed(match[0]);
    const href = /^www\./i.test(shown) ? `https:\/\/${shown}` : shown;
    if (!URL.canParse(href)) continue;
    nodes.push(text.slice(from, match.index));
    nodes.push(h("a", { href, target: "_blank", rel: "noopener noreferrer nofollow" }, shown));
    from = match.index + shown.length;
  }
  nodes.push(text.slice(from));
  return nodes.filter((node) => node !== "");
}

/** @param {string} text  whether it is one to three emoji and nothing else, to be shown large */
export function isOnlyEmoji(text) {
  return ONLY_EMOJI.test(text.trim());
}

/** @param {string} link  without the full stop behind it, but with a bracket that was opened in it */
function trimmed(link) {
  const [tail] = TRAILING.exec(link) ?? [""];
  const opened = link.includes("(") && tail.startsWith(")") ? 1 : 0;
  return link.slice(0, link.length - tail.length + opened);
}
