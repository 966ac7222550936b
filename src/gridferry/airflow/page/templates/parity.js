"use strict";
// The page works without this: it refreshes what is shown, saves a click on the buttons, and takes over Airflow's theme.
const box = document.getElementById("refresh");
const said = document.getElementById("refreshed");
document.getElementById("refresh-label").hidden = false;
document.addEventListener("change", (event) => {
  if (event.target.matches("select")) event.target.form.submit();
});
const busy = () => {
  const at = document.activeElement;
  return document.hidden || !box.checked || (at !== null && at.matches("main input, main select, #connection"));
};
const refresh = async () => {
  if (busy()) return;
  try {
    const answer = await fetch(location.href, { credentials: "same-origin" });
    if (answer.status === 401 || answer.status === 403) {
      box.checked = false;
      said.textContent = "Log in to Airflow again to see more.";
      return;
    }
    if (!answer.ok) throw new Error(answer.statusText);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("parity");
    if (fresh === null || busy()) return;
    const at = document.activeElement;
    const place = at !== null && at.closest("#parity") ? at.getAttribute("href") : null;
    document.getElementById("parity").replaceWith(fresh);
    if (place !== null) {
      const again = [...fresh.querySelectorAll("a")].find((link) => link.getAttribute("href") === place);
      if (again) again.focus();
    }
    said.textContent = "";
  } catch {
    said.textContent = "Airflow did not answer; this is the last state that was read.";
  }
};
setInterval(refresh, 30000);
const dress = () => {
  const shell = window.parent.document.documentElement;
  const theme = ["dark", "light"].find((name) => shell.classList.contains(name));
  document.documentElement.style.colorScheme = theme ?? "";
};
if (window.parent !== window) {
  dress();
  new MutationObserver(dress).observe(window.parent.document.documentElement, { attributeFilter: ["class"] });
}
