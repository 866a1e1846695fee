/** What this browser remembers: preferences, recent rooms, and for this tab the token of a room. */

/**
 * @typedef {object} Preferences
 * @property {string} name
 * @property {boolean} micOn
 * @property {boolean} cameraOn
 * @property {string} microphone  device id, empty: the system's choice
 * @property {string} camera      device id
 * @property {string} speaker     device id
 * @property {"" | "light" | "dark"} theme  empty: the system's
 * @property {string} language    empty: from navigator.languages
 * @property {boolean} reachable  wants to be called
 */

/** @type {Preferences} */
const DEFAULTS = {
  name: "", micOn: true, cameraOn: true, microphone: "", camera: "", speaker: "", theme: "", language: "",
  reachable: false,
};
const PREFERENCES = "clarion.preferences";
const RECENT = "clarion.recent";
const RECENT_ROOMS = 5;

/**
 * @param {string} key
 * @returns {unknown} the stored value, or null when there is none or storage is closed to us
 */
function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key) ?? "null");
  } catch {
    return null;
  }
}

/** @param {string} key @param {unknown} value */
function write(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // private windows may refuse: the page works, it only forgets
  }
}

/** @returns {Preferences} */
export function preferences() {
  const stored = read(PREFERENCES);
  const result = { ...DEFAULTS };
  if (typeof stored !== "object" || stored === null) return result;
  for (const [key, value] of Object.entries(stored)) {
    if (key in DEFAULTS && typeof value === typeof DEFAULTS[/** @type {keyof Preferences} */ (key)]) {
      Object.assign(result, { [key]: value });
    }
  }
  return result;
}

/** @param {Partial<Preferences>} changes */
export function remember(changes) {
  write(PREFERENCES, { ...preferences(), ...changes });
}

/** @returns {string[]} room names, latest first */
export function recentRooms() {
  const stored = read(RECENT);
  return Array.isArray(stored) ? stored.filter((name) => typeof name === "string").slice(0, RECENT_ROOMS) : [];
}

/** @param {string} room */
export function rememberRoom(room) {
  write(RECENT, [room, ...recentRooms().filter((name) => name !== room)].slice(0, RECENT_ROOMS));
}

export function forgetRooms() {
  write(RECENT, []);
}

/** @param {string} room @param {string} token  keep it for this tab */
export function keepToken(room, token) {
  try {
    if (token) sessionStorage.setItem(`clarion.token.${room}`, token);
  } catch {
    // without storage a reload has to be invited again
  }
}

/**
 * Take the token out of the address, so that it is neither shared with a screen nor copied with the link,
 * and keep it for this tab only.
 *
 * @param {string} room  "" for the token that makes reachable
 * @returns {string} the token, or "" when there is none
 */
export function takeToken(room) {
  const key = `clarion.token.${room}`;
  const url = new URL(location.href);
  const fragment = new URLSearchParams(url.hash.slice(1));
  const token = fragment.get("token") ?? url.searchParams.get("token") ?? "";
  try {
    if (token) sessionStorage.setItem(key, token);
    else return sessionStorage.getItem(key) ?? "";
  } catch {
    return token; // it stays in the address, where a reload finds it again
  }
  fragment.delete("token");
  url.searchParams.delete("token");
  url.hash = fragment.toString();
  history.replaceState(history.state, "", url);
  return token;
}
