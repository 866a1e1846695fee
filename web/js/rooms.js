/** Names of rooms, as the server accepts them: see signaling/names.py. */

const MOST_CHARACTERS = 64;
/** Letters that are not mistaken for one another when read aloud or copied by hand. */
const ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789";
const SUFFIX = 5;

const QUALITIES = (
  "amber autumn bold brass bright calm clear coral crisp early fair gentle golden happy hazel ivory jade kind " +
  "late lively lucky mellow merry mint noble north open pearl plain proud quick quiet rosy ruby silver snowy " +
  "soft solar south spring still summer sunny swift tidal true velvet warm west winter"
).split(" ");
const THINGS = (
  "anchor arbor aspen bay beacon bell birch bridge brook canyon cedar cove creek dawn delta dune echo falcon fern " +
  "field finch fjord forest garden glade harbor harp haven heron hill horn island lagoon lake lark maple meadow " +
  "orchard otter peak pine prairie reef ridge river robin shore sparrow stone tide valley willow wren"
).split(" ");

/** @param {number} count @returns {number} a random number below `count` */
function pick(count) {
  const [value] = crypto.getRandomValues(new Uint32Array(1));
  return value % count;
}

/** @returns {string} a name that is easy to say and hard to guess */
export function randomRoom() {
  const suffix = Array.from({ length: SUFFIX }, () => ALPHABET[pick(ALPHABET.length)]).join("");
  return `${QUALITIES[pick(QUALITIES.length)]}-${THINGS[pick(THINGS.length)]}-${suffix}`;
}

/**
 * @param {string} text  a name as typed, or a whole link to a room
 * @returns {string} the name, "" when nothing of it can name a room
 */
export function normaliseRoom(text) {
  const link = /\/r\/([^/?#\s]+)/.exec(text);
  let name = text;
  if (link) {
    try {
      name = decodeURIComponent(link[1]);
    } catch {
      return "";
    }
  }
  return [...name.normalize("NFC").trim().replace(/\s+/g, "-").replace(/[^\p{L}\p{M}\p{N}._-]/gu, "")
    .replace(/^[^\p{L}\p{N}]+/u, "")].slice(0, MOST_CHARACTERS).join("");
}

/** @param {string} room @returns {string} the link to share; without a token, which is one's own */
export function linkTo(room) {
  return `${location.origin}/r/${encodeURIComponent(room)}`;
}

/** @param {string} name @returns {string} one or two letters; of a Chinese name, its last two characters */
export function initials(name) {
  const letters = [...name.trim()];
  if (letters.length === 0) return "?";
  if (/\p{Script=Han}|\p{Script=Hangul}|\p{Script=Hiragana}|\p{Script=Katakana}/u.test(letters[0])) {
    return letters.slice(-2).join("");
  }
  const words = name.trim().split(/\s+/);
  const first = [...words[0]][0];
  const last = words.length > 1 ? [...words[words.length - 1]][0] : "";
  return (first + last).toLocaleUpperCase();
}

/** @param {string} text @param {number} count @returns {number} a number below `count` that stays the same */
export function hue(text, count) {
  let sum = 0;
  for (const letter of text) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) >>> 0;
  return sum % count;
}
