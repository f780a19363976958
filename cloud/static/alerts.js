// The page of open alerts: `a` acknowledges the row that has the focus, which stays where it is when the list comes anew.
"use strict";

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog")) return;
  if (event.key !== "a") return;
  const form = event.target.closest("tr")?.querySelector('form[action$="/acknowledge"]');
  if (!form) return;
  event.preventDefault();
  form.requestSubmit();
});

// The list says how old it is when it no longer comes.
for (const failure of ["htmx:sendError", "htmx:responseError"]) {
  document.addEventListener(failure, () => {
    const chip = document.querySelector("#alerts-live");
    chip?.classList.add("warn");
    chip?.querySelector("use").setAttribute("href", "#i-stale");
  });
}
