// The band of a replay: its clock runs, and p is its pause.
const band = document.querySelector(".band");
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

if (pace) setInterval(run, 250);
addEventListener("keydown", (event) => {
  const elsewhere = event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, dialog");
  if (event.key === "p" && !elsewhere) document.getElementById("replay-pause").click();
});
