// The band of a replay: its clock runs, p is its pause, and what the page asks for and leads to is of the same time.

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

function run() {
  const now = Date.now();
  const time = document.querySelector("#replay-time time");
  time.textContent = said(Math.min(begun.shown + (now - begun.at) * pace, now));
}

document.body.addEventListener("htmx:configRequest", ({ detail }) => {
  if (detail.path !== "/badges") detail.parameters.replay = band.dataset.replay; // the bar tells of now
});

const REPLAYED = ["/", "/live", "/traffic"];
addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || link.closest(".past") || link.origin !== location.origin || !REPLAYED.includes(link.pathname)) return;
  const query = new URLSearchParams(link.search);
  query.set("replay", band.dataset.replay);
  link.search = query;
});

if (pace) setInterval(run, 250);
addEventListener("keydown", (event) => {
  const elsewhere = event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, dialog");
  if (event.key === "p" && !elsewhere) document.getElementById("replay-pause").click();
});
