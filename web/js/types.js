/**
 * The messages of the WebSocket, as JSDoc types: the page's view of `signaling/protocol`.
 *
 * @typedef {"audio" | "video"} Kind
 * @typedef {"microphone" | "camera" | "screen" | "screen-audio"} Source
 * @typedef {{id: string, kind: Kind, source: Source, muted: boolean}} Publication
 * @typedef {{id: string, name: string, kind: "web" | "python" | "whip", connected: boolean,
 *   publications: Publication[], role?: Role, silenced?: Kind[]}} Participant
 * @typedef {"host" | "speaker" | "listener"} Role
 * @typedef {{locked: boolean, lobby: boolean, defaultRole: "speaker" | "listener", maxParticipants: number,
 *   maxPublications: number}} RoomSettings
 * @typedef {{id: string, name: string}} Waiter
 * @typedef {{identity: string, name: string, until?: number | null, removal?: boolean, reason?: string}} Ban
 * @typedef {{canPublish: boolean, canSubscribe: boolean, canPublishData?: boolean, roomAdmin: boolean}} Permissions
 * @typedef {{mid: string, publication: string | null, participant: string | null}} SlotAssignment
 * @typedef {{participant: string, level: number}} Speaker
 * @typedef {{kind: "text", text: string}
 *   | {kind: "reaction", emoji: string, message?: number, removed?: boolean}
 *   | {kind: "json", topic: string, data: unknown}
 *   | {kind: "bytes", topic: string, data: string}} Content
 * @typedef {{number: number, key: string, at: number, sender: string, name: string, content: Content,
 *   to?: string}} ChatMessage
 *
 * @typedef {{type: "joined", seq: number, room: string, session: string, you: Participant,
 *   participants: Participant[], permissions: Permissions, iceServers?: RTCIceServer[],
 *   resumeSeconds?: number, lastMessage?: number, snapshot?: boolean, slots?: SlotAssignment[],
 *   settings?: RoomSettings, waiters?: Waiter[]}} Joined
 * @typedef {{type: "resumed", seq: number, lastId: number, restarted?: boolean}} Resumed
 * @typedef {{type: "reply", seq: number, re: number, sdp?: string, publication?: Publication,
 *   number?: number, at?: number, messages?: ChatMessage[], more?: boolean, call?: CallView, calls?: CallView[],
 *   bans?: Ban[]}} Reply
 * @typedef {{type: "error", seq: number, re?: number, code: string, message: string,
 *   retryAfter?: number}} ErrorMessage
 * @typedef {{type: "participant-joined", seq: number, participant: Participant}} ParticipantJoined
 * @typedef {{type: "participant-left", seq: number, participant: string, reason: string}} ParticipantLeft
 * @typedef {{type: "participant-changed", seq: number, participant: string, connected: boolean}} ParticipantChanged
 * @typedef {{type: "published", seq: number, participant: string, publication: Publication}} Published
 * @typedef {{type: "unpublished", seq: number, participant: string, publication: string}} Unpublished
 * @typedef {{type: "muted", seq: number, participant: string, publication: string, muted: boolean}} Muted
 * @typedef {{type: "slots", seq: number, slots: SlotAssignment[]}} Slots
 * @typedef {{type: "speakers", seq: number, speakers: Speaker[]}} Speakers
 * @typedef {{type: "transport", seq: number, state: RTCPeerConnectionState}} Transport
 * @typedef {{type: "redundancy", seq: number, mid: string, depth?: number, copies?: number}} RedundancyAsked
 * @typedef {{type: "message", seq: number, message: ChatMessage}} MessageSent
 * @typedef {{mid: string, paused?: boolean, limit?: "bandwidth" | "source"}} SlotQuality
 * @typedef {{type: "quality", seq: number, slots: SlotQuality[]}} Quality
 * @typedef {{type: "encodings", seq: number, mid: string, rids: string[], instead?: boolean}} Encodings
 * @typedef {{type: "codecs", seq: number, codecs: string[]}} Codecs
 * @typedef {{type: "clocks", seq: number, timestamps: Record<string, number>}} Clocks
 * @typedef {{type: "waiting", seq: number}} Waiting
 * @typedef {{type: "lobby", seq: number, waiters: Waiter[]}} LobbyChanged
 * @typedef {{type: "room-changed", seq: number, settings: RoomSettings}} RoomChanged
 * @typedef {{type: "permissions", seq: number, permissions: Permissions}} PermissionsChanged
 * @typedef {{type: "role", seq: number, participant: string, role: Role, silenced?: Kind[]}} RoleChanged
 * @typedef {{type: "unmute-asked", seq: number, by: string, kind: Kind}} UnmuteAsked
 * @typedef {{type: "closed", seq: number, reason: string}} Closed
 *
 * @typedef {ParticipantJoined | ParticipantLeft | ParticipantChanged | Published | Unpublished | Muted | Slots
 *   | Speakers | Transport | RedundancyAsked | Quality | Encodings | Codecs | Clocks | MessageSent | Waiting | LobbyChanged | RoomChanged
 *   | PermissionsChanged | RoleChanged | UnmuteAsked} RoomEvent
 * @typedef {Joined | Reachable | Resumed | Reply | ErrorMessage | Closed | RoomEvent | LineEvent} ServerMessage
 *
 * @typedef {"available" | "busy" | "offline"} Presence
 * @typedef {{id: string, name: string}} Identity
 * @typedef {{id: string, name: string, presence: Presence}} Contact
 * @typedef {"ringing" | "accepted" | "declined" | "busy" | "missed" | "offline" | "cancelled" | "left"} CalledState
 * @typedef {{id: string, name: string, state: CalledState}} Called
 * @typedef {{id: string, state: "ringing" | "active" | "ended", caller: Identity, people: Called[], began: number,
 *   others?: number, answered?: number, ended?: number, room?: string, token?: string}} CallView
 * @typedef {{type: "reachable", seq: number, session: string, you: Identity, contacts?: Contact[],
 *   everybody?: boolean, calls?: CallView[], resumeSeconds?: number}} Reachable
 * @typedef {{type: "contact", seq: number, contact: Contact}} ContactChanged
 * @typedef {{type: "call", seq: number, call: CallView}} CallChanged
 * @typedef {ContactChanged | CallChanged} LineEvent
 *
 * @typedef {{type: "offer", sdp: string}
 *   | {type: "publish", mid: string, source: Source, muted: boolean}
 *   | {type: "unpublish", publication: string}
 *   | {type: "mute", publication: string, muted: boolean}
 *   | {type: "watch", publications: string[] | null, heights: Record<string, number>}
 *   | {type: "send", key: string, content: Content, to?: string}
 *   | {type: "history", after?: number, before?: number, limit?: number}
 *   | {type: "set-room", locked?: boolean, lobby?: boolean, defaultRole?: "speaker" | "listener"}
 *   | {type: "set-role", participant: string, role: Role}
 *   | {type: "silence", participant: string | null, kind: Kind, silenced?: boolean}
 *   | {type: "ask-unmute", participant: string, kind: Kind}
 *   | {type: "admit", waiter: string | null, admitted: boolean}
 *   | {type: "remove", participant: string}
 *   | {type: "ban", participant: string, seconds?: number}
 *   | {type: "unban", identity: string}
 *   | {type: "list-bans" | "end-room"}
 *   | {type: "report", participant: string, reason: string}
 *   | {type: "ring", people: string[], call?: string}
 *   | {type: "accept" | "decline" | "hang-up", call: string}
 *   | {type: "set-busy", busy: boolean}
 *   | {type: "call-history", before?: number, limit?: number}
 *   | {type: "ping"}
 *   | {type: "leave"}} Command
 */

export {};
