// The page of one order or of one button, kept current: when the stream tells of it, it is looked at anew.

import { isBusy, look } from "./anew.js";
import { listen } from "./ear.js";

const PAUSE_MS = 1_000; // between two looks while something happens
const LOOK_MS = 60_000; // and while nothing does: its ages and what the stream does not tell, as an appeal
const { after, view, ...words } = document.getElementById("current").dataset;
const lang = document.documentElement.lang;

let last = Number(after); // up to this frame of the log the page has been told
let due = false;
let lookedAt = Date.now();

function hear(said) {
  if (said.kind === "reload" || said.kind === "end") return location.reload(); // the end leads to the sign-in
  if (said.kind === "full") return tell("full", words.full);
  if (said.kind === "cut") return tell("cut", words.cut.replace("{time}", timeOf(said.at)));
  due ||= document.body.dataset.live === "cut";
  tell("live", words.live);
  if (said.kind === "order") due ||= isShown(said.html);
  if (said.kind !== "frames" || said.to <= last) return;
  last = said.to;
  due ||= said.heard > 0;
}

function isShown(html) {
  const way = `/pickups/${html.match(/id="order-(\d+)"/)?.[1]}`;
  return location.pathname === way || document.querySelector(`main a[href="${way}"]`) !== null;
}

function tell(state, text) {
  document.body.dataset.live = state;
  const here = document.getElementById("current");
  if (here.textContent !== text) here.textContent = text;
}

function timeOf(ms) {
  return new Date(ms).toLocaleTimeString(lang === "fr" ? "fr-FR" : "en-GB", { timeZone: "Europe/Paris" });
}

async function tick() {
  const now = Date.now();
  if (now - lookedAt < (due ? PAUSE_MS : LOOK_MS) || isBusy()) return;
  [due, lookedAt] = [false, now];
  const text = document.getElementById("current").textContent;
  await look();
  tell(document.body.dataset.live, text);
}

document.addEventListener("visibilitychange", () => (due = true)); // what happened meanwhile is looked for
setInterval(tick, 500);
listen(() => ({ view, lang, replay: "", orders: true, after: last }), hear);
