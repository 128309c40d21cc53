// Convenience for a new or edited trust delegation: a search for clients, a filter of actions, "Select All" without
// another page, and a review that follows the form. Without this script, buttons send the form.

import { announce } from "./announcer.js";
import { combobox } from "./combobox.js";
import { released } from "./pointer.js";

const DELAY = 200;
const form = document.querySelector("form[data-parts]");

for (const select of document.querySelectorAll("select[data-suggestions]")) searchable(select);

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-select]");
  if (!button) return;
  event.preventDefault();
  for (const box of boxes(button.dataset.select)) if (!box.closest("li").hidden) box.checked = button.value === "all";
  count(button.dataset.select);
  later();
});

document.addEventListener("input", (event) => {
  const field = event.target;
  if (field.dataset.filter) filter(field);
  if (field.id === "field-amount") fitUnits(field);
});

function fitUnits(amount) {
  for (const unit of document.querySelectorAll("#field-unit option")) unit.textContent = amount.value === "1" ? unit.dataset.one : unit.dataset.many;
}

document.addEventListener("change", (event) => {
  if (event.target.type === "checkbox") count(event.target.name);
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !event.target.dataset) return;
  const { enter, filter } = event.target.dataset;
  if (!enter && !filter) return;
  event.preventDefault();
  if (enter) document.getElementById(enter)?.click();
});

function boxes(name) {
  return [...document.querySelectorAll(`input[type=checkbox][name="${name}"]`)];
}

function count(name) {
  const place = document.querySelector(`[data-ticked="${name}"]`);
  const all = boxes(name);
  if (place) place.textContent = `${all.filter((box) => box.checked).length} of ${all.length} selected`;
}

function filter(field) {
  const words = field.value.toLowerCase().split(/\s+/);
  for (const box of boxes(field.dataset.filter)) {
    const row = box.closest("li");
    row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  }
}

// The select keeps the value, so the form is the same with and without this script.
function searchable(select) {
  const input = document.createElement("input");
  const name = () => select.selectedOptions[0]?.dataset.name ?? "";
  for (const each of ["aria-describedby", "aria-invalid"]) if (select.hasAttribute(each)) input.setAttribute(each, select.getAttribute(each));
  input.required = select.required;
  // The browser shows the message over the list, so it must disappear before the list opens.
  for (const begun of ["pointerdown", "keydown", "input"]) input.addEventListener(begun, () => input.setCustomValidity(""));
  input.type = "text";
  input.id = select.id;
  input.value = name();
  input.placeholder = "Search by name or Client ID";
  select.required = false;
  select.id += "-value";
  select.hidden = true;
  select.before(input);
  select.addEventListener("restored", () => { input.value = name(); });
  const take = (value) => {
    select.value = value;
    input.value = name();
    input.setCustomValidity("");
    select.dispatchEvent(new Event("change", { bubbles: true }));
  };
  const choose = (option) => {
    const { value, name, kind } = option.dataset;
    if (![...select.options].some((each) => each.value === value)) {
      const added = new Option(name, value);
      added.dataset.name = name;
      select.add(added);
    }
    fitTargetType(kind);
    take(value);
  };
  combobox(input, {
    label: "Clients",
    nothing: "No client matches. Search for another part of its name, or the start of its Client ID.",
    ask: async (text) => (await fetch(`${select.dataset.suggestions}?q=${encodeURIComponent(text)}`)).json(),
    choose,
    leave: (options) => {
      if (input.value === name()) return;
      const typed = input.value.trim().toLowerCase();
      const exact = options.filter(({ dataset }) => [dataset.name.toLowerCase(), dataset.value].includes(typed));
      if (exact.length === 1) return choose(exact[0]);
      if (!input.value) take("");
      else if (select.value) input.value = name();
      else input.setCustomValidity("Choose a client from the list.");
    },
  });
}

