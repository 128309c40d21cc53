// An answer of the server waits while the pointer is down. Otherwise, the answer could move the pressed button, and the
// click is lost.

let up = Promise.resolve();
document.addEventListener("pointerdown", () => {
  up = new Promise((resolve) => {
    for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => setTimeout(resolve), { once: true });
  });
});

export function released() {
  return up;
}
