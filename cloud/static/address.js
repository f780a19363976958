// Counts the signs of each address line while it is typed; without it the server says the same afterwards.
for (const count of document.querySelectorAll("[data-most]")) {
  const field = document.getElementById(count.dataset.field);
  const most = Number(count.dataset.most);
  const tell = () => {
    const signs = [...field.value.normalize("NFC").trim().replace(/\s+/g, " ")].length;
    count.textContent = `${signs}/${most}`;
    count.classList.toggle("over", signs > most);
  };
  field.addEventListener("input", tell);
  tell();
  count.hidden = false;
}
