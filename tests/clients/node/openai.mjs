// Drives the server with OpenAI's official client and prints what it saw as JSON.
// usage: node openai.mjs BASE_URL MODEL
import OpenAI from 'openai'

const [baseURL, model] = process.argv.slice(2)
const client = new OpenAI({ baseURL, apiKey: 'not-needed-on-loopback', maxRetries: 0 })
const seen = {}

seen.models = (await client.models.list()).data.map((m) => ({ id: m.id, object: m.object, owned_by: m.owned_by, created: m.created }))

const one = await client.images.generate({ model, prompt: 'a red apple', n: 2, size: '64x64', response_format: 'b64_json', steps: 2, seed: 7 })
seen.count = one.data.length
seen.png = one.data.map((d) => Buffer.from(d.b64_json, 'base64').subarray(1, 4).toString())
seen.format = one.output_format
seen.first = one.data[0].b64_json

const again = await client.images.generate({ model, prompt: 'a red apple', n: 1, size: '64x64', response_format: 'url', steps: 2, seed: 7 })
seen.url = again.data[0].url
const third = await client.images.generate({ model, prompt: 'a red apple', n: 1, size: '64x64', response_format: 'b64_json', steps: 2, seed: 7 })
seen.same = Buffer.from(await (await fetch(again.data[0].url)).arrayBuffer()).toString('base64') === third.data[0].b64_json

const jpeg = await client.images.generate({ model, prompt: 'a red apple', output_format: 'jpeg', size: '64x64', steps: 2 })
seen.jpeg = Buffer.from(jpeg.data[0].b64_json, 'base64').subarray(0, 2).toString('hex')

// Such sizes are what clients ask for by default; this network makes far smaller ones.
const large = await client.images.generate({ model, prompt: 'a red apple', size: '1536x1024', steps: 1 })
const header = Buffer.from(large.data[0].b64_json, 'base64')
seen.large = { width: header.readUInt32BE(16), height: header.readUInt32BE(20), notice: large.notice }

seen.events = []
const stream = await client.images.generate({ model, prompt: 'a red apple', stream: true, partial_images: 2, size: '64x64', steps: 8 })
for await (const event of stream) {
  seen.events.push({ type: event.type, index: event.partial_image_index, bytes: event.b64_json.length, usage: event.usage !== undefined })
}

try {
  await client.images.generate({ model, prompt: 'x', size: '63x64' })
} catch (e) {
  seen.error = { name: e.constructor.name, status: e.status, message: e.message, type: e.type, param: e.param, code: e.code }
}

try {
  await client.images.generate({ model: 'no-such-model', prompt: 'x' })
} catch (e) {
  seen.unknown = { name: e.constructor.name, status: e.status, code: e.code, param: e.param }
}

console.log(JSON.stringify(seen))
