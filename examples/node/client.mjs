// A client of gochat's protocol for Node 20 or later, without dependencies. It loses nothing, shows nothing twice and
// keeps the order of what it sends, whatever is cut or killed. Written from docs/reference/protocol.md.
//
//     node client.mjs HOST PORT NAME PASSWORD [--backoff SECONDS] [--silence SECONDS]
//
// Each line of the standard input is a message, {"to": "#lobby", "text": "hello"}; what happens comes as lines of JSON
// on the standard output. It speaks no TLS, so use it on the server's machine.
import { randomUUID } from "node:crypto";
import net from "node:net";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

export function encode(type, data) {
  const body = Buffer.from(JSON.stringify({ msg_type: type, msg_data: JSON.stringify(data) }));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, body]);
}

/** Return a function that takes bytes as they arrive, and yields the frames that are complete: [type, data]. */
export function decoder() {
  let buffer = Buffer.alloc(0);
  return function* (bytes) {
    buffer = Buffer.concat([buffer, bytes]);
    for (let length; buffer.length >= 4 && buffer.length >= 4 + (length = buffer.readUInt32BE(0)); ) {
      const envelope = JSON.parse(buffer.subarray(4, 4 + length));
      buffer = buffer.subarray(4 + length);
      yield [envelope.msg_type, JSON.parse(envelope.msg_data)];
    }
  };
}

/**
 * Follow logs: of entries that come twice, late or early, show each once and in order. `out` has what follows from them:
 * show(conv, entry); begin(conv, epoch, seq), for what it shows next is another log; forget(conv); ask(conv, after).
 */
export class Following {
  logs = new Map(); // conversation → { epoch, last, ts, ahead: entries by seq that can't be shown yet, asked }
  me = ""; // the name in logged_in
  #early = null; // while pages of sync are to come: entries of logs that they may bring

  constructor(out) {
    this.out = out;
  }

  /** A new connection: events begin anew, and pages of sync are to come. */
  sync() {
    this.#early = [];
    for (const log of this.logs.values()) [log.ahead, log.asked] = [new Map(), false];
  }

  have(after = "") {
    const known = [...this.logs].filter(([conv]) => conv > after).sort(([a], [b]) => (a < b ? -1 : 1));
    return known.slice(0, 300).map(([conv, { epoch, last, ts }]) => ({ conv, epoch, seq: last, ts }));
  }

  entry(entry) {
    const conv = entry.conv ?? entry.to;
    const isNew = this.logs.get(conv)?.epoch !== entry.epoch;
    if (isNew && this.#early) return this.#early.push(entry);
    if (isNew) this.#begin(conv, entry.epoch, entry.seq - 1);
    this.#take(conv, [entry]);
  }

  synced({ conversations, gone = [], next = null }) {
    for (const { conv, epoch, head, ts, entries = [], reset = false } of conversations) {
      if (reset || this.logs.get(conv)?.epoch !== epoch) this.#begin(conv, epoch, (entries[0]?.seq ?? head + 1) - 1, ts);
      this.#take(conv, entries);
    }
    gone.forEach((conv) => this.#forget(conv));
    if (next !== null) return;
    const early = this.#early ?? [];
    this.#early = null;
    early.forEach((entry) => this.entry(entry));
    for (const conv of [...this.logs.keys()]) this.#take(conv, []);
  }

  page({ conv, epoch, entries }) {
    const log = this.logs.get(conv);
    if (!log) return;
    log.asked = false;
    // Another log; or one that no longer has what is missing, or hides it.
    if (log.epoch !== epoch || entries[0]?.seq > log.last + 1) this.#begin(conv, epoch, (entries[0]?.seq ?? 1) - 1);
    this.#take(conv, entries);
  }

  #take(conv, entries) {
    const log = this.logs.get(conv);
    for (const entry of entries) if (entry.seq > log.last) log.ahead.set(entry.seq, entry);
    for (let entry; (entry = log.ahead.get(log.last + 1)); ) {
      log.ahead.delete(entry.seq);
      [log.last, log.ts] = [entry.seq, entry.ts];
      this.out.show(conv, entry);
      const isRemoval = entry.kind === "kick" || entry.kind === "ban";
      const isOut = entry.kind === "leave" ? entry.from : isRemoval && entry.text;
      if (isOut === this.me) return this.#forget(conv);
    }
    if (!log.ahead.size || log.asked || this.#early) return;
    log.asked = true;
    this.out.ask(conv, log.last);
  }

  #begin(conv, epoch, last, ts = 0) {
    this.logs.set(conv, { epoch, last, ts, ahead: new Map(), asked: false });
    this.out.begin(conv, epoch, last);
  }

  #forget(conv) {
    if (this.logs.delete(conv)) this.out.forget(conv);
  }
}

/** One person on one device, who connects again and again; `tell` is called with what happens. */
export class Client {
  #outbox = []; // messages that are not settled, in order
  #next = 0; // of these, the next to be sent on this connection
  #number = 1; // and its number
  #flight = new Map(); // request_id → [message, number]
  #requests = 0;
  #failures = 0;
  #token = "";

