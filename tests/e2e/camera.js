// A camera of 640×480 at 30 pictures a second in which everything moves; `connection` is the page's peer connection.
(() => {
  const [width, height] = [640, 480];
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const pen = canvas.getContext("2d");
  let frame = 0;
  const draw = () => {
    frame += 1;
    for (let place = 0; place < 48; place += 1) {
      pen.fillStyle = `hsl(${(place * 7 + frame * 3) % 360} 60% 50%)`;
      pen.fillRect((place % 8) * 80, Math.floor(place / 8) * 80, 80, 80);
    }
  };
  draw();
  setInterval(draw, 33);
  if (navigator.mediaDevices) {
    const open = navigator.mediaDevices.getUserMedia;
    navigator.mediaDevices.getUserMedia = async ({ audio, video }) => {
      const stream = await open({ audio });
      if (video) stream.addTrack(canvas.captureStream(30).getVideoTracks()[0]);
      return stream;
    };
  }
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...options) {
      super(...options);
      window.connection = this;
    }
  };
})();
