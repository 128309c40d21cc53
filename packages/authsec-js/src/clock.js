/** The machine's clocks, in seconds. `monotonic` cannot be set; `wall` continues while the machine sleeps. */
export const CLOCK = Object.freeze({
  monotonic: () => performance.now() / 1000,
  wall: () => Date.now() / 1000,
});

/** Return the current time on both clocks. */
export function moment(clock) {
  return { monotonic: clock.monotonic(), wall: clock.wall() };
}

/** Return the seconds since `earlier`, or Infinity without `earlier`: the longer of the durations on the two clocks. */
export function since(earlier, clock) {
  if (earlier === undefined) return Infinity;
  return Math.max(clock.monotonic() - earlier.monotonic, clock.wall() - earlier.wall);
}

/** Tell the program's operator. */
export function warn(text) {
  process.emitWarning(text, "AuthSecWarning");
}
