// Convenience on all pages: copy buttons, busy buttons, dialogs that keep the focus, menus that close, filters that apply at once.
// Every page also works without this script.

import { announce } from "./announcer.js";
import { addressedProblems } from "./problems.js";
import { searchField } from "./search.js";
import { relativeTimes } from "./times.js";

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.querySelector(".copied")?.remove();
    const note = document.createElement("span");
    note.className = "copied";
    note.setAttribute("aria-hidden", "true"); // the live region says it
    note.textContent = "Copied";
    button.append(note);
    announce("Copied");
    setTimeout(() => note.remove(), 1500);
  });
}

// A page that answers a form becomes an ordinary page of the history: Back and Reload must neither ask to send the form again
// nor send it, for example to make a second code.
if ("answersForm" in document.documentElement.dataset) history.replaceState(history.state, "", location.href);

// While a form is sent, its button is busy, and a second click sends nothing. A stopped request frees the form again.
const BUSY = 10000;
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented) return;
  if ("busy" in form.dataset && form.method === "post") {
    event.preventDefault();
    return;
  }
  form.dataset.busy = "";
  event.submitter?.setAttribute("aria-disabled", "true");
  event.submitter?.classList.add("busy");
  setTimeout(free, BUSY);
});
window.addEventListener("pageshow", free);

function free() {
  for (const form of document.querySelectorAll("form[data-busy]")) delete form.dataset.busy;
  for (const button of document.querySelectorAll("button.busy")) {
    button.classList.remove("busy");
    button.removeAttribute("aria-disabled");
  }
}

for (const dialog of document.querySelectorAll("dialog[open][data-leave]")) {
  dialog.removeAttribute("open");
  dialog.showModal();
  // Escape and the backdrop ask before typed values are lost.
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    leave(dialog);
  });
}

function leave(dialog) {
  const typed = [...dialog.querySelectorAll("input, textarea")].some((field) => field.type !== "hidden" && field.type !== "radio" && field.value !== field.defaultValue);
  if (!typed || window.confirm("Leave without saving what you typed?")) location.assign(dialog.dataset.leave);
}

// Without a chosen theme, the system's theme is shown. The first press must then switch to the other theme.
const theme = document.querySelector("button[name=theme]");
if (theme && !document.documentElement.dataset.theme && window.matchMedia("(prefers-color-scheme: dark)").matches) {
  theme.value = "light";
  theme.querySelector("span").textContent = "Light theme";
}

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (menu.contains(document.activeElement)) menu.querySelector("summary").focus();
    menu.open = false;
  }
  const asks = (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) || (event.key.toLowerCase() === "k" && event.metaKey !== event.ctrlKey && !event.shiftKey && !event.altKey);
  const search = document.querySelector("#search");
  if (asks && search && !document.querySelector("dialog:modal")) {
    event.preventDefault();
    search.focus();
    search.select();
  }
});

// A choice applies at once, and typed text after a pause. The next page keeps the focus, the caret and what was typed since.
// A person may leave the field within the pause: the focus then stays where the person went.
const PAUSE = 600;
const PLACE = "filter-place";
const PLACES = "a, button, input, select, summary, textarea, [tabindex]";
let timer = 0;
let applied = false;
for (const form of document.querySelectorAll("form[data-apply]")) {
  form.addEventListener("change", (event) => {
    if (isText(event.target)) return;
    clearTimeout(timer);
    form.requestSubmit();
  });
  form.addEventListener("input", (event) => {
    clearTimeout(timer);
    if (isText(event.target)) timer = setTimeout(apply, PAUSE, form);
  });
}
// The pause must not replace the page to which a form or a link leads.
document.addEventListener("submit", (event) => {
  clearTimeout(timer);
  applied = "apply" in event.target.dataset;
});
document.addEventListener("click", (event) => {
  if (event.target.closest("a[href]") && !event.ctrlKey && !event.metaKey && !event.shiftKey) clearTimeout(timer);
});
window.addEventListener("pagehide", () => {
  const field = document.activeElement;
  if (!applied || !field.matches(PLACES)) return;
  const typed = isText(field) ? { value: field.value, start: field.selectionStart, end: field.selectionEnd } : {};
  sessionStorage.setItem(PLACE, JSON.stringify({ path: location.pathname, id: field.id, words: wordsOf(field), ...typed }));
  applied = false;
});

function apply(form) {
  applied = true;
  const address = new URL(form.action);
  address.search = new URLSearchParams(new FormData(form));
  location.replace(address); // Back must not go through unfinished words
}

function isText(field) {
  return field.matches("input[type=search], input[type=text], input:not([type])");
}

function resumeFilter() {
  const place = JSON.parse(sessionStorage.getItem(PLACE) ?? "null");
  sessionStorage.removeItem(PLACE);
  if (place?.path !== location.pathname) return false;
  const field = place.id ? document.getElementById(place.id) : [...document.querySelectorAll(PLACES)].find((each) => !each.id && wordsOf(each) === place.words);
  if (!field) return false;
  field.focus();
  if (isText(field) && "value" in place) {
    if (field.value !== place.value) {
      field.value = place.value;
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }
    field.setSelectionRange(place.start, place.end);
  }
  return true;
}

// A link or button without an id is found by its words.
function wordsOf(field) {
  return [field.tagName, field.name, field.getAttribute("aria-label") ?? field.textContent.trim()].join(" ");
}

for (const all of document.querySelectorAll("input[data-all]")) {
  const boxes = () => [...document.querySelectorAll(`input[type=checkbox][name="${all.dataset.all}"]`)];
  const show = () => {
    const ticked = boxes().filter((box) => box.checked).length;
    all.checked = ticked > 0 && ticked === boxes().length;
    all.indeterminate = ticked > 0 && ticked < boxes().length;
    const count = document.querySelector(`[data-count="${all.dataset.all}"]`);
    if (count && ticked) count.textContent = `${ticked} selected`;
  };
  all.addEventListener("change", () => { for (const box of boxes()) box.checked = all.checked; });
  document.addEventListener("change", (event) => { if ([all, ...boxes()].includes(event.target)) show(); });
  all.form.addEventListener("reset", () => setTimeout(show)); // the boxes are reset after the event
  show();
}

if (!resumeFilter()) document.querySelector("#problem, [aria-invalid=true]")?.focus();
addressedProblems();
relativeTimes();
searchField(document.querySelector("#search"));
