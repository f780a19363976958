// A page's ear at the hub of the stream (stream.js): it listens while the page is seen, says now and then that it is
// here, and goes to a hub of its own when the shared one has died.

const HERE_MS = 10_000; // between two words to the hub
const SILENT_HUB_MS = 60_000; // after that it has died

// `wanted()` is what the page wants just then: view, lang, replay, orders, after. `hear` is given what the hub says.
export function listen(wanted, hear) {
  let port = null;
  let isSeen = false;
  let heardAt = 0;
  let saidAt = 0;

  function open(alone) {
    port = streamPort(alone);
    port.onmessage = (event) => {
      heardAt = Date.now();
      if (!isSeen) return;
      if (event.data.kind === "who") want();
      else hear(event.data);
    };
  }

  function want() {
    heardAt = saidAt = Date.now();
    port.postMessage({ kind: "want", ...wanted() });
  }

  function look() {
    if (document.hidden === !isSeen) return;
    isSeen = !document.hidden;
    if (isSeen) want();
    else port.postMessage({ kind: "leave" });
  }

  function tick() {
    const now = Date.now();
    if (isSeen && now - heardAt > SILENT_HUB_MS) {
      open(true);
      want();
    }
    if (isSeen && now - saidAt > HERE_MS) {
      saidAt = now;
      port.postMessage({ kind: "here" });
    }
  }

  document.addEventListener("visibilitychange", look);
  addEventListener("pageshow", look);
  addEventListener("pagehide", () => {
    if (isSeen) port.postMessage({ kind: "leave" });
    isSeen = false;
  });
  open();
  setInterval(tick, 1_000);
  look();
}
