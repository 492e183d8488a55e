// Reads an AsyncAPI document on standard input and prints what the official parser has to say of it, as JSON.
import { Parser } from "@asyncapi/parser";
import { readFileSync } from "node:fs";

const { document, diagnostics } = await new Parser().parse(readFileSync(0, "utf8"));
const told = diagnostics.map(({ code, severity, message, path }) => ({ code, severity, message, path: path.join("/") }));
console.log(JSON.stringify({ version: document?.version() ?? null, diagnostics: told }));
