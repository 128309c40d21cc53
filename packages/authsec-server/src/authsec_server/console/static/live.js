// Shows new events of the audit log at the top of the table. The server sends rendered and escaped rows.
// The row of a run of equal refusals replaces the row of the same run that has fewer of them.
// Rows move only while nobody reads them: otherwise the events wait, and a button shows their number.

const mark = document.querySelector("[data-stream]");
const events = document.querySelector("#events");
const MOST = 200;

const waiting = [];
let lost = false; // the server has sent more events than this page has received

if (mark && events) {
  const address = new URL(mark.dataset.stream, location.href);
  address.searchParams.set("after", mark.dataset.after);
  const source = new EventSource(address);
  source.addEventListener("open", () => { mark.hidden = false; });
  source.addEventListener("error", () => { mark.hidden = true; });
  source.addEventListener("message", (message) => add(message.data));
  source.addEventListener("lagging", () => {
    source.close();
    lost = true;
    if (nobodyReads()) location.reload();
    else show();
  });
  source.addEventListener("ended", () => { source.close(); mark.hidden = true; });
  window.addEventListener("pagehide", () => source.close());
  mark.querySelector("button").addEventListener("click", () => {
    if (lost) return location.reload();
    insert();
    events.closest(".table").focus({ preventScroll: true }); // the button is gone
    mark.scrollIntoView();
  });
}

function add(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const row = template.content.firstElementChild;
  const known = `[data-event="${CSS.escape(row?.dataset.event ?? "")}"]`;
  if (!row || events.querySelector(known) || waiting.some((each) => each.matches(known))) return;
  const shorter = waiting.findIndex((each) => isOfRun(each, row));
  if (shorter >= 0) waiting.splice(shorter, 1);
  waiting.push(row);
  if (nobodyReads()) insert();
  else show();
}

// A run is named by its oldest event. The row of that event alone has no run.
function isOfRun(row, longer) {
  return "run" in longer.dataset && [row.dataset.run, row.dataset.event].includes(longer.dataset.run);
}

function number(row) {
  return Number(row?.dataset.count ?? 1);
}

// The events of a waiting row that the table does not show yet.
function unseen(row) {
  const shown = [...events.children].find((each) => isOfRun(each, row));
  return number(row) - (shown ? number(shown) : 0);
}

function nobodyReads() {
  const button = mark.querySelector("button");
  return events.closest(".table").getBoundingClientRect().top >= 0
    && ![events, button].some((each) => each.matches(":hover") || each.contains(document.activeElement));
}

function insert() {
  document.querySelector("#no-events")?.remove();
  events.closest(".table").hidden = false;
  for (const row of waiting) [...events.children].find((each) => isOfRun(each, row))?.remove();
  events.prepend(...waiting.splice(0).reverse());
  while (events.children.length > MOST) events.lastElementChild.remove();
  show();
}

function show() {
  const [button, status] = [mark.querySelector("button"), mark.querySelector("[role=status] > :last-child")];
  button.hidden = !lost && waiting.length === 0;
  const count = waiting.reduce((sum, row) => sum + unseen(row), 0);
  button.textContent = lost ? "Show new events" : `${count} new event${count === 1 ? "" : "s"}`;
  const text = button.hidden ? "New events appear automatically." : "New events wait while you read.";
  if (status.textContent !== text) status.textContent = text; // said by screen readers once, not with each event
}
