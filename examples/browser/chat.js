// A page that chats on a gochat server by WebSocket, without a library and without a build step.
// The protocol: docs/reference/protocol.md. What people typed gets into the page by textContent only.

const SUBPROTOCOL = "gochat.1";
const CAPS = ["log", "heartbeat"];
const PAGE = 50; // entries of a conversation in a page
const POSITIONS = 400; // in a `sync`: they fit a frame
const KEPT = 1000; // messages of a conversation that are kept in memory
const ASIDE = 1000; // entries that wait while catching up
const REPLY_TIME = 30_000;
const BACKOFF = { first: 500, longest: 30_000 }; // ms
const NOT_NOW = new Set(["rate_limited", "busy", "unavailable"]);
const STAYS_AWAY = new Set(["replaced", "session_revoked", "protocol_error", "address_banned"]);
const VOID = new Set(["bad_token", "account_banned", "account_disabled"]); // is the token then

const $ = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// ---------------------------------------------------------------------------------------------
// One connection
// ---------------------------------------------------------------------------------------------

class Refused extends Error {
  constructor({ code, text, retry_after: retryAfter }) {
    super(text);
    this.code = code;
    this.retryAfter = 1000 * (retryAfter ?? 1);
  }
}

class Lost extends Error {}

/** A WebSocket. Requests have replies; everything else goes to `onEvent`. `onEnd` is called once. */
class Connection {
  constructor(url, onEvent, onEnd) {
    this.onEvent = onEvent;
    this.onEnd = onEnd;
    this.waiting = new Map(); // request_id → {resolve, reject}
    this.requests = 0;
    this.bye = null;
    this.patience = null; // ms of silence after which the connection is lost
    this.heard = performance.now();
    this.socket = new WebSocket(url, SUBPROTOCOL);
    this.opened = new Promise((resolve, reject) => {
      this.socket.onopen = resolve;
      this.failed = reject;
    });
    this.opened.catch(() => {});
    this.socket.onmessage = (event) => this.receive(event.data);
    this.socket.onclose = () => this.end();
    this.watch = setInterval(() => this.checkSilence(), 1000);
  }

  request(type, fields = {}) {
    return new Promise((resolve, reject) => {
      if (this.socket.readyState !== WebSocket.OPEN) {
        reject(new Lost("not connected"));
        return;
      }
      const id = String(++this.requests);
      this.waiting.set(id, { resolve, reject });
      this.send(type, { ...fields, request_id: id });
    });
  }

  send(type, fields) {
    this.socket.send(JSON.stringify({ msg_type: type, msg_data: JSON.stringify(fields) }));
  }

  receive(text) {
    this.heard = performance.now();
    const { msg_type: type, msg_data: json } = JSON.parse(text);
    const data = JSON.parse(json);
    const waiting = this.waiting.get(data.request_id);
    if (type === "ping") {
      this.send("pong", data.request_id ? { request_id: data.request_id } : {});
    } else if (type === "bye") {
      this.bye = data;
    } else if (waiting) {
      this.waiting.delete(data.request_id);
      if (type === "error") waiting.reject(new Refused(data));
      else waiting.resolve(data);
    } else {
      this.onEvent(type, data);
    }
  }

  checkSilence() {
    const silence = performance.now() - this.heard;
    const limit = this.patience ?? (this.waiting.size ? REPLY_TIME : Infinity);
    if (silence > limit) this.end();
  }

  /** End at once, whatever the network does. */
  end() {
    if (!this.watch) return;
    clearInterval(this.watch);
    this.watch = null;
    this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.failed(new Lost("the server can't be reached"));
    for (const { reject } of this.waiting.values()) reject(new Lost("the connection broke"));
    this.onEnd(this.bye);
  }
}

// ---------------------------------------------------------------------------------------------
// Conversations, and following their logs
// ---------------------------------------------------------------------------------------------

/** A conversation: its newest messages without holes, and how far it is known. */
class Conversation {
  constructor(address) {
    this.address = address;
    this.read = this.unread = this.mentions = this.floor = 0;
    this.level = "all";
    this.topic = "";
    this.forget(null, 0);
  }

