// A camera that flashes and a microphone that beeps at once; `lipsync` tells when both are seen and heard elsewhere.
(() => {
  const PERIOD = 1500, LASTS = 120; // ms
  const [width, height] = [640, 480];
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const pen = canvas.getContext("2d");
  const epoch = (moment) => performance.timeOrigin + moment;
  let context, out, white = false, frame = 0;
  /** When (ms since the epoch) each flash was drawn and each beep began. */
  window.flashes = [];
  const beep = () => {
    const tone = new OscillatorNode(context, { frequency: 1000 });
    tone.connect(new GainNode(context, { gain: 0.5 })).connect(out);
    tone.start();
    tone.stop(context.currentTime + LASTS / 1000);
  };
  const draw = () => {
    frame += 1;
    const flash = performance.now() % PERIOD < LASTS;
    if (flash && !white && out) {
      beep();
      flashes.push(epoch(performance.now()));
    }
    white = flash;
    for (let place = 0; place < 48; place += 1) {
      pen.fillStyle = white ? "white" : `hsl(${(place * 7 + frame * 3) % 360} 60% 30%)`;
      pen.fillRect((place % 8) * 80, Math.floor(place / 8) * 80, 80, 80);
    }
  };
  if (navigator.mediaDevices) navigator.mediaDevices.getUserMedia = async ({ audio, video }) => {
    const stream = new MediaStream();
    if (video) {
      setInterval(draw, 33);
      stream.addTrack(canvas.captureStream(30).getVideoTracks()[0]);
    }
    if (audio) {
      context ??= new AudioContext();
      if (!out) {
        out = context.createMediaStreamDestination();
        // without any sound between the beeps nothing would be sent
        const hum = new OscillatorNode(context, { frequency: 300 });
        hum.connect(new GainNode(context, { gain: 0.01 })).connect(out);
        hum.start();
      }
      stream.addTrack(out.stream.getAudioTracks()[0].clone());
    }
    return stream;
  };

  /** When (ms since the epoch) beeps were heard and flashes seen, for so many seconds. */
  window.lipsync = async (seconds) => {
    const other = clarion.participants.find((one) => !one.isSelf);
    const voice = clarion.track(other.publications.find((one) => one.source === "microphone").id);
    const video = document.querySelector(".tile:not(.self) video");
    const ears = new AudioContext();
    const analyser = new AnalyserNode(ears, { fftSize: 256 });
    ears.createMediaStreamSource(new MediaStream([voice])).connect(analyser);
    const eyes = new OffscreenCanvas(8, 8).getContext("2d", { willReadFrequently: true });
    const samples = new Float32Array(analyser.fftSize);
    const [heard, seen] = [[], []];
    let [loud, bright, over] = [false, false, false];
    const listen = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const now = Math.max(...samples) > 0.05;
      if (now && !loud && performance.now() - (heard.at(-1) ?? 0) > PERIOD / 2) heard.push(performance.now());
      loud = now;
    }, 4);
    const look = (_, { presentationTime }) => {
      eyes.drawImage(video, 0, 0, 8, 8);
      const pixels = eyes.getImageData(0, 0, 8, 8).data;
      const now = pixels.reduce((sum, one) => sum + one, 0) / pixels.length > 220;
      if (now && !bright) seen.push(presentationTime);
      bright = now;
      if (!over) video.requestVideoFrameCallback(look);
    };
    video.requestVideoFrameCallback(look);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    over = true;
    clearInterval(listen);
    await ears.close();
    return [heard.map(epoch), seen.map(epoch)];
  };
})();
