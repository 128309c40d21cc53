// The delegation diagram: the box under the pointer, the focused box or the searched boxes light up all their paths.
// Without this script, each box is a link to a diagram of its paths.

const search = document.querySelector("#filter-find");
const found = document.querySelector("#found");

for (const picture of document.querySelectorAll("svg.picture")) {
  const parts = new Map([...picture.querySelectorAll("[data-ways]")].map((part) => [part, part.dataset.ways.split(" ")]));
  const boxes = [...parts.keys()].filter((part) => part.matches("a"));
  let pointed = null;
  let focused = null;

  const show = () => {
    const chosen = pointed ?? focused;
    const lit = chosen ? [chosen] : searched();
    const ways = new Set(lit?.flatMap((box) => parts.get(box)));
    picture.classList.toggle("tracing", lit !== null);
    for (const [part, its] of parts) part.classList.toggle("lit", its.some((way) => ways.has(way)));
  };
  const searched = () => {
    const text = search?.value.trim().toLowerCase();
    const matching = text ? boxes.filter((box) => box.querySelector("title").textContent.toLowerCase().includes(text)) : null;
    if (found) found.textContent = matching ? `${matching.length} of ${boxes.length} boxes` : "";
    return matching;
  };

  picture.addEventListener("pointerover", (event) => { pointed = event.target.closest("a"); show(); });
  picture.addEventListener("pointerleave", () => { pointed = null; show(); });
  picture.addEventListener("focusin", (event) => { focused = event.target.closest("a"); show(); });
  picture.addEventListener("focusout", () => { focused = null; show(); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") { pointed = focused = null; show(); } });
  search?.addEventListener("input", show);

  // In a narrow window, the diagram begins with the agents. If they fit, the APIs are whole as well.
  const frame = picture.parentElement;
  const agents = picture.querySelectorAll(".picture-head")[3].getBoundingClientRect().left - picture.getBoundingClientRect().left;
  if (frame.scrollWidth > frame.clientWidth) frame.scrollLeft = frame.scrollWidth - agents > frame.clientWidth ? agents - 8 : frame.scrollWidth;

  // The style fades an edge while the diagram goes on beyond it.
  const showEdges = () => {
    frame.classList.toggle("more-before", frame.scrollLeft > 4);
    frame.classList.toggle("more-after", frame.scrollLeft + frame.clientWidth < frame.scrollWidth - 4);
  };
  frame.addEventListener("scroll", showEdges);
  new ResizeObserver(showEdges).observe(frame);
}
