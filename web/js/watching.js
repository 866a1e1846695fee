/** Which video matters to us: told to the server when it changes, a few changes at a time. */

/** Milliseconds for which changes are gathered. */
const DELAY = 80;
/** What the server takes for granted. */
const ALL = JSON.stringify({ publications: null, heights: {} });

export class Watching {
  /** What the server was last told, as JSON. */
  #told = ALL;
  /** @type {number | undefined} */ #timer;

  /** @param {(view: {publications: string[] | null, heights: Record<string, number>}) => void} tell */
  constructor(tell) {
    this.tell = tell;
  }

  /**
   * @param {string[]} wanted  publications, most wanted first
   * @param {boolean} choose  whether our order differs from what the server would do by itself
   * @param {Record<string, number>} heights  device pixels at which publications are shown, 0: not at all
   */
  watch(wanted, choose, heights) {
    const view = JSON.stringify({ publications: choose ? wanted : null, heights });
    if (view === this.#told) return;
    this.#told = view;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.tell(JSON.parse(this.#told));
    }, DELAY);
  }

  /** A new session: it has been told nothing. */
  forget() {
    this.#told = ALL;
  }

  close() {
    clearTimeout(this.#timer);
  }
}
