// While a person types selectors, the server checks each row and says how the selector would be proved. A button adds a
// row without a new page. Without this script, the server checks the rows when the form is sent.

import { released } from "./pointer.js";

const DELAY = 250;

for (const section of document.querySelectorAll("[data-selectors]")) {
  const rows = section.querySelector(".selector-rows");
  let timer = 0;
  let asked = 0;
  const places = { outlook: section.querySelector(".outlook"), verdict: section.closest("form").querySelector(`[data-verdict=${section.dataset.selectors}]`) };
  const shown = {};

  section.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(check, DELAY);
  });
  section.addEventListener("focusout", check);
  section.querySelector("button[name=add]")?.addEventListener("click", (event) => {
    event.preventDefault();
    const row = blankCopy(rows.lastElementChild, rows.children.length);
    rows.append(row);
    row.querySelector("select").focus();
  });

  async function check() {
    const number = ++asked;
    const body = new URLSearchParams({ platform: section.dataset.selectors, trusted_issuer: section.querySelector("[name$=trusted-issuer]")?.value ?? "" });
    for (const row of rows.children) {
      for (const name of ["key", "parameter", "value"]) body.append(name, row.querySelector(`[name$=${name}]`).value.trim());
    }
    const answer = await fetch(section.dataset.check, { method: "POST", body }).catch(() => null);
    if (!answer?.ok || number !== asked) return; // the server checks the sent form again
    const checked = await answer.json();
    await released();
    if (number !== asked) return;
    checked.rows.forEach((each, index) => show(rows.children[index], each));
    for (const [part, place] of Object.entries(places)) {
      if (shown[part] !== checked[part]) place.innerHTML = checked[part]; // the server has escaped it
      shown[part] = checked[part];
    }
  }
}

// While a person chooses or types a key, the row shows an explanation instead of an error.
function show(row, told) {
  if (!row) return;
  const unfinished = row.querySelector(".selector-key").contains(document.activeElement);
  const wrong = told.wrong && !(unfinished && told.text !== told.meanwhile);
  row.classList.toggle("wrong", wrong);
  for (const field of row.querySelectorAll("input, select")) {
    if (wrong) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
  }
  const place = row.querySelector("p");
  const text = told.wrong && !wrong ? told.meanwhile : told.text;
  place.className = told.wrong && !wrong ? "hint" : told.tone;
  if (place.textContent !== text) place.textContent = text;
}

function blankCopy(row, index) {
  const copy = row.cloneNode(true);
  copy.classList.remove("wrong");
  const told = copy.querySelector("p");
  told.id = told.id.replace(/-\d+-told$/, `-${index}-told`);
  told.className = "hint";
  told.textContent = "";
  copy.querySelector(".unknown")?.remove();
  copy.querySelector("[selected]")?.removeAttribute("selected");
  const words = copy.querySelector(".selector-parameter > .hidden");
  words.textContent = words.textContent.replace(/\d+$/, index + 1);
  for (const field of copy.querySelectorAll("input, select")) {
    field.value = "";
    field.removeAttribute("id");
    field.removeAttribute("value");
    field.removeAttribute("aria-invalid");
    field.setAttribute("aria-describedby", told.id);
    const label = field.getAttribute("aria-label");
    if (label) field.setAttribute("aria-label", label.replace(/\d+$/, index + 1));
  }
  return copy;
}
