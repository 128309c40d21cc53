// Convenience in the steps of a trust delegation: "Select All" works without another page, the Enter key presses the right
// button, and "1 Hour" becomes "2 Hours".

for (const button of document.querySelectorAll("button[data-select]")) {
  button.addEventListener("click", (event) => {
    event.preventDefault();
    for (const box of document.querySelectorAll(`input[type=checkbox][name="${button.dataset.select}"]`)) box.checked = button.value === "all";
  });
}

const amount = document.querySelector("#field-amount");
amount?.addEventListener("input", () => {
  for (const unit of document.querySelectorAll("#field-unit option")) unit.textContent = amount.value === "1" ? unit.dataset.one : unit.dataset.many;
});

for (const field of document.querySelectorAll("input[data-enter]")) {
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    document.getElementById(field.dataset.enter)?.click();
  });
}
