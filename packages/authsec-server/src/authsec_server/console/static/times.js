// Keeps "3 minutes ago" true while a page stays open. Exact times stay as they are.

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

// The age of an event whose time is known only to the minute. The age starts at the end of the minute.
function wordsOfMinute(minute, now) {
  const passed = Math.trunc((now - minute) / 1000) - 60;
  if (passed < 0) return "this minute";
  if (passed >= 3600) return words(minute, now);
  const minutes = Math.max(Math.floor(passed / 60), 1);
  return `${minutes} minute${minutes === 1 ? "" : "s"} ago`;
}

export function relativeTimes() {
  setInterval(() => {
    for (const time of document.querySelectorAll("time[datetime]:not([data-exact])")) {
      const told = "minute" in time.dataset ? wordsOfMinute : words;
      time.textContent = told(new Date(time.dateTime), Date.now());
    }
  }, 15000);
}
