// Notes when the frames of a <video> are shown; gives one of them.
(() => {
  const shown = [];
  let watched = null;
  window.watch = {
    begin(video) {
      watched = video;
      const note = (_, { presentationTime, presentedFrames }) => {
        shown.push([presentationTime, presentedFrames]);
        video.requestVideoFrameCallback(note);
      };
      video.requestVideoFrameCallback(note);
    },
    /** The clock, and since `since` when which frame was shown (the page is not told of each): ms, running number. */
    since: (since) => [performance.now(), shown.filter(([time]) => time > since)],
    /** The picture now, as base64 PNG. */
    picture(width, height) {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [width, height];
      canvas.getContext("2d").drawImage(watched, 0, 0, width, height);
      return canvas.toDataURL("image/png").split(",")[1];
    },
  };
})();