  /** Begin anew: what comes next is after `last`. */
  forget(epoch, last) {
    this.epoch = epoch;
    this.first = last + 1;
    this.last = last;
    this.ts = 0;
    this.aside = []; // entries after a gap
    this.items = []; // what is shown, by seq
    this.bySeq = new Map();
  }

  /** Take the next entry. */
  append(entry) {
    fold(entry, this.items, this.bySeq);
    this.last = entry.seq;
    this.ts = entry.ts;
  }

  /** Take a page that ends just before what is there. */
  prepend(entries) {
    const items = [];
    const bySeq = new Map();
    for (const entry of entries) fold(entry, items, bySeq);
    this.items = [...items, ...this.items];
    for (const [seq, item] of bySeq) this.bySeq.set(seq, item);
    this.first = entries[0].seq;
  }

  /** Let the oldest go. They can be fetched again. */
  trim() {
    for (const item of this.items.splice(0, Math.max(0, this.items.length - KEPT))) {
      this.bySeq.delete(item.seq);
      this.first = item.seq + 1;
    }
  }
}

const why = ({ reason }) => (reason ? `: ${reason}` : "");

const EVENTS = {
  create: (e) => `${e.from} created this ${e.text} room`,
  join: (e) => `${e.from} joined`,
  leave: (e) => `${e.from} left${why(e)}`,
  invite: (e) => `${e.from} invited ${e.text}`,
  decline: (e) => `${e.from} declined the invitation`,
  kick: (e) => `${e.from} removed ${e.text}${why(e)}`,
  ban: (e) => `${e.from} banned ${e.text}${why(e)}`,
  unban: (e) => `${e.from} lifted the ban of ${e.text}`,
  topic: (e) => `${e.from} set the topic: ${e.text}`,
  operator: (e) => `${e.text} is an operator now`,
  member: (e) => `${e.text} is no longer an operator`,
  access: (e) => `${e.from} made the room ${e.text}`,
  slow: (e) => (e.text === "0" ? "slow mode is over" : `members write once in ${e.text} s now`),
  announcements: (e) => `${e.text === "on" ? "only operators write" : "everybody writes"} here now`,
  archive: (e) => `this room is ${e.text === "on" ? "archived" : "no longer archived"}`,
  hand_over: (e) => `${e.from} is an operator now`,
  history: (e) => `earlier history is ${e.text} to those who join now`,
};

/** Apply an entry to a list of items: add it, or change the message that it is about. */
function fold(entry, items, bySeq) {
  const kind = entry.kind ?? "text";
  const about = bySeq.get(entry.ref);
  if (kind === "text") {
    const item = {
      seq: entry.seq,
      from: entry.from,
      ts: entry.ts,
      text: entry.text ?? "",
      form: entry.form ?? "text",
      replyTo: entry.ref ?? null,
      edited: entry.edited ?? 0,
      deleted: entry.deleted ?? false,
      mentions: entry.mentions ?? [],
      reactions: new Map(
        (entry.reactions ?? []).map((r) => [
          r.emoji,
          { names: new Set(r.names), more: r.count - (r.names ?? []).length },
        ]),
      ),
    };
    items.push(item);
    bySeq.set(entry.seq, item);
  } else if (kind === "edit") {
    if (about && !entry.deleted && entry.seq > about.edited) {
      Object.assign(about, { text: entry.text, edited: entry.seq, changed: true });
    }
  } else if (kind === "delete") {
    if (about) Object.assign(about, { text: "", deleted: true, changed: true });
  } else if (kind === "react" || kind === "unreact") {
    if (about) {
      const given = about.reactions.get(entry.text) ?? { names: new Set(), more: 0 };
      about.reactions.set(entry.text, given);
      if (kind === "react") given.names.add(entry.from);
      else given.names.delete(entry.from);
      if (given.names.size + given.more === 0) about.reactions.delete(entry.text);
      about.changed = true;
    }
  } else if (Object.hasOwn(EVENTS, kind)) {
    items.push({ seq: entry.seq, ts: entry.ts, event: EVENTS[kind](entry) });
  }
}

