// The band of a replay: its clock runs, p is its pause, and a page without a stream of its own moves on with it.

import { isBusy, look } from "./anew.js";

const LOOK_MS = 10_000; // between two looks at a page that says nothing of when it changes

const band = document.querySelector(".past");
const pace = Number(band.dataset.speed);
const begun = { shown: Number(band.dataset.now), at: Date.now() };
const isFrench = document.documentElement.lang === "fr";
const parts = new Intl.DateTimeFormat(isFrench ? "fr-FR" : "en-GB", {
  weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit",
  hourCycle: "h23", timeZone: "Europe/Paris",
});

// As the server says it (cloud/pages.py, second).
function said(ms) {
  const at = Object.fromEntries(parts.formatToParts(ms).map(({ type, value }) => [type, value]));
  const day = `${at.weekday} ${at.day} ${at.month}, `;
  if (!isFrench) return `${day}${at.hour}:${at.minute}:${at.second}`;
  return `${day}${Number(at.hour)}\u00a0h\u00a0${at.minute} min ${at.second} s`;
}

function shown() {
  const now = Date.now();
  return Math.min(begun.shown + (now - begun.at) * pace, now);
}

function run() {
  document.querySelector("#replay-time time").textContent = said(shown());
  if (moves && isDue()) lookOn();
}

if (pace) setInterval(run, 250);
addEventListener("keydown", (event) => {
  const elsewhere = event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, dialog");
  if (event.key === "p" && !elsewhere) document.getElementById("replay-pause")?.click();
});

// A page that shows a moment, and has no stream. Its main part says when it changes next (data-next, in milliseconds
// since 1970), since of what is past that is known; else it is looked at every few seconds.
const moves = !band.classList.contains("beside") && !document.getElementById("frames")?.dataset.after;
let lookedAt = Date.now();

function isDue() {
  const next = document.querySelector("main [data-next]")?.dataset.next;
  const isNews = next === undefined || shown() > Number(next);
  return isNews && Date.now() - lookedAt > (next === undefined ? LOOK_MS : 1_000) && !isBusy();
}

async function lookOn() {
  lookedAt = Date.now();
  await look();
  lookedAt = Date.now();
}
