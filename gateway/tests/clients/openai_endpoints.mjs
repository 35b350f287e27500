// Every endpoint and every class of errors, with the official `openai` client for Node.
//
// Environment: OPENAI_BASE_URL, OPENAI_API_KEY, NODE_EXTRA_CA_CERTS (the gateway's CA), CLAW_NODE (where the client is).

import { createRequire } from "node:module";

const OpenAI = createRequire(`${process.env.CLAW_NODE}/`)("openai").OpenAI;
const client = new OpenAI({ maxRetries: 0 });
const messages = [{ role: "user", content: "Say hello." }];
const parameters = { type: "object", properties: { city: { type: "string" } } };

function check(holds, what) {
  if (!holds) throw new Error(`FAILED: ${what}`);
  console.log(`ok: ${what}`);
}

async function refused(status, call, what) {
  try {
    await call();
  } catch (error) {
    check(error.status === status && error.message, `${what} is ${status}: ${error.message}`);
    return;
  }
  throw new Error(`FAILED: ${what}: no error`);
}

async function collect(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}

async function breaks(call, what) {
  const stream = await call();
  try {
    await collect(stream);
  } catch (error) {
    check(error instanceof OpenAI.APIError && error.message.includes("cut off"), `${what} throws: ${error.message}`);
    return;
  }
  throw new Error(`FAILED: ${what}: no error`);
}

const names = (await collect(await client.models.list())).map((model) => model.id);
check(names.includes("good") && names.includes("smollm2"), `models are listed: ${names}`);
check((await client.models.retrieve("good")).id === "good", "one model is shown");

const answer = await client.chat.completions.create({ model: "good", messages });
check(answer.choices[0].message.content === "Hello" && answer.usage.total_tokens === 5, "a chat is answered");
const stream_options = { include_usage: true };
const chunks = await collect(await client.chat.completions.create({ model: "good", messages, stream: true, stream_options }));
check(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("") === "Hello", "a chat streams");
check(chunks.at(-1).usage.total_tokens === 5, "and ends with its usage");
const tools = [{ type: "function", function: { name: "weather", parameters } }];
const called = await client.chat.completions.create({ model: "good", messages, tools });
check(called.choices[0].message.tool_calls[0].function.name === "weather", "a tool is called");

check((await client.completions.create({ model: "good", prompt: "Say" })).choices[0].text === "Hello", "a text is gone on with");
const texts = await collect(await client.completions.create({ model: "good", prompt: "Say", stream: true }));
check(texts.map((piece) => piece.choices[0]?.text ?? "").join("") === "Hello", "also in pieces");

const vectors = await client.embeddings.create({ model: "good", input: "hello", encoding_format: "float" });
check(vectors.data[0].embedding[1] === -0.5, "a text becomes a vector");
const ranking = await client.post("/rerank", { body: { model: "good", query: "q", documents: ["a", "b"] } });
check(ranking.results[0].index === 1, "documents are sorted");

const tasks = new URL("/tasks", client.baseURL).href;
const task = (name, body) => client.post(`${tasks}/${name}`, { body });
check((await task("chat", { messages })).choices[0].message.content === "Hello", "a route chats, by its fallback");
check((await task("summary", { text: "A long story." })).summary === "Hello", "a route makes a summary");
check((await task("vectors", { input: "hello", encoding_format: "float" })).data[0].embedding[1] === -0.5, "a route gives vectors");
check((await task("ranking", { query: "q", documents: ["a", "b"] })).results[0].index === 1, "a route sorts documents");

const response = await client.responses.create({ model: "good", input: "Say hello." });
check(response.output_text === "Hello" && response.status === "completed", "a response says hello");
const events = await collect(await client.responses.create({ model: "good", input: "Say hello.", stream: true }));
check(events.every((event, number) => event.sequence_number === number), "the events of a response are numbered");
check(events.at(-1).type === "response.completed", "and end with the whole");
const local = await client.responses.create({ model: "smollm2", input: "What is the capital of France?", temperature: 0, max_output_tokens: 16 });
check(local.output_text.includes("Paris"), `a local model gives a response: ${local.output_text}`);
await breaks(() => client.responses.create({ model: "cut", input: "hi", stream: true }), "a response that breaks");

const place = { type: "object", properties: { city: { enum: ["Oslo"] } }, required: ["city"], additionalProperties: false };
const weather = [{ type: "function", function: { name: "weather", parameters: place } }];
const runner = client.chat.completions.stream({ model: "smollm2", messages, tools: weather, tool_choice: "required", parallel_tool_calls: false, max_tokens: 200 });
const [use] = (await runner.finalMessage()).tool_calls;
check(JSON.parse(use.function.arguments).city === "Oslo", `a local model calls a tool: ${use.function.arguments}`);
const response_format = { type: "json_schema", json_schema: { name: "place", strict: true, schema: place } };
const formed = await client.chat.completions.create({ model: "smollm2", messages, response_format, logprobs: true, n: 2, max_tokens: 200 });
check(formed.choices.every((choice, index) => choice.index === index && JSON.parse(choice.message.content).city === "Oslo"), "and answers in a form, twice");
check(formed.choices[1].logprobs.content.length > 0, "and tells probabilities");
await refused(400, () => client.responses.create({ model: "good", input: "x", store: true }), "a stored response");
await refused(401, () => client.withOptions({ apiKey: "wrong" }).models.list(), "a wrong key");
const keyed = (apiKey) => client.withOptions({ apiKey });
await refused(401, () => keyed("clients-key-that-was-good-once").chat.completions.create({ model: "good", messages }), "an expired key");
await refused(403, () => keyed("clients-key-for-another-place").chat.completions.create({ model: "good", messages }), "a key for another place");
await refused(403, () => keyed("clients-key-that-may-do-little").embeddings.create({ model: "good", input: "x" }), "a path that a key may not use");
await refused(404, () => keyed("clients-key-that-may-do-little").chat.completions.create({ model: "smollm2", messages }), "a model that a key may not use");
await refused(400, () => client.chat.completions.create({ model: "smollm2", messages: [{ role: "user", content: "far ".repeat(8000) }] }), "a prompt longer than its model reads");
await refused(405, () => client.get("/chat/completions"), "a wrong method");
await refused(415, () => client.post("/chat/completions", { body: {}, headers: { "content-encoding": "gzip" } }), "a compressed body");
await refused(422, () => client.chat.completions.create({ model: "picky", messages }), "a refusal of the API");
await refused(503, () => client.chat.completions.create({ model: "absent", messages }), "a model whose files are not there");
await refused(504, () => client.chat.completions.create({ model: "hasty", messages }), "an API that says nothing");
const single = keyed("clients-key-for-one-at-a-time").chat.completions;
const held = await single.create({ model: "stalls", messages, stream: true });
await refused(429, () => single.create({ model: "good", messages }), "a second answer at once");
held.controller.abort();
await refused(404, () => client.chat.completions.create({ model: "nope", messages }), "an unknown model");
await refused(413, () => client.chat.completions.create({ model: "good", messages: [{ role: "user", content: "x".repeat(70000) }] }), "a long body");
await refused(429, () => client.chat.completions.create({ model: "busy", messages }), "a busy API");
await refused(502, () => client.chat.completions.create({ model: "broken", messages }), "a broken API");
await breaks(() => client.chat.completions.create({ model: "cut", messages, stream: true }), "a stream that breaks");
console.log("the openai client for Node is served");
