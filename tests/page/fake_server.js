// A server inside the page: takes the place of WebSocket, speaks signaling/protocol, and answers offers with a
// second peer connection that sends drawn pictures and tones. For screens and failures that a real server shows
// only on a bad day. Driven through window.fake.
(() => {
  const RealWebSocket = window.WebSocket;
  const fake = {
    /** Messages from the page, in order. */
    received: [],
    /** Answer of the next connections: "accept", "refuse" (never opens), or {code, message} / {reason} instead of joined. */
    mode: "accept",
    people: [],
    /** Pictures a second of each camera. */
    fps: 15,
    permissions: { canPublish: true, canSubscribe: true, roomAdmin: false },
    settings: undefined,
    waiters: [],
    /** Whoever joins waits in the lobby, until `fake.letIn()`. */
    lobby: false,
    letIn() {
      fake.lobby = false;
      fake.sockets.at(-1).take(fake.sent("join").at(-1));
    },
    answerResume: true,
    /** The next resume finds a server that was restarted. */
    restarted: false,
    entered: { room: "", name: "" },
    /** Tell the page how everything stands. */
    joined(more = {}) {
      fake.emit({
        type: "joined", room: fake.entered.room, session: "a-secret-of-the-test", participants: fake.people,
        you: { id: "me", name: fake.entered.name, kind: "web", connected: true, publications: [] },
        permissions: fake.permissions, settings: fake.settings, waiters: fake.waiters, iceServers: [], resumeSeconds: 30,
        lastMessage: fake.messages.at(-1)?.number ?? 0, ...more,
      });
    },
    sockets: [],
    /** How many there have been. */
    sessions: 0,
    seq: 0,
    lastId: 0,
    /** Send an event, numbered as the server does. */
    emit(message, numbered = true) {
      const text = JSON.stringify({ ...message, seq: numbered ? ++fake.seq : 0 });
      fake.sockets.at(-1)?.deliver(text);
    },
    /** Break the connection. */
    drop() {
      fake.sockets.at(-1)?.fail();
    },
    /** What was said, as ChatMessage; `refusal` is the code with which `send` is refused, "silence" gives no answer. */
    messages: [],
    refusal: "",
    /** Somebody says something. */
    say(sender, content, more = {}) {
      const { name } = fake.people.find((person) => person.id === sender) ?? { name: "Sofia" };
      const number = (fake.messages.at(-1)?.number ?? 0) + 1;
      const message = { number, key: `key-${number}`, at: Date.now() / 1000, sender, name, content, ...more };
      fake.messages.push(message);
      fake.emit({ type: "message", message });
      return message;
    },
    /** Whether unmuted people also sound: the first at 500 Hz, the next at 800 … */
    tones: false,
    /** What arrives here of what the page sends, as RTCInboundRtpStreamStats by m-line. */
    async arrived() {
      const report = await answerer.getStats();
      return Object.fromEntries([...report.values()].filter((one) => one.type === "inbound-rtp")
        .map(({ mid, framesDecoded, totalAudioEnergy }) => [mid, { framesDecoded, totalAudioEnergy }]));
    },
    /** The far end's peer connection. */
    get answerer() {
      return answerer;
    },
    /** Of the line: whom the page may call, calls of before, and what it is told. */
    contacts: [],
    log: [],
    everybody: false,
    tell(message) {
      fake.line?.deliver(JSON.stringify({ ...message, seq: ++fake.line.seq }));
    },
    sent: (type) => fake.received.filter((message) => message.type === type),
  };
  window.fake = fake;

  let answerer = null;
  const drawings = [];

  function picture(index, wide) {
    const canvas = document.createElement("canvas");
    canvas.width = wide ? 1280 : 640;
    canvas.height = wide ? 720 : 360;
    const pen = canvas.getContext("2d");
    const tones = [[28, 60, 52], [70, 48, 30], [40, 50, 78], [74, 38, 44], [50, 60, 34], [58, 44, 72], [30, 62, 74], [66, 52, 40]];
    const [r, g, b] = tones[index % tones.length];
    let frame = 0;
    drawings.push(setInterval(() => {
      frame += 1;
      const sky = pen.createLinearGradient(0, 0, canvas.width, canvas.height);
      sky.addColorStop(0, `rgb(${r + 90}, ${g + 90}, ${b + 80})`);
      sky.addColorStop(1, `rgb(${r}, ${g}, ${b})`);
      pen.fillStyle = wide ? "#f6f7f4" : sky;
      pen.fillRect(0, 0, canvas.width, canvas.height);
      if (wide) {
        pen.fillStyle = "#0d5c4b";
        pen.fillRect(90, 90, 420, 34);
        pen.fillStyle = "#c9d4cc";
        for (let line = 0; line < 8; line += 1) pen.fillRect(90, 170 + line * 40, 560 - (line % 3) * 90, 14);
        pen.fillStyle = "#e3a02c";
        for (let bar = 0; bar < 6; bar += 1) {
          const height = 90 + 60 * ((bar * 7) % 5) + 8 * Math.sin(frame / 9 + bar);
          pen.fillRect(760 + bar * 70, 600 - height, 44, height);
        }
        return;
      }
      const sway = Math.sin(frame / 14 + index) * 6;
      pen.fillStyle = `rgb(${r - 14}, ${g - 10}, ${b - 8})`;
      pen.beginPath();
      pen.ellipse(320 + sway, 390, 150, 130, 0, 0, 7);
      pen.fill();
      pen.fillStyle = ["#d9a37f", "#8d5a3c", "#eec3a2", "#b97b56"][index % 4];
      pen.beginPath();
      pen.ellipse(320 + sway, 190, 66, 82, 0, 0, 7);
      pen.fill();
      pen.fillStyle = ["#2a1c14", "#171513", "#6b4526", "#3b2d2a"][index % 4];
      pen.beginPath();
      pen.ellipse(320 + sway, 138, 72, 48, 0, Math.PI, 0);
      pen.fill();
    }, 1000 / fake.fps));
    return canvas.captureStream(fake.fps).getVideoTracks()[0];
  }

  function tone(frequency) {
    const audio = new AudioContext();
    const source = new OscillatorNode(audio, { frequency });
    const out = audio.createMediaStreamDestination();
    source.connect(new GainNode(audio, { gain: 0.3 })).connect(out);
    source.start();
    addEventListener("pointerdown", () => audio.resume());
    return out.stream.getAudioTracks()[0];
  }

  async function answer(offer) {
    answerer?.close();
    answerer = new RTCPeerConnection();
    answerer.ontrack = ({ track }) => {
      const player = new Audio(); // audio that nobody plays is not decoded either
      player.srcObject = new MediaStream([track]);
      player.play().catch(() => {});
    };
    await answerer.setRemoteDescription({ type: "offer", sdp: offer });
    const slots = { audio: [], video: [] };
    for (const transceiver of answerer.getTransceivers()) {
      const wanted = offer.split("m=").find((part) => part.includes(`a=mid:${transceiver.mid}\r`));
      if (!wanted?.includes("a=recvonly")) continue;
      transceiver.direction = "sendonly";
      slots[transceiver.receiver.track.kind].push(transceiver);
    }
    const assigned = [];
    let index = 0;
    for (const person of fake.people) {
      for (const publication of person.publications) {
        const { kind, muted, source } = publication;
        const transceiver = !muted && (kind === "video" || fake.tones) && slots[kind].shift();
        if (!transceiver) continue;
        const track = kind === "video" ? picture(index, source === "screen") : tone(500 + 300 * index);
        await transceiver.sender.replaceTrack(track);
        assigned.push({ mid: transceiver.mid, publication: publication.id, participant: person.id });
      }
      index += 1;
    }
    const rest = [...slots.audio, ...slots.video].map(({ mid }) => ({ mid, publication: null, participant: null }));
    await answerer.setLocalDescription();
    if (answerer.iceGatheringState !== "complete") {
      await new Promise((resolve) => {
        answerer.onicegatheringstatechange = () => answerer.iceGatheringState === "complete" && resolve();
      });
    }
    fake.slots = [...assigned, ...rest];
    return takeEncodings(answerer.localDescription.sdp, offer);
  }

  /** A browser takes the first of several encodings; the server takes both of the screen. */
  function takeEncodings(sdp, offer) {
    const [, mid, offered] = /a=mid:(\d+)\r\n(?:(?!m=)[^])*a=simulcast:send (l;h)\r/.exec(offer) ?? [];
    const taken = `a=rid:l recv\r\na=rid:h recv\r\na=simulcast:recv ${offered}\r\n`;
    return sdp.split(/(?=^m=)/m).map((part) => part.includes(`a=mid:${mid}\r`) ? part + taken : part).join("");
  }

  async function carryOut(message) {
    if (message.id <= fake.lastId) return;
    fake.lastId = message.id;
    if (message.type === "offer") {
      const { sessions } = fake;
      const sdp = await answer(message.sdp);
      if (sessions !== fake.sessions) return; // what an ended session asked for is no answer in the next one
      fake.emit({ type: "reply", re: message.id, sdp });
      fake.emit({ type: "slots", slots: fake.slots });
    } else if (message.type === "publish") {
      const kind = message.source === "camera" || message.source === "screen" ? "video" : "audio";
      const publication = { id: `own-${message.source}`, kind, source: message.source, muted: message.muted };
      fake.emit({ type: "reply", re: message.id, publication });
    } else if (message.type === "send") {
      if (fake.refusal === "silence") return;
      if (fake.refusal) {
        fake.emit({ type: "error", re: message.id, code: fake.refusal, message: "No." });
        return;
      }
      const { key, content, to } = message;
      const known = fake.messages.find((one) => one.key === key);
      const { number, at } = known ?? fake.say("me", content, { key, to });
      fake.emit({ type: "reply", re: message.id, number, at });
    } else if (message.type === "history") {
      const { after, before = Infinity, limit } = message;
      const found = fake.messages.filter((one) => one.number > (after ?? 0) && one.number < before);
      const messages = after !== undefined && before === Infinity ? found.slice(0, limit) : found.slice(-limit);
      fake.emit({ type: "reply", re: message.id, messages, more: found.length > messages.length });
    } else {
      fake.emit({ type: "reply", re: message.id });
    }
  }

  /** The answers on a line; what happens to a call is told by the test. */
  function carryOutOnLine(message) {
    const call = { id: "call-1", state: "ringing", caller: fake.line.you, began: Date.now() / 1000 };
    if (message.type === "ring") {
      const people = message.people.map((id) => {
        const { name } = fake.contacts.find((contact) => contact.id === id);
        return { id, name, state: "ringing" };
      });
      fake.tell({ type: "reply", re: message.id, call: { ...call, people } });
    } else if (message.type === "call-history") {
      fake.tell({ type: "reply", re: message.id, calls: fake.log });
    } else {
      fake.tell({ type: "reply", re: message.id });
    }
  }

  class FakeWebSocket {
    constructor(url) {
      if (!url.endsWith("/ws")) return new RealWebSocket(url);
      fake.sockets.push(this);
      this.open = false;
      this.underWay = [];
      if (fake.mode === "refuse") setTimeout(() => this.fail(), 10);
      else setTimeout(() => { this.open = true; this.onopen?.(); }, 5);
    }

    send(text) {
      const message = JSON.parse(text);
      fake.received.push(message);
      this.underWay.push(message); // timers overtake one another, what is sent does not
      setTimeout(() => {
        const next = this.underWay.shift();
        if (this.open) this.take(next);
      }, 1);
    }

    take(message) {
      if (message.type === "reach") {
        fake.sockets.splice(fake.sockets.indexOf(this), 1);
        fake.line = this;
        this.seq = 0;
        this.you = { id: message.name.toLowerCase(), name: message.name };
        const { contacts, everybody } = fake;
        fake.tell({ type: "reachable", session: "the-line-of-the-test", you: this.you, contacts, everybody });
      } else if (this === fake.line) {
        if (message.type !== "ack") carryOutOnLine(message);
      } else if (message.type === "join") {
        fake.sessions += 1;
        fake.seq = 0;
        fake.lastId = 0;
        if (fake.lobby) {
          fake.emit({ type: "waiting" }, false);
          return;
        }
        if (fake.mode.code) {
          this.deliver(JSON.stringify({ type: "error", seq: 0, re: 0, ...fake.mode }));
          return;
        }
        if (fake.mode.reason) {
          this.deliver(JSON.stringify({ type: "closed", seq: 1, reason: fake.mode.reason }));
          return;
        }
        fake.entered = { room: message.room, name: message.name };
        fake.joined();
      } else if (message.type === "resume") {
        if (fake.mode.code) this.deliver(JSON.stringify({ type: "error", seq: 0, re: 0, ...fake.mode }));
        else if (fake.restarted) {
          [fake.restarted, fake.seq, fake.lastId] = [false, 1e9, 0];
          this.deliver(JSON.stringify({ type: "resumed", seq: 0, lastId: 0, restarted: true }));
          fake.joined({ session: "", snapshot: true });
        } else if (fake.answerResume) this.deliver(JSON.stringify({ type: "resumed", seq: 0, lastId: fake.lastId }));
        else this.deliver(JSON.stringify({ type: "error", seq: 0, re: 0, code: "gone", message: "The session has ended." }));
      } else if (message.type !== "ack") {
        void carryOut(message);
      }
    }

    deliver(text) {
      if (this.open) this.onmessage?.({ data: text });
    }

    fail() {
      this.open = false;
      this.onclose?.();
    }

    close() {
      this.open = false;
    }
  }
  window.WebSocket = FakeWebSocket;
})();
