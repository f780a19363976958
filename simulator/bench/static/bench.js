// The bench's page: a finger on the drawn button, its keys, and the parts of the page that are asked for anew.
"use strict";

const TOLD_MS = 120; // what changes within this is asked for once
const board = document.body.dataset.board;
const drawn = document.getElementById("press");
const problem = document.getElementById("problem");
let moves = Promise.resolve(); // one after the other, or a click could end before it began
let isDown = false;
let due = new Set();
let timer = 0;
let source = null;

// What is done

async function send(path, fields = {}) {
  try {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "X-Bench": document.body.dataset.csrf },
      body: new URLSearchParams(fields),
    });
    tellProblem(answer.ok ? "" : await answer.text());
    return answer.ok ? await answer.text() : null;
  } catch {
    tellProblem(document.body.dataset.cut);
    return null;
  }
}

function move(down) {
  if (!board || down === isDown) return;
  isDown = down;
  drawn.classList.toggle("down", down);
  const at = Math.round(performance.now()); // when the finger moved, however late it is told
  moves = moves.then(() => send(`/boards/${board}/key`, { to: down ? "down" : "up", at }));
}

function press(clicks, hold) {
  if (board) send(`/boards/${board}/press`, { clicks, hold });
}

drawn.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  drawn.setPointerCapture(event.pointerId);
  move(true);
});
for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) drawn.addEventListener(end, () => move(false));
drawn.addEventListener("contextmenu", (event) => event.preventDefault());
drawn.addEventListener("click", (event) => {
  if (event.detail === 0) press(1, false); // by Enter, or by a screen reader: there was no pointer
});

for (const button of document.querySelectorAll("[data-clicks]")) {
  button.addEventListener("click", () => press(button.dataset.clicks, "hold" in button.dataset));
}

function isForKeys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  if (event.target === drawn || event.target.matches("input[type=range]")) return true; // a slider knows no such keys
  return !event.target.closest("input, select, textarea, button, a, summary");
}

addEventListener("keydown", (event) => {
  if (!isForKeys(event) || event.repeat) {
    if (event.key === " " && isForKeys(event)) event.preventDefault();
    return;
  }
  if (event.key === " ") {
    event.preventDefault();
    move(true);
  } else if (event.key === "2") press(2, false);
  else if (event.key === "h") press(1, true);
});
addEventListener("keyup", (event) => {
  if (event.key !== " " || !isDown) return;
  event.preventDefault(); // or a focused button would be clicked as well
  move(false);
});
addEventListener("blur", () => move(false));

document.getElementById("add").addEventListener("click", async (event) => {
  event.target.disabled = true;
  const name = await send("/boards");
  event.target.disabled = false;
  if (name) location.search = `?board=${name}`;
});

document.getElementById("copy").addEventListener("click", async (event) => {
  const button = event.currentTarget;
  const answer = await fetch(`/vectors?board=${board}`);
  await navigator.clipboard.writeText(JSON.stringify(await answer.json(), null, 1));
  const words = button.querySelector("span");
  const before = words.textContent;
  words.textContent = document.body.dataset.copied;
  setTimeout(() => (words.textContent = before), 2000);
});

document.body.addEventListener("input", (event) => {
  const output = document.querySelector(`output[for="${event.target.id}"]`);
  if (output) output.textContent = `${number(event.target.value)}\u00a0${output.dataset.unit}`;
});

document.body.addEventListener("htmx:responseError", (event) => tellProblem(event.detail.xhr.responseText));
document.body.addEventListener("htmx:sendError", () => tellProblem(document.body.dataset.cut));
document.body.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful && event.detail.requestConfig.verb === "post") tellProblem("");
});

function tellProblem(text) {
  if (problem.textContent !== text) problem.textContent = text;
}

function number(value) {
  return String(value).replace("-", "\u2212").replace(/\B(?=(\d{3})+$)/g, "\u00a0");
}

// What has changed

function listen() {
  source = new EventSource("/events");
  source.addEventListener("open", () => {
    if (document.body.dataset.live === "cut") {
      tellProblem("");
      for (const part of ["board", "boards", "rows", "air", "traffic"]) refresh(part);
    }
    document.body.dataset.live = "live";
  });
  source.addEventListener("error", () => {
    document.body.dataset.live = "cut";
    tellProblem(document.body.dataset.cut);
  });
  for (const part of ["board", "boards", "rows", "air", "traffic"]) {
    source.addEventListener(part, (event) => {
      const { device } = JSON.parse(event.data);
      if (part === "board") refresh("boards");
      if (!device || device === board) refresh(part);
    });
  }
  source.addEventListener("lamp", (event) => {
    const { device, value } = JSON.parse(event.data);
    if (device === board) drawn.classList.toggle("lit", value === "1");
  });
  source.addEventListener("said", (event) => {
    const { device, value } = JSON.parse(event.data);
    if (device === board) document.getElementById("spoken").textContent = value;
  });
}

function refresh(part) {
  due.add(part);
  timer ||= setTimeout(() => {
    timer = 0;
    const parts = due;
    due = new Set();
    for (const one of parts) htmx.trigger(document.body, one);
  }, TOLD_MS);
}

// A hidden tab holds no connection: a browser opens six to a host.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    move(false);
    source?.close();
  } else {
    document.body.dataset.live = "cut"; // what happened meanwhile is asked for
    listen();
  }
});

listen();
