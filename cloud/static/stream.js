// The browser's one connection to /stream, shared by all of its tabs and windows.
//
// Over HTTP/1.1 a browser opens six connections a host, so ten pages with streams of their own would hang. This file runs
// as a shared worker, the hub: each visible page tells it what it wants and which frame it has, and the hub opens one
// event stream for all of that, from the oldest of those frames on. A page is given nothing twice: what the hub hands on
// is above what that page has. A page that is hidden leaves, and asks for what it missed when it is seen again.
//
// What replays, or speaks another language, has a line of its own, since the server reads or writes other rows for it.
// Where there are no shared workers, a page runs a hub of its own.
//
// A page says: want {view, lang, replay, orders, after}, here (every few seconds), leave. It hears: frames, order, clock,
// cut, full, reload, end as in cloud/console/stream.py, and who, if the hub has lost it.
"use strict";

const SILENCE_MS = 40_000; // the server speaks every 15 s; after this long the line is dead, whatever the browser thinks
const GONE_MS = 45_000; // a page that has not said for so long that it is here was closed, or put to sleep
const RETRY_MS = [1_000, 2_000, 5_000, 10_000];
const JOIN_MS = 30; // pages that are opened together join together
const MOST_LINES = 4; // of the six connections
const MOST_VIEWS = 32; // that the server takes of one line

class Hub {
  constructor() {
    this.pages = new Map(); // port -> what it wants, what it has
    this.lines = new Map(); // what the pages on it have in common -> Line
    setInterval(() => this.look(), 5_000);
  }

  add(port) {
    port.onmessage = (event) => this.hear(port, event.data);
  }

  hear(port, said) {
    const page = this.pages.get(port);
    if (said.kind === "leave") return this.remove(port);
    if (said.kind === "here") {
      if (page) page.heardAt = Date.now();
      else port.postMessage({ kind: "who" });
      return;
    }
    if (page) this.remove(port);
    const key = JSON.stringify([said.lang, said.replay]);
    this.pages.set(port, { ...said, key, heardAt: Date.now() });
    this.join(key);
  }

  join(key) {
    if (!this.lines.has(key) && this.lines.size >= MOST_LINES) {
      for (const [port] of this.on(key)) port.postMessage({ kind: "full" });
      return;
    }
    if (!this.lines.has(key)) this.lines.set(key, new Line(this, key));
    this.lines.get(key).renew();
  }

  remove(port) {
    const page = this.pages.get(port);
    this.pages.delete(port);
    if (!page || this.on(page.key).length) return; // a view that nobody wants any more goes with the next renewal
    this.lines.get(page.key)?.close();
    this.lines.delete(page.key);
    const waiting = [...this.pages.values()].find((other) => !this.lines.has(other.key));
    if (waiting) this.join(waiting.key);
  }

  on(key) {
    return [...this.pages].filter(([, page]) => page.key === key);
  }

  look() {
    for (const [port, page] of [...this.pages]) if (Date.now() - page.heardAt > GONE_MS) this.remove(port);
    for (const line of this.lines.values()) line.look();
  }

  end() {
    for (const port of this.pages.keys()) port.postMessage({ kind: "end" });
    for (const line of this.lines.values()) line.close();
    this.pages.clear();
    this.lines.clear();
  }
}

class Line {
  constructor(hub, key) {
    this.hub = hub;
    this.key = key;
    this.source = null;
    this.views = [];
    this.failures = 0;
    this.heardAt = Date.now();
    this.cutAt = null;
    this.timer = 0;
  }

  renew(after_ms = JOIN_MS) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), after_ms);
  }

  open() {
    this.close();
    const pages = this.hub.on(this.key).map(([, page]) => page);
    if (!pages.length) return;
    const [lang, replay] = JSON.parse(this.key);
    this.views = [...new Set(pages.map((page) => page.view))].slice(0, MOST_VIEWS);
    this.tell({ kind: "full" }, (page) => !this.views.includes(page.view));
    const query = new URLSearchParams(this.views.map((view) => ["view", view]));
    query.set("after", Math.min(...pages.map((page) => page.after)));
    query.set("orders", pages.some((page) => page.orders));
    query.set("lang", lang);
    if (replay) query.set("replay", replay);
    this.heardAt = Date.now();
    this.source = new EventSource(`/stream?${query}`);
    const on = (kind, act) => this.source.addEventListener(kind, (event) => this.take(() => act(event.data)));
    on("frames", (data) => this.share(JSON.parse(data)));
    on("order", (html) => this.tell({ kind: "order", html }, (page) => page.orders));
    on("clock", (ms) => this.tell({ kind: "clock", ms: Number(ms) }));
    on("reload", (data) => this.reload(JSON.parse(data)));
    on("end", () => this.hub.end());
    this.source.addEventListener("error", () => this.lose());
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  take(act) {
    this.heardAt = Date.now();
    this.failures = 0;
    this.cutAt = null;
    act();
  }

  tell(said, wanted = () => true) {
    for (const [port, page] of this.hub.on(this.key)) if (wanted(page)) port.postMessage(said);
  }

  share({ to, rows, views }) {
    for (const [port, page] of this.hub.on(this.key)) {
      const view = this.views.indexOf(page.view);
      if (to <= page.after || view < 0) continue;
      const shown = rows.filter(([id, , on]) => id > page.after && on.includes(view));
      let [heard, refused, step] = views[view];
      if (step === 1) {
        // Of these, the page may have had some before.
        heard = shown.length;
        refused = shown.filter(([, isRefused]) => isRefused).length;
      }
      page.after = to;
      port.postMessage({ kind: "frames", to, rows: shown.map(([id, , , html]) => [id, html]), heard, refused, step });
    }
  }

  // Only who is too far behind, or ahead of the log, has to begin anew.
  reload({ from, to }) {
    const gone = this.hub.on(this.key).filter(([, page]) => page.after < from || page.after > to);
    for (const [port] of gone) {
      port.postMessage({ kind: "reload" });
      this.hub.remove(port);
    }
    if (this.hub.on(this.key).length) this.renew(gone.length ? JOIN_MS : RETRY_MS[0]);
  }

  async lose() {
    this.close();
    this.cutAt ??= this.heardAt;
    this.tell({ kind: "cut", at: this.cutAt });
    this.renew(RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)]);
    // A stream that is refused looks like one that is cut. A page that leads elsewhere says that the session is over.
    const answer = await fetch("/badges", { redirect: "manual" }).catch(() => null);
    if (answer?.type === "opaqueredirect") this.hub.end();
  }

  look() {
    if (this.source && Date.now() - this.heardAt > SILENCE_MS) this.lose();
  }
}

if ("onconnect" in globalThis) {
  const hub = new Hub();
  onconnect = (event) => hub.add(event.ports[0]);
}

// For a page: a port to the hub.
function streamPort(alone = !("SharedWorker" in globalThis)) {
  if (!alone) {
    try {
      return new SharedWorker("/static/stream.js", { name: "stream" }).port;
    } catch {
      // A browser that forbids them.
    }
  }
  const { port1, port2 } = new MessageChannel();
  new Hub().add(port1);
  return port2;
}
