/** The picture of the start page: a voice, and the rings that carry it to others. Decoration only. */

const SVG = "http://www.w3.org/2000/svg";

/** @param {string} name @param {Record<string, string | number>} attributes @param {SVGElement[]} children */
function s(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
}

/** @param {number} x @param {number} y @param {number} r @param {string} tone */
function listener(x, y, r, tone) {
  return s("g", { class: `hero-person ${tone}` },
    s("circle", { cx: x, cy: y, r }),
    s("circle", { class: "hero-face", cx: x, cy: y - r * 0.2, r: r * 0.3 }),
    s("path", { class: "hero-face", d: `M${x - r * 0.55} ${y + r * 0.62}a${r * 0.55} ${r * 0.5} 0 0 1 ${r * 1.1} 0z` }));
}

export function hero() {
  const rings = [70, 118, 166, 214].map((r, index) => s("circle", {
    class: `hero-ring ring-${index}`, cx: 240, cy: 230, r, "stroke-dasharray": `${r * 4.5} ${r * 1.78}`,
    transform: `rotate(${-120 + index * 34} 240 230)`,
  }));
  return s("svg", { class: "hero", viewBox: "0 0 480 460", "aria-hidden": "true" },
    ...rings,
    listener(122, 112, 34, "tone-a"),
    listener(392, 172, 42, "tone-b"),
    listener(338, 372, 30, "tone-c"),
    listener(96, 322, 38, "tone-d"),
    s("g", { class: "hero-voice" },
      s("circle", { cx: 240, cy: 230, r: 46 }),
      ...[[-20, 10], [-10, 22], [0, 32], [10, 20], [20, 9]].map(([x, half], index) => s("path", {
        class: `hero-bar bar-${index}`, d: `M${240 + x} ${230 - half / 1.6}V${230 + half / 1.6}`,
      }))));
}
