// The verdict of npm's standardwebhooks, svix and cloudevents, and of Node's own crypto, on captured requests.
// Usage: node signing.mjs FOLDER_OF_NODE_MODULES < requests.json

import { createPublicKey, verify } from "node:crypto";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const require = createRequire(join(process.argv[2], "package.json"));
const libraries = { standardwebhooks: require("standardwebhooks").Webhook, svix: require("svix").Webhook };
const { HTTP } = require("cloudevents");

const { secrets, stranger, publics, mode, requests } = JSON.parse(readFileSync(0, "utf8"));
const verdict = { count: requests.length, standardwebhooks: [], svix: [], ed25519: [], cloudevents: [] };

/** A raw ed25519 public key in the wrapping that Node reads (RFC 8410). */
function publicKey(text) {
  const raw = Buffer.from(text.replace("whpk_", ""), "base64");
  const der = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), raw]);
  return createPublicKey({ key: der, format: "der", type: "spki" });
}

for (const { headers, body } of requests) {
  const bytes = Buffer.from(body, "base64");
  const id = headers["webhook-id"];
  for (const [name, Webhook] of Object.entries(libraries)) {
    for (const secret of secrets) {
      try {
        new Webhook(secret).verify(bytes, headers);
      } catch (error) {
        verdict[name].push(`${id}: ${error.message}`);
      }
    }
    try {
      new Webhook(stranger).verify(bytes, headers);
      verdict[name].push(`${id}: a stranger's secret was taken`);
    } catch {
      // As it should be.
    }
  }
  const signed = Buffer.concat([Buffer.from(`${id}.${headers["webhook-timestamp"]}.`), bytes]);
  const parts = headers["webhook-signature"].split(" ").filter((part) => part.startsWith("v1a,"));
  for (const text of publics) {
    if (!parts.some((part) => verify(null, signed, publicKey(text), Buffer.from(part.slice(4), "base64")))) {
      verdict.ed25519.push(`${id}: no part is of ${text}`);
    }
  }
  if (parts.length !== publics.length) {
    verdict.ed25519.push(`${id}: ${parts.length} parts for ${publics.length} keys`);
  }
  try {
    const read = HTTP.toEvent({ headers, body: bytes.toString("utf8") });
    const events = Array.isArray(read) ? read : [read];
    const raw = JSON.parse(bytes.toString("utf8"));
    const binary = "ce-id" in headers;
    const expected = binary ? [{ id, type: headers["ce-type"], data: raw }] : Array.isArray(raw) ? raw : [raw];
    if (events.length !== expected.length || (mode === "batch") !== Array.isArray(read) && mode === "batch") {
      verdict.cloudevents.push(`${id}: ${events.length} events of ${expected.length}`);
    }
    events.forEach((event, index) => {
      // Throws where an attribute breaks the specification. The library does not decode what the binding encodes.
      event.validate();
      const { data, ...rest } = expected[index];
      for (const name of ["id", "type"]) {
        if (event[name] !== rest[name]) verdict.cloudevents.push(`${id}: ${name} is read as ${event[name]}`);
      }
      if (JSON.stringify(event.data) !== JSON.stringify(data)) {
        verdict.cloudevents.push(`${id}: the data is read as another`);
      }
    });
  } catch (error) {
    verdict.cloudevents.push(`${id}: ${error.message}`);
  }
}

process.stdout.write(JSON.stringify(verdict));
