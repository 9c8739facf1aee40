// What npm's adaptivecards finds wrong with cards.
// Usage: node presets.mjs FOLDER_OF_NODE_MODULES < cards.json

import { readFileSync } from "node:fs";
import { join } from "node:path";
import vm from "node:vm";

// The package's modules are for bundlers; its one-file build wants no more of a browser than the names.
const file = join(process.argv[2], "node_modules/adaptivecards/dist/adaptivecards.js");
const module = { exports: {} };
vm.runInContext(readFileSync(file, "utf8"), vm.createContext({ module, exports: module.exports, self: {}, window: {} }));
const { AdaptiveCard, SerializationContext, Versions } = module.exports;

const problems = [];
for (const json of JSON.parse(readFileSync(0, "utf8"))) {
  const context = new SerializationContext(Versions.v1_4);
  const card = new AdaptiveCard();
  card.parse(json, context);
  for (let at = 0; at < context.eventCount; at += 1) problems.push(context.getEventAt(at).message);
  for (const event of card.validateProperties().validationEvents) problems.push(event.message);
  if (card.getItemCount() !== json.body.length) problems.push(`${card.getItemCount()} of ${json.body.length} items`);
}
process.stdout.write(JSON.stringify(problems));
