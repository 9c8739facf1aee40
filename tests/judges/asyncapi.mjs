// What npm's AsyncAPI parser makes of a document.
// Usage: node asyncapi.mjs FOLDER_OF_NODE_MODULES DOCUMENT

import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.argv[2], "package.json"));
const { Parser, fromFile } = require("@asyncapi/parser");

const { document, diagnostics } = await fromFile(new Parser(), process.argv[3]).parse();
// 0 is an error, 1 a warning; below that, advice like "there is a newer version".
const faults = diagnostics.filter((d) => d.severity < 2).map((d) => `${d.path.join(".")}: ${d.message}`);
const messages = {};
const operations = {};
for (const message of document?.messages().all() ?? []) {
  messages[message.name()] = {
    payload: message.payload().json(),
    examples: message.examples().all().map((example) => example.payload()),
  };
}
for (const operation of document?.operations().all() ?? []) operations[operation.id()] = operation.action();
process.stdout.write(JSON.stringify({ parsed: document !== undefined, faults, messages, operations }));
