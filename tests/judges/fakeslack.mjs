// npm's @slack/web-api as a client of the fake Slack. Usage: node fakeslack.mjs FOLDER_OF_NODE_MODULES API TOKEN CHANNEL

import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, slackApiUrl, token, channel] = process.argv.slice(2);
const { WebClient, ErrorCode } = createRequire(join(folder, "package.json"))("@slack/web-api");
const found = {};
const client = (bearer, options = {}) =>
  new WebClient(bearer, { slackApiUrl, allowAbsoluteUrls: false, retryConfig: { retries: 0 }, ...options });
const code = async (call) => {
  try {
    await call;
    return "ok";
  } catch (error) {
    return error.code === ErrorCode.PlatformError ? error.data.error : `${error.code}`;
  }
};

const web = client(token);
const section = (text) => ({ type: "section", text: { type: "mrkdwn", text } });
const off = { unfurl_links: false, unfurl_media: false };
found.auth = (await web.auth.test()).user;
const root = await web.chat.postMessage({ channel, text: "root", blocks: [section("*root*")], ...off });
found.root = [root.ok, root.channel === channel, typeof root.ts, root.message.text];
const reply = await web.chat.postMessage({ channel, text: "reply", thread_ts: root.ts, reply_broadcast: true, ...off });
found.reply = [reply.ok, reply.ts !== root.ts, reply.message.thread_ts === root.ts];
const edit = await web.chat.update({ channel, ts: root.ts, text: "edited", blocks: [section("edited")], attachments: [] });
found.edit = [edit.ok, edit.ts === root.ts, edit.text];
found.gone = await code(web.chat.update({ channel, ts: "1.1", text: "x", blocks: [], attachments: [] }));
found.stranger = await code(client("xoxb-wrong").auth.test());
await new Promise((done) => setTimeout(done, 3000));
found.tooMany = await code(web.chat.postMessage({ channel, text: "t", blocks: Array(51).fill(section("x")) }));
found.tooLong = await code(web.chat.postMessage({ channel, text: "t", blocks: [section("x".repeat(3001))] }));
const rush = await Promise.all(Array.from({ length: 12 }, () => code(web.chat.postMessage({ channel, text: "rush" }))));
const hurried = client(token, { rejectRateLimitedCalls: true });
const calls = Array.from({ length: 8 }, () => code(hurried.chat.postMessage({ channel, text: "rush" })));
found.rush = rush.every((outcome) => outcome === "ok");
found.limited = (await Promise.all(calls)).includes(ErrorCode.RateLimitedError);
process.stdout.write(JSON.stringify(found));
