// After a refused form, the problem of a field disappears while the field differs from the refused value. Its line in the
// summary disappears with it, and the summary with the last line. Without this script, all stay until the form is sent again.

import { released } from "./pointer.js";

export function addressedProblems() {
  const summary = document.querySelector("#problem");
  const entries = [...document.querySelectorAll('.problem[id$="-problem"]')].map((problem) => entry(described(problem.id), problem));
  const lines = [...(summary?.querySelectorAll('a[href^="#field-"]') ?? [])].map((link) => line(link, entries));
  if (!entries.length) return;
  const title = document.title;
  const head = summary?.querySelector("[data-problems]");
  const show = async () => {
    await released(); // a pressed button must not move
    const open = entries.filter(isOpen);
    for (const each of entries) if (each.problem?.isConnected) mark(each, open.includes(each));
    const left = lines.filter(({ about }) => !about || open.includes(about));
    for (const each of lines) if (each.item) each.item.hidden = !left.includes(each);
    if (lines.length) summary.hidden = !left.length;
    if (head) head.textContent = `${left.length} problem${left.length === 1 ? "" : "s"}`;
    document.title = open.length ? title : title.replace(/^Error · /, "");
  };
  document.addEventListener("input", show);
  document.addEventListener("change", show);
  show(); // somebody may have typed already
}

// A line of the summary: its list item, and the entry that it is about. A field without a message has an entry of its own.
function line(link, entries) {
  const field = document.getElementById(link.hash.slice(1));
  let about = entries.find(({ fields }) => fields.includes(field));
  if (!about && field) entries.push((about = entry([field])));
  return { item: link.closest("li"), about };
}

function entry(fields, problem) {
  return { fields, problem, id: problem?.id, box: fields[0]?.closest(".wrong"), refused: values(fields, sent) };
}

function isOpen({ fields, refused }) {
  return values(fields) === refused;
}

function described(id) {
  return [...document.querySelectorAll(`[aria-describedby~="${CSS.escape(id)}"]`)];
}

function mark({ problem, id, box }, open) {
  problem.hidden = !open;
  problem.id = open ? id : ""; // a hidden text with an id would still describe its fields
  box?.classList.toggle("wrong", open);
  for (const field of described(id)) {
    if (open) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
  }
}

// The values of the fields as text. An untouched box has no value. A row of selectors is one value, and so is a group.
function values(fields, valueOf = chosen) {
  return JSON.stringify(fields.flatMap((field) => inputs(field)).flatMap((input) => valueOf(input)));
}

function chosen({ type, checked, name, value }) {
  return /^(checkbox|radio)$/.test(type) && !checked ? [] : [[name, value]];
}

// As the page came: the refused values.
function sent(input) {
  const { type, defaultChecked: checked, name } = input;
  if (/^(checkbox|radio)$/.test(type)) return chosen({ type, checked, name, value: input.value });
  if (!input.options) return [[name, input.defaultValue]];
  const option = [...input.options].find(({ defaultSelected }) => defaultSelected) ?? input.options[0];
  return [[name, option?.value ?? ""]];
}

function inputs(field) {
  const now = field.isConnected ? field : document.getElementById(field.id) ?? field; // a part of the page is replaced
  const row = now.closest(".selector-row");
  if (!row && now.matches("input[name], select, textarea")) return [now];
  const place = row ?? (now.matches("input") ? now.closest(".field") : now); // a combobox keeps its value in a select
  return [...place.querySelectorAll("input[name], select, textarea")];
}
