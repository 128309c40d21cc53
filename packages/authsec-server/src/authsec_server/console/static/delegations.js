// What script adds to the steps of a trust delegation: "Select All" without another page, Enter where it is expected.

for (const button of document.querySelectorAll("button[data-select]")) {
  button.addEventListener("click", (event) => {
    event.preventDefault();
    for (const box of document.querySelectorAll(`input[type=checkbox][name="${button.dataset.select}"]`)) box.checked = button.value === "all";
  });
}

for (const field of document.querySelectorAll("input[data-enter]")) {
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    document.getElementById(field.dataset.enter)?.click();
  });
}