// An MCP server is the target type of a client that is one, and of no other.
function fitTargetType(kind) {
  const type = document.querySelector("#field-target_type");
  const mcp = [...type.options].find((option) => option.value === "MCP server");
  if ((kind === "mcp_server") !== mcp.selected) type.value = kind === "mcp_server" ? mcp.value : type.options[0].value;
}

// The parts of the page follow the form.
let timer = 0;
let asked = 0;
form?.addEventListener("input", (event) => { if (event.target.name) later(); });
form?.addEventListener("change", (event) => { if (event.target.name) later(); });
// A browser that goes back restores typed values, some of them only after this script has run. It does not restore the fields
// of parts that the script has replaced, so their values are kept with the entry of the history.
window.addEventListener("pageshow", (event) => {
  const kept = history.state?.fields;
  if (form && kept && !event.persisted) return restore(kept, history.state.client);
  if (!form || ![...form.elements].some(isChanged)) return;
  for (const select of form.querySelectorAll("select[data-suggestions]")) select.dispatchEvent(new Event("restored"));
  later();
});

function isChanged(field) {
  if (!field.name || field.type === "submit") return false;
  if (field.type === "select-one") return field.selectedIndex !== Math.max([...field.options].findIndex((option) => option.defaultSelected), 0);
  return field.type === "checkbox" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue;
}

function keep() {
  const client = form.querySelector("select[data-suggestions]")?.selectedOptions[0]?.dataset.name;
  history.replaceState({ ...history.state, fields: [...new FormData(form)], client }, "");
}

async function restore(kept, client) {
  const values = (name) => kept.filter(([each]) => each === name).map(([, value]) => value);
  for (const select of form.querySelectorAll("select[data-suggestions]")) {
    const [id] = values(select.name);
    if (id && ![...select.options].some((each) => each.value === id)) {
      const added = new Option(client, id);
      added.dataset.name = client;
      select.add(added);
    }
  }
  const fill = () => {
    for (const field of form.elements) {
      if (!field.name || /^(submit|hidden)$/.test(field.type)) continue;
      if (/^(checkbox|radio)$/.test(field.type)) field.checked = values(field.name).includes(field.value);
      else if (values(field.name).length) [field.value] = values(field.name);
    }
    for (const select of form.querySelectorAll("select[data-suggestions]")) select.dispatchEvent(new Event("restored"));
    const amount = form.querySelector("#field-amount");
    if (amount) fitUnits(amount);
  };
  fill();
  await follow(kept);
  fill();
  count("actions");
  later();
}

function later() {
  clearTimeout(timer);
  if (!form) return;
  keep();
  timer = setTimeout(() => follow(), DELAY);
}

async function follow(fields = new FormData(form)) {
  const number = ++asked;
  const answer = await fetch(form.dataset.parts, { method: "POST", body: new URLSearchParams(fields) }).catch(() => null);
  if (!answer?.ok || number !== asked) return; // the server checks the sent form again
  const fresh = await answer.json().catch(() => null); // who is no longer signed in gets a page
  await released();
  if (!fresh || number !== asked) return;
  for (const [name, html] of Object.entries(fresh)) renew(document.querySelector(`[data-part="${name}"]`), html);
}

// A part with the same key has the same choices, perhaps with other ticks: it stays.
function renew(old, html) {
  if (!old) return;
  const part = new DOMParser().parseFromString(html, "text/html").body.firstElementChild; // the server has escaped it
  if ("key" in old.dataset && old.dataset.key === part.dataset.key) return;
  if (old.isEqualNode(part)) return;
  const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
  const open = [...old.querySelectorAll("details")].map((each) => each.open);
  old.replaceWith(part);
  part.querySelectorAll("details").forEach((each, index) => { if (open[index]) each.open = true; });
  if (part.id === "review" && gist(part) !== gist(old)) announce(`Review: ${gist(part)}`);
  if (focused) document.getElementById(focused)?.focus();
}

// The first words below the heading: the number of warnings, or what is missing.
function gist(review) {
  return review.querySelector(".alert-head, h2 + p")?.textContent ?? "no warnings";
}
