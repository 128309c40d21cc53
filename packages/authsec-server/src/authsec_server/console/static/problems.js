// After a refused form, the problem of a field disappears while the field differs from the refused value. The summary
// disappears with it. Without this script, both stay until the form is sent again.

import { released } from "./pointer.js";

export function addressedProblems() {
  const summary = document.querySelector("#problem");
  const link = summary?.querySelector('.alert-head a[href^="#field-"]');
  const entries = [...document.querySelectorAll('.problem[id$="-problem"]')].map((problem) => entry(described(problem.id), problem));
  const named = link && document.getElementById(link.hash.slice(1));
  if (named && !entries.some(({ fields }) => fields.includes(named))) entries.push(entry([named]));
  if (!entries.length) return;
  const title = document.title;
  const show = async () => {
    await released(); // a pressed button must not move
    const open = entries.filter(isOpen);
    for (const each of entries) if (each.problem?.isConnected) mark(each, open.includes(each));
    if (link) summary.hidden = !open.length;
    document.title = open.length ? title : title.replace(/^Error · /, "");
  };
  document.addEventListener("input", show);
  document.addEventListener("change", show);
}

function entry(fields, problem) {
  return { fields, problem, id: problem?.id, box: fields[0]?.closest(".wrong"), refused: values(fields) };
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
function values(fields) {
  return JSON.stringify(fields.flatMap((field) => inputs(field)).filter((input) => !/^(checkbox|radio)$/.test(input.type) || input.checked).map(({ name, value }) => [name, value]));
}

function inputs(field) {
  const now = field.isConnected ? field : document.getElementById(field.id) ?? field; // a part of the page is replaced
  const row = now.closest(".selector-row");
  if (!row && now.matches("input[name], select, textarea")) return [now];
  const place = row ?? (now.matches("input") ? now.closest(".field") : now); // a combobox keeps its value in a select
  return [...place.querySelectorAll("input[name], select, textarea")];
}
