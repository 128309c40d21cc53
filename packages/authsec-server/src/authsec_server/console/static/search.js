// Suggestions in the search field of the top bar. Without this script, the field leads to the page of results.

import { combobox } from "./combobox.js";

export function searchField(input) {
  if (!input) return;
  combobox(input, {
    label: "Search results",
    free: true,
    ask: async (text) => (await fetch(`/console/search/suggestions?q=${encodeURIComponent(text)}`)).json(),
    choose: (option) => location.assign(option.dataset.path),
  });
}
