// The band of a replay: its clock runs, p is its pause, and a page without a stream of its own moves on with it.

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
  if (moves && !looking && isDue()) look();
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
let looking = false;

function isDue() {
  const next = document.querySelector("main [data-next]")?.dataset.next;
  const isNews = next === undefined || shown() > Number(next);
  return isNews && Date.now() - lookedAt > (next === undefined ? LOOK_MS : 1_000) && !isBusy();
}

// Nobody's choice, field or selection is taken from under them.
function isBusy() {
  return document.hidden || document.querySelector("main :is(input, select, textarea):focus, main details[open]");
}

async function look() {
  looking = true;
  try {
    const answer = await fetch(location.href);
    if (answer.redirected) return location.reload(); // the session is over
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const [there, here] = [page.querySelector("main"), document.querySelector("main")];
    if (there && there.innerHTML !== here.innerHTML) replaceBy(there, here);
  } catch {
    // the service is away: the band's clock runs on, and it is asked again
  }
  lookedAt = Date.now();
  looking = false;
}

function replaceBy(there, here) {
  const row = document.activeElement.closest("main tr, main [id]")?.id;
  document.title = there.ownerDocument.title;
  here.replaceChildren(...document.adoptNode(there).childNodes);
  if (row) document.getElementById(row)?.focus();
  window.htmx?.process(here);
}
