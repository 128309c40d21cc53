// An Express API behind express-oauth2-jwt-bearer; prints the claims that the API saw, or the error, of each token.
// The argument is a JSON array; each element is an array of issuer, document, audience, algorithm, token.
import express from "express";
import { auth } from "express-oauth2-jwt-bearer";

const outcomes = [];
for (const [issuer, , audience, algorithm, token] of JSON.parse(process.argv[2])) {
  const api = express();
  api.use(auth({ issuerBaseURL: issuer, audience, tokenSigningAlg: algorithm, strict: true }));
  api.get("/", (request, response) => response.json({ claims: request.auth.payload }));
  api.use((error, request, response, next) => response.status(error.status ?? 500).json({ error: error.message }));
  const server = await new Promise((resolve) => {
    const listening = api.listen(0, "127.0.0.1", () => resolve(listening));
  });
  const url = `http://127.0.0.1:${server.address().port}/`;
  outcomes.push(await (await fetch(url, { headers: { authorization: `Bearer ${token}` } })).json());
  server.close();
}
console.log(JSON.stringify(outcomes));
