// A camera that flashes and a microphone that beeps at once, over a voice that never pauses, since sound and picture are
// put together of those who speak; `lipsync` tells when both are seen and heard elsewhere.
(() => {
  const PERIOD = 1000, LASTS = 120; // ms
  const VOICE = 0.06, BEEP = 0.5, LOUD = 0.25; // amplitudes: -27 dBov, which is speech; and what only a beep reaches
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
    tone.connect(new GainNode(context, { gain: BEEP })).connect(out);
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
      pen.fillStyle = `hsl(${(place * 7 + frame * 3) % 360} 60% 30%)`;
      pen.fillRect((place % 8) * 80, Math.floor(place / 8) * 80, 80, 80);
    }
    // as large as a mouth: a flash of the whole picture is a frame that takes longer than any of a face
    if (white) pen.fillStyle = "white";
    pen.fillRect(240, 160, 160, 160);
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
        const voice = new OscillatorNode(context, { frequency: 300 });
        voice.connect(new GainNode(context, { gain: VOICE })).connect(out);
        voice.start();
      }
      stream.addTrack(out.stream.getAudioTracks()[0].clone());
    }
    return stream;
  };

  /** Sums of what sound still takes from a track to the loudspeaker (ms), by what the browser says of its output. */
  const output = (statistics) => {
    const playout = statistics.find(({ type }) => type === "media-playout");
    return [playout.totalPlayoutDelay * 1000, playout.totalSamplesCount];
  };
  /** Note when each beep leaves a track. What it gives has the time of a clock of its own: the quickest tells it. */
  const listen = async (track, heard) => {
    const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
    let [quiet, offset] = [Infinity, Infinity];
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const samples = new Float32Array(value.numberOfFrames);
      value.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
      const { sampleRate } = value;
      offset = Math.min(offset, performance.now() - value.timestamp / 1000);
      samples.forEach((sample, place) => {
        quiet += 1;
        if (Math.abs(sample) < LOUD) return;
        if (quiet > (PERIOD / 2000) * sampleRate) heard.push(value.timestamp / 1000 + offset + (place / sampleRate) * 1000);
        quiet = 0;
      });
      value.close();
    }
  };
  /** Note when each flash is on the display. */
  const look = (video, seen) => {
    const eyes = new OffscreenCanvas(8, 8).getContext("2d", { willReadFrequently: true });
    let bright = false;
    const note = (_, { expectedDisplayTime }) => {
      const [unit, down] = [video.videoWidth / width, video.videoHeight / height];
      eyes.drawImage(video, 260 * unit, 180 * down, 120 * unit, 120 * down, 0, 0, 8, 8);
      const pixels = eyes.getImageData(0, 0, 8, 8).data;
      const now = pixels.reduce((sum, one) => sum + one, 0) / pixels.length > 220;
      if (now && !bright) seen.push(expectedDisplayTime);
      bright = now;
      video.requestVideoFrameCallback(note);
    };
    video.requestVideoFrameCallback(note);
  };

  /** When (ms since the epoch) beeps left the loudspeaker and flashes the display, for so many seconds. */
  const watch = async (track, video, statistics, seconds) => {
    const voice = track.clone();
    const [heard, seen] = [[], []];
    const before = output(await statistics());
    void listen(voice, heard);
    look(video, seen);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    voice.stop();
    const after = output(await statistics());
    const late = (after[0] - before[0]) / (after[1] - before[1]);
    return [heard.map((moment) => epoch(moment + late)), seen.map(epoch)];
  };

  /** The same in a call. */
  window.lipsync = (seconds) => {
    const other = clarion.participants.find((one) => !one.isSelf);
    const voice = clarion.track(other.publications.find((one) => one.source === "microphone").id);
    return watch(voice, document.querySelector(".tile:not(.self) video"), clarion.stats, seconds);
  };

  /** The same from this page to itself, as the browser does it for tracks of one MediaStream. */
  window.reference = async (settle, seconds) => {
    const [one, other] = [new RTCPeerConnection(), new RTCPeerConnection()];
    one.onicecandidate = ({ candidate }) => candidate && other.addIceCandidate(candidate);
    other.onicecandidate = ({ candidate }) => candidate && one.addIceCandidate(candidate);
    const far = new MediaStream();
    other.ontrack = ({ track }) => far.addTrack(track);
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
    for (const track of stream.getTracks()) one.addTrack(track, stream);
    await one.setLocalDescription();
    await other.setRemoteDescription(one.localDescription);
    await other.setLocalDescription();
    await one.setRemoteDescription(other.localDescription);
    const video = document.createElement("video");
    video.srcObject = far;
    document.body.append(video);
    await video.play();
    await new Promise((resolve) => setTimeout(resolve, settle * 1000));
    const statistics = async () => [...(await other.getStats()).values()];
    const found = await watch(far.getAudioTracks()[0], video, statistics, seconds);
    one.close();
    other.close();
    return found;
  };
})();