/** Whether the server found the person, or everybody, among whom a text mentions. */
function namesMe(mentions, me) {
  return mentions?.includes(me) || mentions?.includes("@room") || false;
}

function byCodePoint(a, b) {
  const one = [...a];
  const other = [...b];
  for (let i = 0; i < one.length && i < other.length; i++) {
    if (one[i] !== other[i]) return one[i].codePointAt(0) - other[i].codePointAt(0);
  }
  return one.length - other.length;
}

// ---------------------------------------------------------------------------------------------
// A person's chat: it outlives connections
// ---------------------------------------------------------------------------------------------

class Chat {
  constructor(url, login, onChange) {
    this.url = url;
    this.onChange = onChange;
    this.me = "";
    this.limits = null;
    this.conversations = new Map([["#lobby", new Conversation("#lobby")]]);
    this.online = new Map(); // name → away notice, or null
    this.outbox = []; // {cid, to, text, error}, in order
    this.connection = null; // one that is logged in
    this.isEnded = false;
    this.problem = "";
    this.wake = () => {};
    this.apply(login);
  }

  apply({ name, token, limits, heartbeat }) {
    this.me = name;
    this.token = token;
    this.limits = limits;
    this.heartbeat = heartbeat;
    sessionStorage.setItem("gochat", JSON.stringify({ url: this.url, token, name }));
  }

  // -- connecting ----------------------------------------------------------------------------

  /** Go on with a connection that is logged in; when it breaks, resume on others. */
  async run(connection) {
    let tries = 0;
    while (!this.isEnded) {
      if (connection) {
        tries = 0;
        await this.use(connection);
        connection = null;
      }
      if (this.isEnded) return;
      const bound = Math.min(BACKOFF.longest, BACKOFF.first * 2 ** tries++);
      const wait = Math.max(Math.random() * bound, 1000 * (this.bye?.retry_after ?? 0));
      this.report(`Disconnected. Trying again in ${Math.ceil(wait / 1000)} s …`);
      await Promise.race([sleep(wait), new Promise((resolve) => (this.wake = resolve))]);
      connection = await this.resume();
    }
  }

  async resume() {
    const next = new Connection(this.url, (...event) => this.receive(...event), (bye) => this.lost(bye));
    try {
      await next.opened;
      this.apply(await next.request("resume", { token: this.token, caps: CAPS }));
      return next;
    } catch (error) {
      next.end();
      if (VOID.has(error.code)) this.end(error.code === "bad_token" ? "Log in again: the session has ended." : error.message);
      return null;
    }
  }

  /** Catch up, send what waits, and return when the connection is lost. */
  async use(connection) {
    this.connection = connection;
    this.bye = null;
    connection.patience = 1000 * (this.heartbeat + 8);
    const lost = new Promise((resolve) => (this.lost = (bye) => resolve((this.bye = bye))));
    connection.onEnd = (bye) => this.lost(bye);
    if (!connection.watch) this.lost(connection.bye);
    this.arrive(connection).catch((error) => this.fail(connection, error));
    await lost;
    this.connection = null;
    this.isSynced = false;
    if (STAYS_AWAY.has(this.bye?.reason)) this.end(this.bye.text);
    this.onChange();
  }

  async arrive(connection) {
    this.report("Catching up …");
    await this.catchUp(connection);
    this.report("");
    await this.askWho(connection);
  }

  lost() {} // before the login: `resume` notices by itself

  fail(connection, error) {
    if (!(error instanceof Lost)) this.report(error.message);
    connection.end();
  }

  end(text) {
    this.isEnded = true;
    this.problem = text;
    sessionStorage.removeItem("gochat");
    this.connection?.end();
    this.onChange();
  }

  report(text) {
    this.problem = text;
    this.onChange();
  }

  async logOut() {
    await this.connection?.request("logout").catch(() => {});
    this.end("");
  }

  // -- catching up ---------------------------------------------------------------------------

