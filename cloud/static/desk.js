// Keys of the operators' pages: / finds, j and k walk the rows, Enter opens one, ? tells the keys.
"use strict";

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog")) return;
  const act = { "/": find, j: () => walk(1), k: () => walk(-1), Enter: () => open(event.target), "?": tellKeys }[event.key];
  if (act && act() !== false) event.preventDefault();
});

function find() {
  document.getElementById("find").focus();
}

function walk(step) {
  const rows = [...document.querySelectorAll("tbody tr[tabindex]")];
  const at = rows.indexOf(document.activeElement.closest("tr"));
  rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? 0 : at + step))]?.focus();
}

function open(row) {
  if (!row.matches("tr[tabindex]")) return false;
  (row.querySelector('a[href^="/pickups/"]') ?? row.querySelector("a"))?.click();
}

function tellKeys() {
  document.getElementById("keys")?.showModal();
}
