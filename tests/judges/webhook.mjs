// The verdict of npm's standardwebhooks and cloudevents on captured requests.
// Usage: node webhook.mjs FOLDER_OF_NODE_MODULES < requests.json

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const require = createRequire(join(process.argv[2], "package.json"));
const { Webhook } = require("standardwebhooks");
const { HTTP } = require("cloudevents");

const { secrets, stranger, requests } = JSON.parse(readFileSync(0, "utf8"));
const verdict = { count: requests.length, standardwebhooks: [], cloudevents: [] };

for (const { headers, body } of requests) {
  const bytes = Buffer.from(body, "base64");
  const id = headers["webhook-id"];
  for (const secret of secrets) {
    try {
      new Webhook(secret).verify(bytes, headers);
    } catch (error) {
      verdict.standardwebhooks.push(`${id}: ${error.message}`);
    }
  }
  try {
    new Webhook(stranger).verify(bytes, headers);
    verdict.standardwebhooks.push(`${id}: a stranger's secret was taken`);
  } catch {
    // As it should be.
  }
  try {
    const raw = JSON.parse(bytes.toString("utf8"));
    const read = HTTP.toEvent({ headers, body: bytes.toString("utf8") });
    const events = Array.isArray(read) ? read : [read];
    const expected = Array.isArray(raw) ? raw : [raw];
    if (events.length !== expected.length) {
      verdict.cloudevents.push(`${id}: ${events.length} events of ${expected.length}`);
    }
    events.forEach((event, index) => {
      // Throws where an attribute breaks the specification.
      event.validate();
      for (const name of ["id", "source", "type", "subject", "specversion", "datacontenttype", "severity"]) {
        if (event[name] !== expected[index][name]) {
          verdict.cloudevents.push(`${id}: ${name} is read as ${event[name]}`);
        }
      }
      if (JSON.stringify(event.data) !== JSON.stringify(expected[index].data)) {
        verdict.cloudevents.push(`${id}: the data is read as another`);
      }
    });
  } catch (error) {
    verdict.cloudevents.push(`${id}: ${error.message}`);
  }
}

process.stdout.write(JSON.stringify(verdict));
