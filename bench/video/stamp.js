// A camera whose picture says when it was drawn, and a reader of it: 16 black or white blocks, milliseconds modulo 2^16.
(() => {
  const [width, height, bits, block] = [640, 480, 16, 40];
  const clock = () => Math.round(performance.timeOrigin + performance.now()) % 2 ** bits;
  if (navigator.mediaDevices) {
    navigator.mediaDevices.getUserMedia = async () => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [width, height];
      const pen = canvas.getContext("2d");
      let frame = 0;
      setInterval(() => {
        frame += 1;
        for (let place = 0; place < 48; place += 1) {
          pen.fillStyle = `hsl(${(place * 7 + frame * 3) % 360} 60% 50%)`;
          pen.fillRect((place % 8) * 80, Math.floor(place / 8) * 80, 80, 80);
        }
        const time = clock();
        for (let bit = 0; bit < bits; bit += 1) {
          pen.fillStyle = (time >> bit) & 1 ? "white" : "black";
          pen.fillRect(bit * block, 0, block, block);
        }
      }, 33);
      return canvas.captureStream(30);
    };
  }
  /** How long after it was drawn each picture is shown, ms, for so many seconds. */
  window.delays = (video, seconds) => new Promise((resolve) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [bits, 1];
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    const found = [];
    const end = performance.now() + seconds * 1000;
    const note = () => {
      const scale = video.videoWidth / width;
      for (let bit = 0; bit < bits; bit += 1) {
        const middle = (bit + 0.5) * block * scale;
        pen.drawImage(video, middle, (block / 2) * scale, 1, 1, bit, 0, 1, 1);
      }
      const { data } = pen.getImageData(0, 0, bits, 1);
      let drawn = 0;
      for (let bit = 0; bit < bits; bit += 1) drawn |= data[bit * 4] > 127 ? 1 << bit : 0;
      found.push((clock() - drawn + 2 ** bits) % 2 ** bits);
      if (performance.now() < end) video.requestVideoFrameCallback(note);
      else resolve(found);
    };
    video.requestVideoFrameCallback(note);
  });
})();
