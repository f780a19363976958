// A page looked at anew where it stands: its main part is fetched, and takes the place of what is shown if it differs.

let looking = false;

// Nobody's choice, field or selection is taken from under them.
export function isBusy() {
  return document.hidden || document.querySelector("main :is(input, select, textarea):focus, main details[open]");
}

export async function look() {
  if (looking) return;
  looking = true;
  try {
    const answer = await fetch(location.href);
    if (answer.redirected) return location.reload(); // the session is over
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const [there, here] = [page.querySelector("main"), document.querySelector("main")];
    if (there && there.innerHTML !== here.innerHTML && !isBusy()) replaceBy(there, here);
  } catch {
    // the service is away: it is asked again
  } finally {
    looking = false;
  }
}

function replaceBy(there, here) {
  const row = document.activeElement.closest("main tr, main [id]")?.id;
  document.title = there.ownerDocument.title;
  here.replaceChildren(...document.adoptNode(there).childNodes);
  if (row) document.getElementById(row)?.focus();
  window.htmx?.process(here);
}
