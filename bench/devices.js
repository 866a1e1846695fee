// Devices that can be told apart: `window.person` = {hertz, colour}, set before, says what is heard and seen.
(() => {
  const { hertz, colour } = window.person;
  const make = ({ audio, video }) => {
    const stream = new MediaStream();
    if (audio) {
      const context = new AudioContext();
      const out = context.createMediaStreamDestination();
      const tone = new OscillatorNode(context, { frequency: hertz });
      tone.connect(new GainNode(context, { gain: 0.3 })).connect(out);
      tone.start();
      addEventListener("pointerdown", () => context.resume());
      stream.addTrack(out.stream.getAudioTracks()[0]);
    }
    if (video) {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [320, 240];
      const pen = canvas.getContext("2d");
      let frame = 0;
      setInterval(() => {
        pen.fillStyle = `rgb(${colour})`;
        pen.fillRect(0, 0, 320, 240);
        pen.fillStyle = "white";
        pen.fillRect((frame++ * 8) % 320, 200, 40, 40);
      }, 66);
      stream.addTrack(canvas.captureStream(15).getVideoTracks()[0]);
    }
    return stream;
  };
  const devices = navigator.mediaDevices ?? {}; // about:blank has none
  devices.getUserMedia = async (wish) => make(wish);
})();
