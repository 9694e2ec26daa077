// What OpenAI's client for JavaScript makes of a Skep server; one line of JSON for each thing tried.
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0, timeout: 20_000 }); // address and key from the environment
const messages = [{ role: "user", content: "How warm is it in Berlin?" }];
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ type: "function", function: { name: "get_weather", parameters } }];

const tries = {
  async chat() {
    const { data, response } = await client.chat.completions.create({ model: "gpt-x", messages }).withResponse();
    return [data.choices[0].message.content, response.headers.get("x-skep-cost-usd")];
  },
  async tools() {
    const runner = client.chat.completions.runTools({
      model: "picks",
      messages,
      tools: [{ type: "function", function: { name: "get_weather", parameters, parse: JSON.parse, function: ({ city }) => `21 in ${city}` } }],
    });
    return await runner.finalContent();
  },
  async structured() {
    const schema = { type: "object", properties: { city: { type: "string" }, degrees: { type: "integer" } } };
    const response_format = { type: "json_schema", json_schema: { name: "weather", schema } };
    const answer = await client.chat.completions.parse({ model: "shapes", messages, response_format });
    return JSON.parse(answer.choices[0].message.content);
  },
  async stream() {
    const begun = performance.now();
    const texts = [];
    const times = [];
    for await (const chunk of await client.chat.completions.create({ model: "slow", messages, stream: true })) {
      texts.push(chunk.choices[0].delta.content ?? "");
      times.push(performance.now() - begun);
    }
    return [texts.join(""), times.at(-1) - times[0] > 1000];
  },
  async stream_usage() {
    const stream = await client.chat.completions.create({ model: "gpt-x", messages, stream: true, stream_options: { include_usage: true } });
    let last;
    for await (const chunk of stream) last = chunk;
    return last.usage.total_tokens;
  },
  async stream_tools() {
    const final = await client.chat.completions.stream({ model: "picks", messages, tools }).finalChatCompletion();
    return final.choices[0].message.tool_calls[0].function.arguments;
  },
  async embeddings() {
    const { data } = await client.embeddings.create({ model: "embed-x", input: ["one", "two"] });
    return data.map((each) => each.embedding.length);
  },
  async errors() {
    const found = {};
    for (const model of ["nobody", "busy", "broken"]) {
      try {
        await client.chat.completions.create({ model, messages });
      } catch (error) {
        found[model] = [error.constructor.name, error.status, error.code];
      }
    }
    return found;
  },
  async broken_stream() {
    const texts = [];
    try {
      for await (const chunk of await client.chat.completions.create({ model: "broken", messages, stream: true })) {
        texts.push(chunk.choices[0].delta.content ?? "");
      }
    } catch (error) {
      return [texts.length > 0, error instanceof OpenAI.APIError];
    }
    return "ended well";
  },
  async cancelled() {
    const stream = await client.chat.completions.create({ model: "slow", messages, stream: true });
    for await (const _ of stream) break; // breaking off aborts the request
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 300);
    try {
      await client.chat.completions.create({ model: "lasting", messages }, { signal: abort.signal });
    } catch (error) {
      return error.constructor.name;
    }
    return "ended well";
  },
  async responses() {
    const { data, response } = await client.responses.create({ model: "gpt-x", input: "How warm?" }).withResponse();
    return [data.output_text, data.usage.total_tokens, response.headers.get("x-skep-cost-usd")];
  },
  async responses_stream() {
    const names = [];
    const stream = client.responses.stream({ model: "gpt-x", input: "How warm?" });
    for await (const event of stream) names.push(event.type);
    return [names.at(0), names.at(-1), (await stream.finalResponse()).output_text];
  },
  async responses_tools() {
    const asked = { model: "picks", input: "How warm?", tools: [{ type: "function", name: "get_weather", parameters, strict: false }] };
    const final = await client.responses.stream(asked).finalResponse();
    const results = final.output.map(({ call_id }) => ({ type: "function_call_output", call_id, output: "21" }));
    const input = [{ role: "user", content: "How warm?" }, ...final.output, ...results];
    return (await client.responses.create({ ...asked, input })).output_text;
  },
  async responses_broken() {
    try {
      for await (const _ of await client.responses.create({ model: "broken", input: "How warm?", stream: true }));
    } catch (error) {
      return error instanceof OpenAI.APIError;
    }
    return "ended well";
  },
  async retries() {
    const answer = await client.chat.completions.create({ model: "weary", messages }, { maxRetries: 2 });
    return answer.choices[0].message.content;
  },
};

for (const [name, attempt] of Object.entries(tries)) {
  const result = await attempt().catch((error) => ({ failed: `${error.constructor.name}: ${error.message}` }));
  console.log(JSON.stringify({ name, result }));
}
