/** Cleans text from other systems for messages. Agents pass an error's text to a model and to a terminal. */

const SECRET =
  /eyJ[A-Za-z0-9_-]{5,}(\.[A-Za-z0-9_-]*){0,4}|authsec_[A-Za-z0-9_-]{20,}|\b[Bb]asic [A-Za-z0-9+/]{8,}={0,2}|\b[MNOYZ][A-Za-z0-9+/]{99,}={0,2}/g;

/** Return one line of at most `limit` visible characters, without any text that looks like a token or a secret. */
export function plain(text, limit) {
  const visible = text.slice(0, 8 * limit).replace(/[\p{C}\p{Z}]/gu, " ");
  const words = visible.replace(SECRET, "[removed]").split(" ").filter(Boolean).join(" ");
  return words.length <= limit ? words : `${words.slice(0, limit - 1).trimEnd()}…`;
}
