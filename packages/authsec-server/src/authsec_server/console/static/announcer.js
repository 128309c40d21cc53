// Texts for screen readers, in one live region. The region exists before its first text: otherwise some readers miss it.

const place = document.createElement("div");
place.id = "announcer";
place.className = "hidden";
place.setAttribute("role", "status");
document.body.append(place);

export function announce(text) {
  const home = document.querySelector("dialog:modal") ?? document.body; // everything outside a modal dialog is silent
  if (place.parentElement !== home) home.append(place);
  place.textContent = text;
}