  /** Ask for what is new in all conversations. Meanwhile, entries that arrive wait. */
  async catchUp(connection) {
    this.isSynced = false;
    let after = "";
    while (after !== null) {
      const known = [...this.conversations.values()]
        .filter((c) => c.epoch !== null && (after === "" || byCodePoint(c.address, after) > 0))
        .sort((a, b) => byCodePoint(a.address, b.address));
      const have = known.slice(0, POSITIONS);
      const end = have.length < known.length ? have.at(-1).address : null;
      const positions = have.map((c) => ({
        conv: c.address, epoch: c.epoch, seq: c.last, ts: c.ts, read: c.read, level: c.level,
      }));
      const page = await this.patiently(connection, "sync", { after, have: positions, limit: PAGE });
      for (const address of page.gone ?? []) this.conversations.delete(address);
      for (const changed of page.conversations) {
        if (end === null || byCodePoint(changed.conv, end) <= 0) this.merge(changed);
      }
      after = page.next ?? null;
      if (end !== null && (after === null || byCodePoint(after, end) > 0)) after = end;
    }
    this.isSynced = true;
    for (const conversation of this.conversations.values()) this.takeAside(conversation);
    this.onChange();
    this.pump();
  }

  merge(changed) {
    const entries = changed.entries ?? [];
    const conversation = this.find(changed.conv);
    const before = entries.length ? entries[0].seq - 1 : changed.head;
    if (changed.reset || conversation.epoch !== changed.epoch || before > conversation.last) {
      const { aside } = conversation;
      conversation.forget(changed.epoch, before);
      conversation.aside = aside;
    }
    for (const entry of entries) this.take(conversation, entry);
    const { read = 0, unread = 0, mentions = 0, level = "all", topic = "", floor = 0 } = changed;
    Object.assign(conversation, { read, unread, mentions, level, topic, floor });
  }

  find(address) {
    let conversation = this.conversations.get(address);
    if (!conversation) {
      conversation = new Conversation(address);
      this.conversations.set(address, conversation);
    }
    return conversation;
  }

  /** Follow a log: take each entry once, in order. */
  take(conversation, entry) {
    if (conversation.epoch === null || conversation.epoch !== entry.epoch) {
      conversation.forget(entry.epoch, entry.seq - 1);
    }
    if (entry.seq > conversation.last + 1) {
      conversation.aside.push(entry);
      this.fill(conversation);
    } else if (entry.seq === conversation.last + 1) {
      conversation.append(entry);
      if (entry.from === this.me && entry.cid) this.settle(entry.cid);
      if ((entry.kind ?? "text") === "topic") conversation.topic = entry.text;
    }
  }

  takeAside(conversation) {
    const aside = conversation.aside.sort((a, b) => a.seq - b.seq);
    conversation.aside = [];
    for (const entry of aside) this.take(conversation, entry);
  }

  /** Close a gap by the newest page; if it is larger, begin with that page. */
  async fill(conversation) {
    if (conversation.isFilling || !this.connection) return;
    conversation.isFilling = true;
    try {
      const page = await this.patiently(this.connection, "history", {
        conv: conversation.address, limit: PAGE,
      });
      if (page.epoch !== conversation.epoch || page.entries[0]?.seq > conversation.last + 1) {
        const { aside } = conversation;
        conversation.forget(page.epoch, page.entries.length ? page.entries[0].seq - 1 : page.head);
        conversation.aside = aside;
      }
      for (const entry of page.entries) this.take(conversation, entry);
    } catch {
      return; // the next entry, or the next connection, tries again
    } finally {
      conversation.isFilling = false;
    }
    this.takeAside(conversation);
    this.onChange();
  }

  async loadOlder(conversation) {
    if (conversation.isLoading || !this.connection || conversation.first - 1 <= conversation.floor) return;
    conversation.isLoading = true;
    try {
      const { epoch, first } = conversation;
      const page = await this.patiently(this.connection, "history", {
        conv: conversation.address, before: first, limit: PAGE,
      });
      const isCurrent = epoch === conversation.epoch && first === conversation.first;
      if (isCurrent && page.entries.at(-1)?.seq === first - 1) conversation.prepend(page.entries);
      else if (isCurrent) conversation.floor = first - 1;
    } catch {
      return; // scrolling tries again
    } finally {
      conversation.isLoading = false;
    }
    this.onChange();
  }

