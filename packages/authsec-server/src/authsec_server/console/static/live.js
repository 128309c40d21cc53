// Shows new events of the audit log at the top of the table. The server sends rendered and escaped rows.

const mark = document.querySelector("[data-stream]");
const events = document.querySelector("#events");
const MOST = 200;

if (mark && events) {
  const address = new URL(mark.dataset.stream, location.href);
  address.searchParams.set("after", mark.dataset.after);
  const source = new EventSource(address);
  source.addEventListener("open", () => { mark.hidden = false; });
  source.addEventListener("error", () => { mark.hidden = true; });
  source.addEventListener("message", (message) => add(message.data));
  source.addEventListener("lagging", () => { source.close(); location.reload(); });
  source.addEventListener("ended", () => { source.close(); mark.hidden = true; });
  window.addEventListener("pagehide", () => source.close());
}

function add(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const row = template.content.firstElementChild;
  if (!row || events.querySelector(`[data-event="${CSS.escape(row.dataset.event)}"]`)) return;
  document.querySelector("#no-events")?.remove();
  events.closest(".table").hidden = false;
  events.prepend(row);
  while (events.children.length > MOST) events.lastElementChild.remove();
}
