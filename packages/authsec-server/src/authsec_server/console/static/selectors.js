// While a person types selectors, the server checks each row and says how the selector would be proved. A button adds a
// row without a new page. Without this script, the server checks the rows when the form is sent.

const DELAY = 250;

// An answer waits while the pointer is down. Otherwise, the answer could move the pressed button, and the click is lost.
let released = Promise.resolve();
document.addEventListener("pointerdown", () => {
  released = new Promise((resolve) => {
    for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => setTimeout(resolve), { once: true });
  });
});

for (const section of document.querySelectorAll("[data-selectors]")) {
  const rows = section.querySelector(".selector-rows");
  let timer = 0;
  let asked = 0;
  let shown = "";

  section.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(check, DELAY);
  });
  section.addEventListener("focusout", check);
  section.querySelector("button[name=add]").addEventListener("click", (event) => {
    event.preventDefault();
    const row = blankCopy(rows.lastElementChild, rows.children.length);
    rows.append(row);
    row.querySelector("input").focus();
  });

  async function check() {
    const number = ++asked;
    const body = new URLSearchParams({ platform: section.dataset.selectors, trusted_issuer: section.querySelector("select")?.value ?? "" });
    for (const row of rows.children) {
      const [key, value] = row.querySelectorAll("input");
      body.append("key", key.value.trim());
      body.append("value", value.value.trim());
    }
    const answer = await fetch(section.dataset.check, { method: "POST", body }).catch(() => null);
    if (!answer?.ok || number !== asked) return; // the server checks the sent form again
    const checked = await answer.json();
    await released;
    if (number !== asked) return;
    checked.rows.forEach((each, index) => show(rows.children[index], each));
    if (shown !== checked.outlook) section.querySelector(".outlook").innerHTML = checked.outlook; // the server has escaped it
    shown = checked.outlook;
  }
}

// While a person types a key, the row shows an explanation instead of an error.
function show(row, told) {
  if (!row) return;
  const typingKey = document.activeElement === row.querySelector("input");
  const wrong = told.wrong && !(typingKey && told.text !== told.meanwhile);
  row.classList.toggle("wrong", wrong);
  for (const input of row.querySelectorAll("input")) {
    if (wrong) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
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
  for (const input of copy.querySelectorAll("input")) {
    input.value = "";
    input.removeAttribute("id");
    input.removeAttribute("value");
    input.placeholder = "";
    input.removeAttribute("aria-invalid");
    input.setAttribute("aria-describedby", told.id);
    input.setAttribute("aria-label", input.getAttribute("aria-label").replace(/\d+$/, index + 1));
  }
  return copy;
}
