/** The picture of the start page: a voice, and the rings that carry it to others. Decoration only. */

const SVG = "http://www.w3.org/2000/svg";
/** Of the picture, both ways. */
const CENTRE = 240;

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
    s("path", {
      class: "hero-face", d: `M${x - r * 0.55} ${y + r * 0.62}a${r * 0.55} ${r * 0.5} 0 0 1 ${r * 1.1} 0z`,
    }));
}

/** @param {number} r @param {number} degrees @returns {[number, number]} a point on a ring */
function onRing(r, degrees) {
  const angle = (degrees * Math.PI) / 180;
  return [CENTRE + r * Math.cos(angle), CENTRE + r * Math.sin(angle)];
}

/** Part of a ring, open towards the right like the C of the mark. @param {number} r @param {number} index */
function ring(r, index) {
  const half = 32 + index * 7;
  const [x1, y1] = onRing(r, half);
  const [x2, y2] = onRing(r, -half);
  const left = s("path", { class: `hero-ring ring-${index}`, d: `M${x1} ${y1}A${r} ${r} 0 1 1 ${x2} ${y2}` });
  const [x3, y3] = onRing(r, -half + 16);
  const [x4, y4] = onRing(r, half - 16);
  const right = s("path", { class: `hero-sound sound-${index}`, d: `M${x3} ${y3}A${r} ${r} 0 0 1 ${x4} ${y4}` });
  return [left, right];
}

export function hero() {
  return s("svg", { class: "hero", viewBox: "0 0 480 480", "aria-hidden": "true" },
    ...[84, 132, 180, 228].flatMap(ring),
    listener(...onRing(132, -128), 36, "tone-a"),
    listener(...onRing(180, -30), 42, "tone-b"),
    listener(...onRing(228, 118), 34, "tone-c"),
    listener(...onRing(180, 168), 38, "tone-d"),
    listener(...onRing(132, 62), 30, "tone-e"),
    s("g", { class: "hero-voice" },
      s("circle", { cx: CENTRE, cy: CENTRE, r: 48 }),
      ...[[-20, 10], [-10, 22], [0, 34], [10, 20], [20, 9]].map(([x, half], index) => s("path", {
        class: `hero-bar bar-${index}`, d: `M${CENTRE + x} ${CENTRE - half / 1.6}V${CENTRE + half / 1.6}`,
      }))));
}