  constructor({ host, port, name, password, tell, backoff = 0.5, silence = 33 }) {
    Object.assign(this, { host, port, name, password, tell, backoff, silence });
    this.following = new Following({
      show: (conv, entry) => (tell({ what: "shown", conv, entry }), this.#settle(entry)),
      begin: (conv, epoch, seq) => tell({ what: "begun", conv, epoch, seq }),
      forget: (conv) => tell({ what: "forgotten", conv }),
      ask: (conv, after) => this.#request("history", { conv, after, limit: 200 }),
    });
  }

  send(message) {
    this.#outbox.push({ cid: randomUUID(), ...message });
    this.#pump();
  }

  connect() {
    const [frames, socket] = [decoder(), net.connect(this.port, this.host).setNoDelay()];
    [this.socket, this.retry, this.isOpen, this.isAsked] = [socket, 0, false, false];
    socket.setTimeout((this.silence * 1000) / 2, () => (this.isAsked ? socket.destroy() : this.#request("ping", {}), (this.isAsked = true)));
    socket.on("connect", () => this.#logIn());
    socket.on("data", (bytes) => {
      this.isAsked = false;
      for (const [type, data] of frames(bytes)) if (!socket.destroyed) this.#receive(type, data);
    });
    socket.on("error", () => {}); // its close follows
    socket.on("close", () => {
      this.isOpen = false;
      if (this.retry === null) return this.tell({ what: "ended" });
      const wait = this.retry + Math.random() * Math.min(30, this.backoff * 2 ** this.#failures++);
      setTimeout(() => this.connect(), wait * 1000);
    });
  }

  #logIn() {
    const { name, password } = this;
    const request = this.#token ? ["resume", { token: this.#token }] : ["login", { name, password }];
    this.#request(request[0], { ...request[1], caps: ["log", "heartbeat"] });
  }

  #receive(type, data) {
    const [message, number] = this.#flight.get(data.request_id) ?? [];
    this.#flight.delete(data.request_id);
    if (type === "logged_in") {
      [this.#token, this.following.me, this.#failures, this.isOpen] = [data.token, data.name, 0, true];
      [this.#next, this.#number, this.#flight] = [0, 1, new Map()];
      this.following.sync();
      this.#sync("");
      this.#pump();
    } else if (type === "message") this.following.entry(data);
    else if (type === "history_page") this.following.page(data);
    else if (type === "synced") {
      this.following.synced(data);
      data.next ? this.#sync(data.next) : this.tell({ what: "synced" });
    } else if (type === "sent") this.#settle({ ...data, from: this.following.me });
    else if (type === "error") this.#refused(data, message, number);
    else if (type === "ping") this.socket.write(encode("pong", {}));
    else if (type === "bye") this.retry = /replaced|protocol_error|address_banned/.test(data.reason) ? null : (data.retry_after ?? 0);
  }

  #refused({ code, text, retry_after: wait = 0.5 }, message, number) {
    if (code === "bad_token") return (this.#token = ""), this.#logIn();
    if (!message && /rate_limited|busy|unavailable/.test(code)) return (this.retry = wait), this.socket.destroy();
    if (!message && !this.isOpen) return this.tell({ what: "refused", code, text }), (this.retry = null), this.socket.destroy();
    if (!message) return; // a page that isn't to be had; or what was sent behind a refused message, see below
    const isNotNow = /rate_limited|busy|unavailable|out_of_order/.test(code);
    if (!isNotNow) this.#drop(message), this.tell({ what: "failed", cid: message.cid, code, text });
    if (!isNotNow && code !== "malformed") return; // which has used its number up
    // Its number stays due, so what was sent behind it is refused, too: all goes out again from here.
    const unanswered = new Set([...this.#flight.values()].map(([one]) => one));
    const first = this.#outbox.findIndex((one) => one === message || unanswered.has(one));
    [this.#next, this.#number, this.#flight] = [first < 0 ? this.#next : first, number, new Map()];
    this.isHeld = true;
    setTimeout(() => ((this.isHeld = false), this.#pump()), wait * 1000);
  }

  #pump() {
    while (this.isOpen && !this.isHeld && this.#next < this.#outbox.length) {
      const message = this.#outbox[this.#next++];
      this.#flight.set(this.#request("send", { ...message, n: this.#number }), [message, this.#number++]);
    }
  }

  #settle({ from, cid, epoch, seq, dup = false }) {
    const message = from === this.following.me && this.#outbox.find((one) => one.cid === cid);
    if (!message) return;
    this.#drop(message);
    this.tell({ what: "settled", cid, epoch, seq, dup });
  }

  #drop(message) {
    const index = this.#outbox.indexOf(message);
    this.#outbox.splice(index, 1);
    if (index < this.#next) this.#next--;
  }

  #sync(after) {
    this.#request("sync", { after, have: this.following.have(after), limit: 200 });
  }

  #request(type, data) {
    const request_id = String(++this.#requests);
    this.socket.write(encode(type, { request_id, ...data }));
    return request_id;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const options = { backoff: { type: "string", default: "0.5" }, silence: { type: "string", default: "33" } };
  const { positionals: [host, port, name, password], values } = parseArgs({ options, allowPositionals: true });
  const tell = (event) => process.stdout.write(JSON.stringify(event) + "\n");
  const client = new Client({ host, port, name, password, tell, backoff: +values.backoff, silence: +values.silence });
  client.connect();
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => client.send(JSON.parse(line)));
  lines.on("close", () => process.exit());
}
