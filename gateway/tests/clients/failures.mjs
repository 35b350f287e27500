// How APIs that fail look through the official `openai` client for Node: one line of JSON tells what it was told.
//
// Arguments: the names of models. Environment: OPENAI_BASE_URL, OPENAI_API_KEY, NODE_EXTRA_CA_CERTS (the gateway's CA),
// CLAW_NODE (where the client is).

import { createRequire } from "node:module";

const OpenAI = createRequire(`${process.env.CLAW_NODE}/`)("openai").OpenAI;
const client = new OpenAI({ maxRetries: 0, timeout: 60_000 });
const messages = [{ role: "user", content: "Say hello." }];

// What came before the end, and what the end was.
async function told(point, is_streamed) {
  let said = "";
  try {
    const answer = await client.chat.completions.create({ model: point, messages, stream: is_streamed });
    if (!is_streamed) said = answer.choices[0].message.content;
    else for await (const chunk of answer) said += chunk.choices[0]?.delta.content ?? "";
    return { point, is_streamed, said, status: null, kind: null };
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    return { point, is_streamed, said, status: error.status ?? null, kind: error.code ?? String(error) };
  }
}

const asked = process.argv.slice(2).flatMap((point) => [told(point, false), told(point, true)]);
console.log(JSON.stringify(await Promise.all(asked)));
