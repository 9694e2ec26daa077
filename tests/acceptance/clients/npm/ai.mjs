// What the Vercel AI SDK makes of a Skep server, by each of its clients; one line of JSON for each thing tried.
import { generateObject, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { z } from "zod";

const told = { baseURL: process.env.OPENAI_BASE_URL, apiKey: process.env.OPENAI_API_KEY };
const openai = createOpenAI(told);
const anthropic = createAnthropic(told);
const compatible = createOpenAICompatible({ ...told, name: "skep", includeUsage: true, supportsStructuredOutputs: true });
const clients = {
  chat: (model) => openai.chat(model),
  responses: (model) => openai.responses(model),
  messages: (model) => anthropic(model),
  compatible: (model) => compatible(model),
};
const prompt = "How warm is it in Berlin?";
const schema = z.object({ city: z.string(), degrees: z.number() });
const asked = [];
const tools = {
  get_weather: tool({
    description: "How warm it is in a city.",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => {
      asked.push(city);
      return `21 in ${city}`;
    },
  }),
};
const common = { prompt, maxRetries: 0 };

const tries = {
  async text(client) {
    const { text, finishReason, usage } = await generateText({ ...common, model: client("gpt-x") });
    return [text, finishReason, usage.inputTokens, usage.outputTokens];
  },
  async stream(client) {
    const result = streamText({ ...common, model: client("gpt-x") });
    const pieces = [];
    for await (const piece of result.textStream) pieces.push(piece);
    const usage = await result.usage;
    return [pieces.join(""), pieces.length > 1, await result.finishReason, usage.inputTokens, usage.outputTokens];
  },
  async tools(client) {
    asked.length = 0;
    const { text, steps } = await generateText({ ...common, model: client("picks"), tools, stopWhen: stepCountIs(3) });
    return [text, steps.length, steps[0].finishReason, asked];
  },
  async stream_tools(client) {
    asked.length = 0;
    const result = streamText({ ...common, model: client("picks"), tools, stopWhen: stepCountIs(3) });
    let text = "";
    for await (const piece of result.textStream) text += piece;
    return [text, (await result.steps).length, asked];
  },
  async object(client) {
    return (await generateObject({ ...common, model: client("shapes"), schema })).object;
  },
  async output(client) {
    return (await generateText({ ...common, model: client("shapes"), output: Output.object({ schema }) })).output;
  },
  async errors(client) {
    const found = {};
    for (const model of ["nobody", "busy", "broken"]) {
      try {
        await generateText({ ...common, model: client(model) });
      } catch (error) {
        found[model] = [error.name, error.statusCode, error.isRetryable];
      }
    }
    return found;
  },
  async broken_stream(client) {
    const parts = [];
    const result = streamText({ ...common, model: client("broken"), onError: () => {} });
    for await (const part of result.fullStream) parts.push(part.type);
    return [parts.includes("text-delta"), parts.includes("error")];
  },
};

for (const [face, client] of Object.entries(clients)) {
  for (const [name, attempt] of Object.entries(tries)) {
    const result = await attempt(client).catch((error) => ({ failed: `${error.constructor.name}: ${error.message}` }));
    console.log(JSON.stringify({ name: `${face} ${name}`, result }));
  }
}
