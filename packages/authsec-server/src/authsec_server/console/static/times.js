// Keeps "3 minutes ago" true while a page stays open.

const UNITS = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];

function words(instant, now) {
  const seconds = Math.trunc((now - instant) / 1000);
  const past = Math.abs(seconds);
  if (past < 5) return "just now";
  const [size, unit] = UNITS.find(([least]) => past >= least);
  const amount = Math.floor(past / size);
  const text = `${amount.toLocaleString("en")} ${unit}${amount === 1 ? "" : "s"}`;
  return seconds > 0 ? `${text} ago` : `in ${text}`;
}

export function relativeTimes() {
  setInterval(() => {
    for (const time of document.querySelectorAll("time[datetime]")) time.textContent = words(new Date(time.dateTime), Date.now());
  }, 15000);
}
