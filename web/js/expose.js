/** `window.clarion`: what tests and support may read of a call. No secrets, nothing to change. */

/** @param {import("./call.js").Call} call */
export function expose(call) {
  const view = {
    get state() {
      return call.state;
    },
    get connection() {
      return call.peer?.connection.connectionState ?? "new";
    },
    get self() {
      return call.roster.selfId;
    },
    get participants() {
      return [...call.roster.people.values()].map((person) => {
        const { id, name, kind, connected, isSelf, speaking } = person;
        const publications = [...person.publications.values()].map((one) => ({ ...one }));
        return { id, name, kind, connected, isSelf, speaking, publications };
      });
    },
    /** What we publish, by source. */
    get publications() {
      return Object.fromEntries([...call.publisher.publications].map(([source, one]) => [source, { ...one }]));
    },
    get slots() {
      return [...call.roster.slots.values()].map((slot) => ({ ...slot }));
    },
    /** @param {string} publication @returns {MediaStreamTrack | null} what is received of it */
    track: (publication) => call.trackOf(publication),
    /** @returns {Promise<object[]>} the report of getStats() */
    async stats() {
      const report = await call.peer?.connection.getStats();
      return report ? [...report.values()] : [];
    },
  };
  Object.defineProperty(window, "clarion", { value: Object.freeze(view), configurable: true });
}
