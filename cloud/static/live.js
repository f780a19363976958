// The overview, live: rows from /stream as they come, without a gap and without a double.
//
// Every frame has the log's id. The page knows the last one it took, asks for what follows it, and takes nothing twice,
// so a cut, a pause, a hidden tab or a restarted server costs a moment and never a frame. A hidden tab holds no
// connection: a browser opens six a host over HTTP/1.1, and the seventh page with its own stream would hang.
"use strict";

const KEPT = 200; // rows
const SILENCE_MS = 40_000; // the server speaks every 15 s; after this long the line is dead, whatever the browser thinks
const RETRY_MS = [1_000, 2_000, 5_000, 10_000];
const RESUMED_MS = 10_000; // how long it is told that a cut left no gap
const FIGURES_MS = 5_000; // between two looks at the figures while frames come
const FIGURES_QUIET_MS = 60_000; // and while none do: the chart's window moves on

const frames = document.getElementById("frames");
const orders = document.getElementById("orders");
const state = document.getElementById("live");
const mould = document.createElement("template");

let last = Number(frames.dataset.after); // the newest frame taken
let clock = Number(frames.dataset.now) - Date.now(); // what to add to this computer's time to have the server's
let source = null;
let heardAt = 0; // of the server, by this computer's time
let cutAt = null;
let failures = 0;
let retry = 0;
let paused = false;
let waiting = []; // rows held back by a pause, oldest first, the newest KEPT of them
let held = 0; // how many a pause has held back
let figuresAt = Date.now();
let figuresDue = false;
let leaving = false;
let minute = { since: Date.now(), frames: 0, refused: 0 };

function connect() {
  disconnect();
  heardAt = Date.now();
  if (!document.body.dataset.live) tell("connecting", "stale", "");
  source = new EventSource(`/stream?after=${last}`);
  source.addEventListener("clock", (event) => {
    heard();
    clock = Number(event.data) - Date.now();
  });
  source.addEventListener("frame", (event) => {
    heard();
    if (Number(event.lastEventId) > last) take(Number(event.lastEventId), event.data);
  });
  source.addEventListener("order", (event) => {
    heard();
    put(row(event.data));
  });
  source.addEventListener("reload", leave);
  source.addEventListener("end", leave); // to the sign-in
  source.addEventListener("error", lose);
}

function disconnect() {
  clearTimeout(retry);
  source?.close();
  source = null;
}

function heard() {
  heardAt = Date.now();
  failures = 0;
  if (cutAt !== null || !document.body.dataset.live) {
    const resumed = cutAt !== null;
    cutAt = null;
    document.body.dataset.live = "live";
    tellLive(resumed);
    figuresDue ||= resumed;
  }
}

// Once: a page that is already on its way elsewhere must not start again.
function leave() {
  if (leaving) return;
  leaving = true;
  disconnect();
  location.reload();
}

async function lose() {
  if (leaving) return;
  disconnect();
  if (cutAt === null) cutAt = new Date(heardAt + clock);
  document.body.dataset.live = "cut";
  const since = cutAt.toLocaleTimeString("en-GB", { timeZone: "Europe/Paris" });
  tell(`no connection since ${since}; trying again`, "stale", "warn");
  retry = setTimeout(connect, RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]);
  // A stream that is refused looks like one that is cut. A page that leads elsewhere says that the session is over.
  const answer = await fetch("/figures", { redirect: "manual" }).catch(() => null);
  if (answer?.type === "opaqueredirect") leave();
}

function take(id, html) {
  last = id;
  minute.frames += 1;
  if (html.includes('class="chip bad')) minute.refused += 1;
  document.getElementById("event").textContent = number(id);
  figuresDue = true;
  if (!paused) return show([html]);
  held += 1;
  waiting.push(html);
  if (waiting.length > KEPT) waiting.shift();
  tell(`paused, ${number(held)} wait`, "pause", "");
}

function show(rows) {
  for (const html of rows) frames.prepend(row(html));
  while (frames.rows.length > KEPT) frames.lastElementChild.remove();
}

function put(order) {
  const there = document.getElementById(order.id);
  if (there && Number(there.dataset.version) >= Number(order.dataset.version)) return;
  if (there) return there.replaceWith(order);
  const older = [...orders.rows].find((other) => Number(other.dataset.id) < Number(order.dataset.id));
  if (!older && orders.rows.length >= Number(orders.dataset.rows)) return; // older than all that are shown
  orders.insertBefore(order, older ?? null);
  while (orders.rows.length > Number(orders.dataset.rows)) orders.lastElementChild.remove();
}

function row(html) {
  mould.innerHTML = html;
  return mould.content.querySelector("tr");
}

function pause() {
  paused = !paused;
  const button = document.getElementById("pause");
  button.setAttribute("aria-pressed", paused);
  button.querySelector("span").textContent = paused ? "Resume" : "Pause";
  if (paused) return tell("paused, 0 wait", "pause", "");
  show(waiting);
  waiting = [];
  held = 0;
  if (cutAt === null) tellLive(true);
}

function tellLive(resumed) {
  tell(resumed ? `resumed at ${number(last)}, no gap` : "live, no gap", "ok", "ok");
  if (resumed) setTimeout(() => cutAt === null && tellLive(false), RESUMED_MS);
}

function tell(words, icon, tone) {
  if (paused && tone === "ok") return; // still paused
  state.className = `chip ${tone}`;
  state.querySelector("use").setAttribute("href", `#i-${icon}`);
  state.querySelector("span").textContent = words;
}

function tick() {
  const now = Date.now();
  for (const time of document.querySelectorAll("#frames time, #orders time, #kpis time")) {
    const words = age(now + clock - Date.parse(time.dateTime));
    if (!paused && time.textContent !== words) time.textContent = words;
  }
  if (source && now - heardAt > SILENCE_MS) lose();
  const patience = figuresDue ? FIGURES_MS : FIGURES_QUIET_MS;
  if (!paused && !document.hidden && cutAt === null && now - figuresAt > patience) {
    figuresAt = now;
    figuresDue = false;
    document.body.dispatchEvent(new Event("figures"));
  }
  if (now - minute.since > 60_000) {
    if (!paused) {
      document.getElementById("summary").textContent =
        `${minute.frames} frames in the last minute, ${minute.refused} of them refused`;
    }
    minute = { since: now, frames: 0, refused: 0 };
  }
}

// As the server says it (cloud/pages.py).
function age(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [minutes, hours, days] = [Math.floor(seconds / 60), Math.floor(seconds / 3600), Math.floor(seconds / 86400)];
  if (days >= 2) return `${days}\u00a0days`;
  if (hours) return `${hours}\u00a0h` + (minutes % 60 ? ` ${minutes % 60}\u00a0min` : "");
  return minutes ? `${minutes}\u00a0min` : seconds ? `${seconds}\u00a0s` : "now";
}

function number(value) {
  return String(value).replace(/\B(?=(\d{3})+$)/g, "\u00a0");
}

// Where the chart is wider than the screen, it is open at now.
function showNow() {
  const chart = document.querySelector("#traffic .scroll");
  chart.scrollLeft = chart.scrollWidth;
}

showNow();
document.body.addEventListener("htmx:oobAfterSwap", showNow);
document.getElementById("pause").addEventListener("click", pause);
addEventListener("keydown", (event) => {
  const elsewhere = event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, dialog");
  if (event.key === "p" && !elsewhere) pause();
});
document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
setInterval(tick, 1_000);
if (!document.hidden) connect();
