/** Where the tiles go: pure geometry, in CSS pixels. */

/** @typedef {{x: number, y: number, width: number, height: number}} Box */
/** `more` is the place of the button for those who are hidden. */
/** @typedef {{boxes: Map<string, Box>, hidden: string[], more: Box | null}} Arrangement */

const GAP = 12;
/** Width to height of a camera picture, and how far a tile may stray from it before it is letterboxed. */
const CAMERA_ASPECT = 16 / 9;
const NARROWEST = 3 / 4;
const WIDEST = 16 / 9;
/** How much a cropped picture, and each empty place in the last row, count against a grid; settled by looking. */
const CROP_WEIGHT = 0.2;
const EMPTY_COST = 0.03;
/** A tile smaller than this says nothing any more. */
const LEAST_WIDTH = 132;
const LEAST_HEIGHT = 96;
const MOST_TILES = 16;
/** Share of the longer side that the strip beside a stage takes, with bounds in px. */
const STRIP_SHARE = 0.2;
const STRIP_LEAST = 108;
const STRIP_MOST = 240;
/** Below this width a strip has upright tiles, so that three fit beside one another. */
const PHONE_WIDTH = 500;

/**
 * The columns and tile size that show the most picture for `count` equal tiles.
 *
 * @param {number} count @param {number} width @param {number} height
 * @returns {{columns: number, rows: number, width: number, height: number}}
 */
export function bestGrid(count, width, height) {
  let best = { columns: 1, rows: count, width: 0, height: 0 };
  let bestScore = -1;
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    let w = (width - GAP * (columns - 1)) / columns;
    let h = (height - GAP * (rows - 1)) / rows;
    if (w <= 0 || h <= 0) continue;
    if (w / h > WIDEST) w = h * WIDEST;
    if (w / h < NARROWEST) h = w / NARROWEST;
    // the share of a camera picture that is left when it covers the tile
    const shown = Math.min(w / h, CAMERA_ASPECT) / Math.max(w / h, CAMERA_ASPECT);
    const empty = columns * rows - count;
    const score = w * h * shown ** CROP_WEIGHT * (1 - EMPTY_COST * empty);
    if (score > bestScore) {
      bestScore = score;
      best = { columns, rows, width: w, height: h };
    }
  }
  return best;
}

/**
 * Equal tiles, centred, a last row that is not full centred too.
 *
 * @param {readonly string[]} ids @param {number} width @param {number} height
 * @returns {Arrangement}
 */
export function arrangeGrid(ids, width, height) {
  if (ids.length === 1) return arrangeStage(ids[0], [], width, height);
  let count = Math.min(ids.length, MOST_TILES);
  let grid = bestGrid(count, width, height);
  while (count > 1 && (grid.width < LEAST_WIDTH || grid.height < LEAST_HEIGHT)) {
    count -= 1;
    grid = bestGrid(count, width, height);
  }
  const shown = count < ids.length ? ids.slice(0, count - 1) : ids;
  /** @type {Map<string, Box>} */ const boxes = new Map();
  /** @type {Box | null} */ let more = null;
  const top = (height - grid.rows * grid.height - (grid.rows - 1) * GAP) / 2;
  for (let index = 0; index < count; index += 1) {
    const row = Math.floor(index / grid.columns);
    const inRow = Math.min(grid.columns, count - row * grid.columns);
    const left = (width - inRow * grid.width - (inRow - 1) * GAP) / 2;
    const box = {
      x: left + (index - row * grid.columns) * (grid.width + GAP),
      y: top + row * (grid.height + GAP),
      width: grid.width,
      height: grid.height,
    };
    if (index < shown.length) boxes.set(shown[index], box);
    else more = box;
  }
  return { boxes, hidden: ids.slice(shown.length), more };
}

/**
 * One large tile, the others in a strip beside it (below it, where the space is taller than wide).
 *
 * @param {string} stage @param {readonly string[]} others @param {number} width @param {number} height
 * @returns {Arrangement}
 */
export function arrangeStage(stage, others, width, height) {
  if (others.length === 0) return { boxes: new Map([[stage, { x: 0, y: 0, width, height }]]), hidden: [], more: null };
  const upright = height > width;
  const long = upright ? width : height;
  const share = (upright ? height : width) * STRIP_SHARE;
  const strip = Math.min(width < PHONE_WIDTH ? 144 : STRIP_MOST, Math.max(STRIP_LEAST, share));
  const size = upright
    ? { width: strip * (width < PHONE_WIDTH ? NARROWEST : 1.2), height: strip }
    : { width: strip, height: strip / CAMERA_ASPECT };
  const step = (upright ? size.width : size.height) + GAP;
  const room = Math.max(1, Math.floor((long + GAP) / step));
  const shown = others.length > room ? others.slice(0, room - 1) : others;
  const places = Math.min(others.length, room);
  const start = (long - places * step + GAP) / 2;
  const place = (/** @type {number} */ index) => (upright
    ? { x: start + index * step, y: height - strip, ...size }
    : { x: width - strip, y: start + index * step, ...size });
  const boxes = new Map([[stage, upright
    ? { x: 0, y: 0, width, height: height - strip - GAP }
    : { x: 0, y: 0, width: width - strip - GAP, height }]]);
  shown.forEach((id, index) => boxes.set(id, place(index)));
  return { boxes, hidden: others.slice(shown.length), more: shown.length < places ? place(places - 1) : null };
}

/**
 * Two people: the other fills the space, we float in a corner.
 *
 * @param {string} other @param {string} self @param {number} width @param {number} height
 * @returns {Arrangement}
 */
export function arrangePair(other, self, width, height) {
  const upright = height > width;
  const own = upright ? { width: 108, height: 144 } : { width: Math.min(256, width * 0.24), height: 0 };
  if (!upright) own.height = own.width / CAMERA_ASPECT;
  return {
    boxes: new Map([
      [other, { x: 0, y: 0, width, height }],
      [self, { x: width - own.width - 16, y: height - own.height - 16, ...own }],
    ]),
    hidden: [],
    more: null,
  };
}

/**
 * Which tiles to show when not all can be: those who spoke last, without moving anybody who stays.
 *
 * @param {readonly {id: string, spoke: number, keep: boolean}[]} tiles  in their order
 * @param {number} room
 * @returns {string[]} ids in the same order, those without a place last
 */
export function byImportance(tiles, room) {
  if (tiles.length <= room) return tiles.map((tile) => tile.id);
  const ranked = [...tiles].sort((a, b) => Number(b.keep) - Number(a.keep) || b.spoke - a.spoke);
  const chosen = new Set(ranked.slice(0, room).map((tile) => tile.id));
  return [...tiles.filter((tile) => chosen.has(tile.id)), ...tiles.filter((tile) => !chosen.has(tile.id))]
    .map((tile) => tile.id);
}
