// A text field with suggestions (the ARIA pattern "combobox with list autocomplete"). The caller loads the options as
// `li` elements, and handles a choice.

const DELAY = 150;

// `ask(text)` returns a promise of `{ options, more }`: the escaped HTML of the options, and whether there are others.
// `choose(option)` gets the chosen element. `leave(options)` runs when the field loses the focus; `options` are all options
// for the typed text, if they are loaded. With `free`, any text is a value: an empty text has no suggestions, no option is
// marked at first, and the Enter key then sends the form.
export function combobox(input, { label, ask, choose, leave = () => {}, nothing = "Nothing matches.", free = false }) {
  const popup = document.createElement("div");
  const list = document.createElement("ul");
  const none = document.createElement("p");
  const status = document.createElement("p");
  popup.className = "suggestions";
  popup.hidden = true;
  list.id = `${input.id}-list`;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", label);
  none.className = "soft";
  status.className = "hidden";
  status.setAttribute("role", "status");
  popup.append(list, none);
  let place = input.closest(".combobox");
  if (!place) {
    place = document.createElement("div");
    place.className = "combobox";
    input.replaceWith(place);
    place.append(input);
  }
  place.append(popup, status);
  for (const [name, value] of Object.entries({ role: "combobox", autocomplete: "off", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": list.id })) input.setAttribute(name, value);

  let timer = 0;
  let asked = 0;
  let active = -1;
  let complete; // the text whose options are all in the list

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => open(input.value.trim()), DELAY);
  });
  input.addEventListener("click", () => {
    if (popup.hidden) open(first());
    if (!free) input.select();
  });
  input.addEventListener("blur", () => {
    close();
    leave(complete === input.value.trim() ? [...list.children] : []);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (popup.hidden) open(first());
      else mark(event.key === "ArrowDown" ? active + 1 : Math.max(active, 0) - 1);
    } else if (event.key === "Enter") {
      const option = popup.hidden ? null : list.children[active];
      if (!free || option) event.preventDefault(); // the Enter key chooses
      if (option) pick(option);
      else if (free) close();
    } else if (event.key === "Escape" && !popup.hidden) {
      event.preventDefault();
      close();
    }
  });
  popup.addEventListener("mousedown", (event) => {
    event.preventDefault(); // keeps the focus in the field
    const option = event.target.closest("[role=option]");
    if (option) pick(option);
  });

  function first() {
    return free ? input.value.trim() : "";
  }

  async function open(text) {
    if (free && !text) return close();
    const number = ++asked;
    const answer = await ask(text).catch(() => null);
    if (!answer || number !== asked || document.activeElement !== input) return;
    list.innerHTML = answer.options; // the server has escaped it
    complete = answer.more ? undefined : text;
    [...list.children].forEach((option, index) => { option.id = `${list.id}-${index}`; });
    const found = list.children.length;
    list.hidden = !found;
    none.hidden = found > 0 && !answer.more;
    none.textContent = found ? "Type to find others." : nothing;
    status.textContent = found ? `${found}${answer.more ? " or more" : ""} found` : nothing;
    popup.hidden = false;
    input.setAttribute("aria-expanded", String(found > 0));
    mark(free ? null : 0);
  }

  function mark(index) {
    const options = [...list.children];
    active = options.length && index !== null ? (index + options.length) % options.length : -1;
    options.forEach((option, at) => option.setAttribute("aria-selected", String(at === active)));
    if (active < 0) input.removeAttribute("aria-activedescendant");
    else input.setAttribute("aria-activedescendant", options[active].id);
    options[active]?.scrollIntoView({ block: "nearest" });
  }

  function pick(option) {
    choose(option);
    close();
  }

  function close() {
    clearTimeout(timer);
    asked += 1;
    popup.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }
}