  /** Ask again for as long as the answer is "not now". */
  async patiently(connection, type, fields) {
    for (;;) {
      try {
        return await connection.request(type, fields);
      } catch (error) {
        if (!NOT_NOW.has(error.code)) throw error;
        await sleep(error.retryAfter * (1 + Math.random() / 4));
      }
    }
  }

  // -- events --------------------------------------------------------------------------------

  receive(type, data) {
    if (type === "message") this.receiveEntry(data);
    else if (type === "presence") this.receivePresence(data);
    else if (type === "marked") this.receiveMarked(data);
    else if (type === "new_login") this.report(`Somebody logged in as you from ${data.address}.`);
    this.onChange();
  }

  receiveEntry(entry) {
    const isMine = entry.from === this.me;
    const address = entry.conv ?? entry.to;
    const isRemoved = ["kick", "ban"].includes(entry.kind) && entry.text === this.me;
    const isOut = (entry.kind === "leave" && isMine) || isRemoved;
    if (isOut) {
      this.conversations.delete(address);
      return;
    }
    const isNew = !this.conversations.has(address);
    const conversation = this.find(address);
    if (!this.isSynced) {
      conversation.aside.push(entry);
      conversation.aside.splice(0, conversation.aside.length - ASIDE);
      return;
    }
    const { last } = conversation;
    this.take(conversation, entry);
    if (conversation.last > last && !isMine && (entry.kind ?? "text") === "text") {
      conversation.unread++;
      if (namesMe(entry.mentions, this.me)) conversation.mentions++;
    }
    if (isNew) this.catchUp(this.connection).catch(() => {}); // for its topic, and what is unread
  }

  receiveMarked({ conv, read, unread = 0, mentions = 0, level = "all" }) {
    const conversation = this.conversations.get(conv);
    if (conversation) Object.assign(conversation, { read, unread, mentions, level });
  }

  receivePresence({ online = [], offline = [] }) {
    for (const name of offline) this.online.delete(name);
    for (const { name, away } of online) this.online.set(name, away ?? null);
  }

  async askWho(connection) {
    const people = [];
    for (let more = true; more; ) {
      const page = await this.patiently(connection, "who", { after: people.at(-1)?.name ?? "" });
      people.push(...page.people);
      more = Boolean(page.more) && page.people.length > 0;
    }
    this.online = new Map(people.map(({ name, away }) => [name, away ?? null]));
    this.onChange();
  }

  // -- what the person does ------------------------------------------------------------------

  post(to, text) {
    const cid = [...crypto.getRandomValues(new Uint8Array(16))]
      .map((byte) => byte.toString(16).padStart(2, "0"))
      .join("");
    this.outbox.push({ cid, to, text, error: "" });
    this.onChange();
    this.pump();
  }

  settle(cid) {
    this.outbox = this.outbox.filter((message) => message.cid !== cid);
  }

  /** Send what waits, one after the other, so that the order stays. */
  async pump() {
    if (this.isPumping) return;
    this.isPumping = true;
    let message;
    while (this.isSynced && this.connection && (message = this.outbox.find((m) => !m.error))) {
      const { cid, to, text } = message;
      try {
        await this.patiently(this.connection, "send", { to, text, cid });
        this.settle(cid); // where the entry itself has not done so, as after `dup`
      } catch (error) {
        if (error instanceof Lost) break;
        message.error = error.message;
      }
      this.onChange();
    }
    this.isPumping = false;
  }

  async markRead(conversation) {
    if (!this.connection || !conversation.unread || conversation.isMarking) return;
    conversation.isMarking = true;
    const read = conversation.last;
    Object.assign(conversation, { unread: 0, mentions: 0 });
    try {
      await this.connection.request("mark", { conv: conversation.address, read });
    } catch {
      // The next message, or the next connection, brings it up again.
    } finally {
      conversation.isMarking = false;
    }
  }

