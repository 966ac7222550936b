"use strict";
// The page is whole without this: it adds a search over containers, and opens what is folded before printing.
for (const box of document.querySelectorAll(".search")) {
  const place = box.parentElement;
  const field = box.querySelector("input[type=search]");
  const only = box.querySelector("input[type=checkbox]");
  const said = box.querySelector("[role=status]");
  const parts = [...place.querySelectorAll("details.part")];
  const rows = parts.map((part) => [...part.querySelectorAll("tbody tr")]);
  const filter = () => {
    const wanted = field.value.trim().toLowerCase();
    const narrowed = wanted !== "" || (only !== null && only.checked);
    let found = 0;
    parts.forEach((part, number) => {
      let here = 0;
      for (const row of rows[number]) {
        const shown = row.textContent.toLowerCase().includes(wanted) && (only === null || !only.checked || row.classList.contains("bad"));
        row.hidden = !shown;
        here += shown ? 1 : 0;
      }
      part.hidden = narrowed && here === 0;
      part.open = narrowed ? here > 0 : number === 0;
      found += here;
    });
    said.textContent = narrowed ? found.toLocaleString("en") + " found" : "";
  };
  field.addEventListener("input", filter);
  if (only !== null) only.addEventListener("change", filter);
  box.hidden = false;
}
let opened = [];
window.addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open]):not(.no-print)")];
  for (const one of opened) one.open = true;
});
window.addEventListener("afterprint", () => {
  for (const one of opened) one.open = false;
});
