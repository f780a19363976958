// The page of one order or of one button, kept current: when the stream tells of it, it is looked at anew (anew.js).

import { isBusy, look } from "./anew.js";

const HERE_MS = 10_000; // between two words to the hub that this page is here
const SILENT_HUB_MS = 60_000; // after that it has died, and the page has one of its own
const PAUSE_MS = 1_000; // between two looks while something happens
const LOOK_MS = 60_000; // and while nothing does: its ages and what the stream does not tell, as an appeal
const { after, view, ...words } = document.getElementById("current").dataset;
const lang = document.documentElement.lang;

let last = Number(after); // up to this frame of the log the page has been told
let port = null;
let visible = false;
let due = false;
let lookedAt = Date.now();
let heardAt = 0; // of the hub
let saidAt = 0;

function open(alone) {
  port = streamPort(alone);
  port.onmessage = (event) => hear(event.data);
  heardAt = Date.now();
}

function want() {
  saidAt = Date.now();
  port.postMessage({ kind: "want", view, lang, replay: "", orders: true, after: last });
}

function hear(said) {
  heardAt = Date.now();
  if (!visible) return;
  if (said.kind === "who") return want();
  if (said.kind === "reload" || said.kind === "end") return location.reload(); // the end leads to the sign-in
  if (said.kind === "full") return tell("full", words.full);
  if (said.kind === "cut") return tell("cut", words.cut.replace("{time}", timeOf(said.at)));
  due ||= document.body.dataset.live === "cut";
  tell("live", words.live);
  if (said.kind === "order" && isShown(said.html)) due = true;
  if (said.kind !== "frames" || said.to <= last) return;
  last = said.to;
  due ||= said.heard > 0;
}

function isShown(html) {
  const id = html.match(/id="order-(\d+)"/)?.[1];
  return location.pathname === `/pickups/${id}` || document.querySelector(`main a[href="/pickups/${id}"]`) !== null;
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
  if (!visible) return;
  if (now - saidAt > HERE_MS) {
    saidAt = now;
    port.postMessage({ kind: "here" });
  }
  if (now - heardAt > SILENT_HUB_MS) {
    open(true);
    want();
  }
  if (now - lookedAt < (due ? PAUSE_MS : LOOK_MS) || isBusy()) return;
  [due, lookedAt] = [false, now];
  const text = document.getElementById("current").textContent;
  await look();
  tell(document.body.dataset.live, text);
}

function appear() {
  if (visible) return;
  visible = true;
  heardAt = Date.now();
  want();
}

function disappear() {
  if (visible) port.postMessage({ kind: "leave" });
  visible = false;
  due = true; // what happens meanwhile is looked for on the way back
}

document.addEventListener("visibilitychange", () => (document.hidden ? disappear() : appear()));
addEventListener("pagehide", disappear);
addEventListener("pageshow", () => document.hidden || appear());
open();
setInterval(tick, 500);
if (!document.hidden) appear();
