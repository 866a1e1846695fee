// What a test asks of a page: `senses.tone(hertz)`, `senses.picture(participant)`, `senses.record()` ….
window.senses = (() => {
  const now = () => (performance.timeOrigin + performance.now()) / 1000;
  const analyse = async (fftSize) => {
    const context = new AudioContext();
    await context.resume();
    const analyser = new AnalyserNode(context, { fftSize, smoothingTimeConstant: 0 });
    for (const { srcObject } of document.querySelectorAll("audio")) {
      context.createMediaStreamSource(srcObject).connect(analyser);
    }
    return { context, analyser };
  };

  /** Decibels of each tone in all that plays here. */
  const tones = async (wanted) => {
    const { context, analyser } = await analyse(8192);
    await new Promise((resolve) => setTimeout(resolve, 350)); // fills the window of the analyser
    const bins = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(bins);
    const levels = wanted.map((hertz) => {
      const middle = Math.round(hertz * 8192 / context.sampleRate);
      return Math.max(-200, ...bins.slice(middle - 3, middle + 4));
    });
    await context.close();
    return levels;
  };

  /** Colour in the upper half of a participant's tile, and whether the white square below moves. */
  const picture = async (participant) => {
    const video = document.querySelector(`[data-tile="${participant}"] video`);
    const pen = new OffscreenCanvas(320, 240).getContext("2d", { willReadFrequently: true });
    const square = () => {
      pen.drawImage(video, 0, 0, 320, 240);
      const row = pen.getImageData(0, 220, 320, 1).data;
      return Array.from({ length: 40 }, (_, i) => row[i * 32] > 190 && row[i * 32 + 2] > 190 ? 1 : 0).join("");
    };
    const before = square();
    const [r, g, b] = pen.getImageData(160, 100, 1, 1).data;
    const end = performance.now() + 3000;
    while (square() === before && performance.now() < end) await new Promise(requestAnimationFrame);
    return { colour: [r, g, b], moves: square() !== before };
  };

  /** Notes the loudness of all that plays every 5 ms, [Unix seconds, RMS], until stop(). */
  const record = async () => {
    const { context, analyser } = await analyse(256);
    const samples = new Float32Array(256);
    const levels = [];
    const timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      levels.push([now(), Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / 256)]);
    }, 5);
    const stop = async () => {
      clearInterval(timer);
      await context.close();
      return levels;
    };
    window.recording = { levels, stop };
  };

  /** Unix seconds at which a text first stands in the document. */
  const appears = (text) => new Promise((resolve) => {
    const look = () => document.body.innerText.includes(text) && resolve(now());
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
    look();
  });

  return { tones, picture, record, appears, now };
})();