  /** Open a room or a person's conversation; join the room if need be. Returns its address. */
  async open(address) {
    if (this.conversations.has(address)) return address;
    if (!this.connection) throw new Lost("not connected");
    if (address.startsWith("#")) return (await this.connection.request("join", { room: address })).to;
    const page = await this.connection.request("history", { conv: address, limit: PAGE });
    const conversation = this.find(page.conv);
    if (conversation.epoch === null) {
      conversation.forget(page.epoch, page.entries.length ? page.entries[0].seq - 1 : page.head);
      for (const entry of page.entries) this.take(conversation, entry);
    }
    return page.conv;
  }
}

// ---------------------------------------------------------------------------------------------
// The page
// ---------------------------------------------------------------------------------------------

let chat = null;
let active = "#lobby";
let isAtEnd = true;
let isDrawn = true;
const drafts = new Map();

/** Make an element. Text is only ever text; <bdi> keeps its direction to itself. */
function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = plain(text);
  if (tag === "bdi" || className === "said") made.dir = "auto";
  return made;
}

/** Control characters, and what turns the direction of all that follows, as signs. */
function plain(text) {
  return text.replace(/[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
}

function draw() {
  if (!isDrawn) return;
  isDrawn = false;
  requestAnimationFrame(() => {
    isDrawn = true;
    if (chat) drawChat();
  });
}

function drawChat() {
  if (chat.isEnded) {
    showEntrance(chat.problem);
    return;
  }
  if (!chat.conversations.has(active)) active = "#lobby";
  const conversation = chat.find(active);
  $("me").textContent = plain(chat.me);
  $("title").textContent = plain(active);
  $("topic").textContent = plain(conversation.topic);
  $("leave").hidden = !active.startsWith("#") || active === "#lobby";
  $("state").textContent = plain(chat.problem);
  const unread = [...chat.conversations.values()].some((c) => c.unread);
  document.title = `${unread ? "● " : ""}${plain(active)} – gochat`;
  drawConversations();
  drawPeople();
  drawLog(conversation);
  if (document.hasFocus() && isAtEnd) chat.markRead(conversation);
}

function place(list, elements) {
  elements.forEach((made, index) => {
    if (list.children[index] !== made) list.insertBefore(made, list.children[index] ?? null);
  });
  while (list.children.length > elements.length) list.lastChild.remove();
}

/** Return the list's button for a key, made once, so that it keeps the focus. */
function button(list, key, onClick) {
  list.buttons ??= new Map();
  let item = list.buttons.get(key);
  if (!item) {
    item = element("li");
    const inner = element("button");
    inner.type = "button";
    inner.append(element("bdi", "", key), element("span"));
    inner.onclick = () => onClick(key);
    item.append(inner);
    list.buttons.set(key, item);
  }
  return item;
}

function keep(list, keys) {
  for (const key of list.buttons?.keys() ?? []) if (!keys.has(key)) list.buttons.delete(key);
}

function drawConversations() {
  const list = $("conversations");
  const addresses = [...chat.conversations.keys()].sort(byCodePoint);
  place(list, addresses.map((address) => {
    const item = button(list, address, (key) => show(key));
    const { unread, mentions } = chat.find(address);
    const [inner] = item.children;
    inner.ariaCurrent = String(address === active);
    inner.lastChild.className = unread ? "unread" : "";
    inner.lastChild.textContent = unread ? `${mentions ? "@" : ""}${unread > 999 ? "999+" : unread}` : "";
    return item;
  }));
  keep(list, chat.conversations);
}

function drawPeople() {
  const list = $("people");
  $("count").textContent = String(chat.online.size);
  const names = [...chat.online.keys()].sort((a, b) => a.localeCompare(b)).slice(0, 500);
  place(list, names.map((name) => {
    const item = button(list, name, (key) => open(`@${key}`));
    const away = chat.online.get(name);
    item.firstChild.lastChild.className = "away";
    item.firstChild.lastChild.textContent = away === null ? "" : "away";
    item.firstChild.title = away === null ? "" : plain(away);
    return item;
  }));
  keep(list, chat.online);
}

function drawLog(conversation) {
  const log = $("log");
  if (isAtEnd) conversation.trim();
  const height = log.scrollHeight;
  const waiting = chat.outbox.filter((message) => message.to === conversation.address);
  const nodes = [...conversation.items, ...waiting].map((item) => {
    const quote = item.replyTo ? quoteOf(conversation.bySeq.get(item.replyTo)) : "";
    if (!item.node || item.changed || item.error !== item.drawnError || quote !== item.drawnQuote) {
      item.node = drawItem(item, quote);
      Object.assign(item, { changed: false, drawnError: item.error, drawnQuote: quote });
    }
    return item.node;
  });
  const hadFirst = log.firstChild;
  place(log, nodes);
  if (isAtEnd) log.scrollTop = log.scrollHeight;
  if (log.scrollHeight <= log.clientHeight) chat.loadOlder(conversation);
  else if (!isAtEnd && hadFirst && log.firstChild !== hadFirst) log.scrollTop += log.scrollHeight - height;
}

/** What a reply shows of the message that it answers, as that reads now. */
function quoteOf(message) {
  if (!message) return "an earlier message";
  return `${message.from}: ${message.deleted ? "deleted" : message.text}`;
}

function drawItem(item, quote) {
  if (item.event) return element("li", "event", item.event);
  const isMine = item.from === undefined || item.from === chat.me;
  const made = element("li", isMine ? "own" : "");
  if (namesMe(item.mentions, chat.me)) made.classList.add("mention");
  const by = element("div", "by");
  by.append(element("bdi", "", item.from ?? chat.me));
  if (item.ts) {
    const time = element("time", "", new Date(item.ts).toLocaleString([], { dateStyle: "short", timeStyle: "short" }));
    time.dateTime = new Date(item.ts).toISOString();
    by.append(time);
  } else {
    by.append(element("small", item.error ? "failed" : "", item.error || "sending …"));
  }
  if (item.edited) by.append(element("small", "", "edited"));
  made.append(by);
  if (quote) made.append(element("span", "quote", quote));
  if (item.deleted) {
    made.append(element("div", "gone", "deleted"));
  } else {
    const text = item.form === "action" ? `* ${item.from} ${item.text}` : item.text;
    const said = element("div", "said", text);
    said.classList.add(item.form ?? "text");
    made.append(said);
  }
  if (item.reactions?.size) {
    const given = [...item.reactions].map(([emoji, { names, more }]) => `${emoji} ${names.size + more}`);
    made.append(element("small", "", given.join("  ")));
  }
  if (item.error) made.append(discardButton(item));
  return made;
}

function discardButton(item) {
  const made = element("button", "quiet", "Discard");
  made.type = "button";
  made.onclick = () => {
    chat.settle(item.cid);
    draw();
  };
  return made;
}

function show(address) {
  drafts.set(active, $("text").value);
  active = address;
  isAtEnd = true;
  $("text").value = drafts.get(address) ?? "";
  $("hint").textContent = "";
  drawChat();
  $("text").focus();
}

async function open(address) {
  $("create").hidden = true;
  $("hint").textContent = "";
  try {
    const opened = await chat.open(address);
    $("address").value = "";
    show(opened);
  } catch (error) {
    $("hint").textContent = plain(error.message);
    $("create").hidden = !(error.code === "unknown_conversation" && address.startsWith("#"));
  }
}

function showEntrance(text = "") {
  chat = null;
  $("chat").hidden = true;
  $("entrance").hidden = false;
  $("login-error").textContent = plain(text);
  document.title = "gochat";
  $("name").focus();
}

function showChat() {
  $("entrance").hidden = true;
  $("chat").hidden = false;
  $("password").value = $("login-error").textContent = "";
  draw();
  $("text").focus();
}

/** Log in on a new connection, after `prepare`, and begin to chat. */
async function enter(url, prepare, type, fields) {
  let connection;
  const early = [];
  try {
    connection = new Connection(url, (...event) => early.push(event), () => {});
    await connection.opened;
    await prepare(connection);
    const login = await connection.request(type, { ...fields, caps: CAPS });
    chat = new Chat(url, login, draw);
    connection.onEvent = (...event) => chat?.receive(...event);
    for (const event of early) chat.receive(...event);
    chat.run(connection);
    active = "#lobby";
    showChat();
    return true;
  } catch (error) {
    connection?.end();
    if (VOID.has(error.code)) sessionStorage.removeItem("gochat");
    if (error.code === "bad_invite") $("invite-label").hidden = false;
    showEntrance(error.message);
    return false;
  }
}

async function logIn(isNew) {
  if (!$("login").reportValidity()) return;
  const name = $("name").value;
  const password = $("password").value;
  const invite = $("invite").value || null;
  for (const one of [$("log-in"), $("register")]) one.disabled = true;
  const prepare = async (connection) => {
    const info = await connection.request("hello");
    $("motd").hidden = !info.motd;
    $("motd").textContent = plain(info.motd ?? "");
    if (isNew) await connection.request("register", { name, password, invite });
  };
  await enter($("server").value, prepare, "login", { name, password, device: "A page in a browser" });
  for (const one of [$("log-in"), $("register")]) one.disabled = false;
}

function sendText() {
  const text = $("text").value.toWellFormed?.() ?? $("text").value;
  if (!text.trim()) return;
  if ([...text].length > chat.limits.text_chars) {
    $("hint").textContent = `A message has at most ${chat.limits.text_chars.toLocaleString("en")} characters.`;
    return;
  }
  $("hint").textContent = $("text").value = "";
  isAtEnd = true;
  chat.post(active, text);
}

function step(by) {
  const addresses = [...chat.conversations.keys()].sort(byCodePoint);
  show(addresses.at((addresses.indexOf(active) + by) % addresses.length));
}

async function suggest() {
  const rooms = chat.connection ? await chat.connection.request("rooms").catch(() => null) : null;
  const addresses = [
    ...(rooms?.rooms ?? []).map(({ room }) => room),
    ...[...chat.online.keys()].map((name) => `@${name}`),
  ];
  $("addresses").replaceChildren(
    ...addresses.slice(0, 200).map((address) => Object.assign(element("option"), { value: address })),
  );
}

$("server").value =
  location.protocol === "https:" ? `wss://${location.host}/` : `ws://${location.hostname || "127.0.0.1"}:8889/`;
$("login").onsubmit = (event) => {
  event.preventDefault();
  logIn(false);
};
$("register").onclick = () => logIn(true);
$("log-out").onclick = () => chat.logOut();
$("compose").onsubmit = (event) => {
  event.preventDefault();
  sendText();
};
$("text").onkeydown = (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    sendText();
  }
};
$("open").onsubmit = (event) => {
  event.preventDefault();
  if ($("address").value.trim()) open($("address").value.trim());
};
$("create").onclick = async () => {
  try {
    const { to } = await chat.connection.request("create_room", { room: $("address").value.trim() });
    $("create").hidden = true;
    $("address").value = "";
    show(to);
  } catch (error) {
    $("hint").textContent = plain(error.message);
  }
};
$("address").onfocus = suggest;
$("address").oninput = () => ($("create").hidden = true);
$("leave").onclick = () =>
  chat.connection?.request("leave", { room: active }).catch((error) => ($("hint").textContent = plain(error.message)));
$("log").onscroll = () => {
  const log = $("log");
  isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  if (log.scrollTop < 40 && chat) chat.loadOlder(chat.find(active));
  if (isAtEnd) draw();
};
document.onkeydown = (event) => {
  if (!chat || $("chat").hidden) return;
  if (event.altKey && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    event.preventDefault();
    step(event.key === "ArrowDown" ? 1 : -1);
  } else if (event.key === "Escape") {
    $("text").focus();
  }
};
window.onfocus = draw;
window.ononline = () => chat?.wake();

const saved = JSON.parse(sessionStorage.getItem("gochat") ?? "null");
if (saved) {
  $("server").value = saved.url;
  $("name").value = saved.name;
  await enter(saved.url, async () => {}, "resume", { token: saved.token });
} else {
  $("name").focus();
}
