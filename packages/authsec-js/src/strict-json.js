/**
 * Strict JSON (RFC 8259 with the rules of I-JSON, RFC 7493).
 *
 * If two parsers read the same text differently, they can disagree about permissions. `JSON.parse` accepts a repeated
 * name and takes its last value; other parsers take the first.
 */

const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]:]|-?\d[\d.eE+-]*/g;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const MAX_DEPTH = 8;

/** Parse the bytes as a JSON object. Throws what `refuse` returns for the reason, which never quotes the bytes. */
export function parseObject(bytes, { maxBytes = 16_384, refuse }) {
  if (bytes.length > maxBytes) throw refuse(`longer than ${maxBytes} bytes`);
  let text;
  let value;
  try {
    text = utf8.decode(bytes);
    value = JSON.parse(text);
  } catch {
    throw refuse("not JSON in UTF-8");
  }
  const problem = problemIn(text) ?? (isObject(value) ? undefined : "not a JSON object");
  if (problem !== undefined) throw refuse(problem);
  return value;
}

export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Return the canonical text of a JSON value: names sorted, no spaces. */
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const names = Object.keys(value).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
}

/** Return what strict JSON forbids in a text that `JSON.parse` has accepted; undefined if there is nothing. */
function problemIn(text) {
  const open = []; // the names so far of each open object; undefined for an open array
  let latest;
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === "{" || token === "[") {
      open.push(token === "{" ? new Set() : undefined);
      if (open.length > MAX_DEPTH) return `nested deeper than ${MAX_DEPTH}`;
    } else if (token === "}" || token === "]") {
      open.pop();
    } else if (token === ":") {
      const names = open.at(-1);
      if (names.has(latest)) return "a name occurs twice in one object";
      names.add(latest);
    } else if (token.startsWith('"')) {
      latest = JSON.parse(token);
      if (!latest.isWellFormed() || latest.includes("\0")) return "a string with NUL or half a character";
    } else {
      const number = Number(token);
      const exact = /[.eE]/.test(token) ? Number.isFinite(number) : Number.isSafeInteger(number);
      if (!exact) return "a number that a double cannot represent";
    }
  }
  return undefined;
}
