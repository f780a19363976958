// A page's stream: rows as they come, without a gap and without a double. The overview's, and the stream's own page.
//
// Every frame has the log's id. The page knows up to which it has been told, and asks for what follows (stream.js), so
// a cut, a pause, a hidden tab or a restarted server costs a moment and never a frame. What it says of the stream is
// what the server told of it: how many frames came, how many of them it shows.

import { listen } from "./ear.js";

const KEPT = 200; // rows
const RESUMED_MS = 10_000; // how long it is told that a cut left no gap
const FIGURES_MS = 5_000; // between two looks at the figures while frames come
const FIGURES_QUIET_MS = 60_000; // and while none do: the chart's window moves on

const frames = document.getElementById("frames");
const orders = document.getElementById("orders");
const state = document.getElementById("live");
const words = document.getElementById("words").dataset;
const button = document.getElementById("pause");
const mould = document.createElement("template");
const { view = "", replay = "" } = frames.dataset;
const lang = document.documentElement.lang;
const speed = Number(frames.dataset.speed ?? 1); // seconds that pass on the page in one

let last = Number(frames.dataset.after); // up to this frame of the log the page has been told
let clock = { shown: Number(frames.dataset.now), at: Date.now() };
let cutAt = null;
let paused = false;
let waiting = []; // rows held back by a pause, oldest first, the newest KEPT of them
let held = 0; // how many frames a pause has held back
let step = 1; // one of so many is shown
let wholeAfter = 0; // after this frame each one was shown
let figuresAt = Date.now();
let figuresDue = false;
let leaving = false;
let minute = { since: Date.now(), frames: 0, refused: 0 };

function hear(said) {
  if (leaving) return;
  if (said.kind === "cut") return cut(said.at);
  if (said.kind === "full") return tell(words.full, "warn", "warn");
  if (said.kind === "reload" || said.kind === "end") return leave(); // the end leads to the sign-in
  if (cutAt !== null || document.body.dataset.live !== "live") resume();
  if (said.kind === "clock") clock = { shown: said.ms, at: Date.now() };
  if (said.kind === "order") put(row(said.html));
  if (said.kind === "frames" && said.to > last) take(said);
}

function resume() {
  const resumed = cutAt !== null;
  cutAt = null;
  document.body.dataset.live = "live";
  tellLive(resumed);
  figuresDue ||= resumed;
}

function cut(at) {
  cutAt ??= new Date(clock.shown + (at - clock.at));
  document.body.dataset.live = "cut";
  const locale = lang === "fr" ? "fr-FR" : "en-GB";
  const time = cutAt.toLocaleTimeString(locale, { timeZone: "Europe/Paris" });
  tell(fill(words.cut, { time }), "stale", "warn");
}

// Once: a page that is already on its way elsewhere must not start again.
function leave() {
  if (leaving) return;
  leaving = true;
  location.reload();
}

function take(said) {
  if (step > 1 && said.step === 1) wholeAfter = last;
  last = said.to;
  step = said.step;
  minute.frames += said.heard;
  minute.refused += said.refused;
  document.getElementById("event").textContent = number(last);
  if (!said.heard) return tellShown();
  figuresDue = true;
  if (!paused) {
    show(said.rows);
    return tellShown();
  }
  held += said.heard;
  waiting = [...waiting, ...said.rows].slice(-KEPT);
  tellShown();
  tell(fill(words.paused, { n: number(held) }), "pause", "");
}

function show(rows) {
  const newest = rows.slice(-KEPT);
  if (!newest.length) return;
  mould.innerHTML = newest.reverse().map(([, html]) => html).join("");
  frames.prepend(mould.content);
  while (frames.rows.length > KEPT) frames.lastElementChild.remove();
}

// One of N while the rows are drawn from more; then after which frame each one is shown, until no older row is left.
function tellShown() {
  const oldest = Number(frames.lastElementChild?.dataset.id ?? 0);
  const isWhole = !wholeAfter || oldest > wholeAfter;
  const said = isWhole ? words.every : fill(words.since, { n: number(wholeAfter) });
  const shown = document.getElementById("shown");
  shown.textContent = step > 1 ? fill(words.sampled, { n: number(step) }) : said;
  shown.classList.toggle("sampled", step > 1);
}

function put(order) {
  if (!orders) return;
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
  button.setAttribute("aria-pressed", paused);
  button.querySelector("span").textContent = paused ? words.resume : words.pause;
  if (paused) return tell(fill(words.paused, { n: 0 }), "pause", "");
  show(waiting);
  waiting = [];
  held = 0;
  tellShown();
  if (cutAt === null) tellLive(true);
}

function tellLive(resumed) {
  tell(resumed ? fill(words.resumed, { n: number(last) }) : replay ? words.replayed : words.live, "ok", "ok");
  if (resumed) setTimeout(() => cutAt === null && tellLive(false), RESUMED_MS);
}

function tell(text, icon, tone) {
  if (paused && tone === "ok") return; // still paused
  state.className = `chip ${tone}`;
  state.querySelector("use").setAttribute("href", `#i-${icon}`);
  state.querySelector("span").textContent = text;
}

function tick() {
  const now = Date.now();
  const shown = Math.min(clock.shown + (now - clock.at) * speed, replay ? now : Infinity);
  for (const time of document.querySelectorAll("#frames time, #orders time, #kpis time")) {
    const text = age(shown - Date.parse(time.dateTime));
    if (!paused && time.textContent !== text) time.textContent = text;
  }
  const patience = figuresDue || replay ? FIGURES_MS : FIGURES_QUIET_MS;
  if (!paused && !document.hidden && cutAt === null && now - figuresAt > patience) {
    figuresAt = now;
    figuresDue = false;
    document.body.dispatchEvent(new Event("figures"));
  }
  if (now - minute.since > 60_000) {
    const summary = document.getElementById("summary");
    const counts = { n: number(minute.frames), refused: number(minute.refused) };
    if (!paused) summary.textContent = fill(words.summary, counts);
    minute = { since: now, frames: 0, refused: 0 };
  }
}

// As the server says it (cloud/pages.py).
function age(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [minutes, hours, days] = [Math.floor(seconds / 60), Math.floor(seconds / 3600), Math.floor(seconds / 86400)];
  if (days >= 2) return fill(words.days, { n: days });
  if (hours) return `${hours}\u00a0h` + (minutes % 60 ? ` ${minutes % 60}\u00a0min` : "");
  return minutes ? `${minutes}\u00a0min` : seconds ? `${seconds}\u00a0s` : words.now;
}

function number(value) {
  return String(value).replace(/\B(?=(\d{3})+$)/g, "\u00a0");
}

function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

// Where the chart is wider than the screen, it is open at now.
function showNow() {
  const chart = document.querySelector("#traffic .scroll");
  if (chart) chart.scrollLeft = chart.scrollWidth;
}

showNow();
document.body.addEventListener("htmx:oobAfterSwap", showNow);
button?.addEventListener("click", pause);
addEventListener("keydown", (event) => {
  const elsewhere = event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, dialog");
  if (event.key === "p" && button && !elsewhere) pause();
});
tell(speed ? words.connecting : words.stands, speed ? "stale" : "pause", "");
setInterval(tick, 1_000);
if (speed) listen(() => ({ view, lang, replay, orders: Boolean(orders), after: last }), hear);
