// Notes when a page has clicked, and when each step of joining was done, in milliseconds of performance.now().
(() => {
  const times = {};
  let finish;
  window.finished = new Promise((resolve) => { finish = resolve; });
  const mark = (what) => {
    times[what] ??= performance.now();
    if (times.connected && times.audio && times.video) finish(times);
  };
  addEventListener("submit", () => mark("click"), true);
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(configuration) {
      super(configuration);
      mark("offering");
      this.addEventListener("connectionstatechange", () => mark(this.connectionState));
      // a contributing source is listed when a frame of it has been decoded and handed to who plays it
      const timer = setInterval(() => {
        for (const receiver of this.getReceivers()) {
          if (receiver.getSynchronizationSources().length) mark(receiver.track.kind);
        }
        if (this.connectionState === "closed") clearInterval(timer);
      }, 4);
    }

    async setRemoteDescription(description) {
      mark("answered");
      return super.setRemoteDescription(description);
    }
  };
})();
