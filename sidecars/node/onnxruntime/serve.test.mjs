// Drives the sidecar as a process over real sockets, with a real network.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const network = process.env.CIFAR10
const skip = network && existsSync(network) ? false : 'needs CIFAR10=path/to/cifar10_ImageClassifier.onnx'
const folder = mkdtempSync(join(tmpdir(), 'myelin-node-'))
const socketPath = join(folder, 's.sock')
const agent = new Agent({ keepAlive: true, maxSockets: 4 })
let sidecar
let exited

before(async () => {
  if (skip) return
  copyFileSync(network, join(folder, 'model.onnx'))
  sidecar = spawn(process.execPath, [fileURLToPath(new URL('serve.mjs', import.meta.url))], {
    stdio: 'inherit', env: { PATH: process.env.PATH, HOME: process.env.HOME, MYELIN_SIDECAR_LISTEN: `http+unix:${socketPath}`, MYELIN_REVISION_FOLDER: folder, MYELIN_MODEL_NAME: 'cifar', MYELIN_MODEL_REVISION: '3' },
  })
  exited = new Promise((resolve) => sidecar.once('exit', resolve))
  for (let i = 0; i < 600 && !existsSync(socketPath); i++) await new Promise((resolve) => setTimeout(resolve, 50))
})

after(() => {
  sidecar?.kill('SIGKILL')
  agent.destroy()
  rmSync(folder, { recursive: true, force: true })
})

function ask(method, path, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, agent, method, path, headers: body ? { 'content-length': body.length, ...headers } : headers }, async (response) => {
      const chunks = []
      for await (const chunk of response) chunks.push(chunk)
      const data = Buffer.concat(chunks)
      const length = response.headers['inference-header-content-length']
      const head = data.subarray(0, length === undefined ? data.length : Number(length))
      resolve({ status: response.statusCode, json: head.length ? JSON.parse(head) : null, binary: data.subarray(head.length) })
    })
    call.once('error', reject).end(body)
  })
}

function infer(values, { shape = [values.length / 3072, 3, 32, 32], ...more } = {}) {
  const bytes = Buffer.from(values.buffer)
  const head = Buffer.from(JSON.stringify({
    id: 'a', inputs: [{ name: more.input, datatype: 'FP32', shape, parameters: { binary_data_size: bytes.length } }], parameters: { binary_data_output: true },
  }))
  return ask('POST', '/v2/models/cifar/infer', Buffer.concat([head, bytes]), { 'inference-header-content-length': head.length })
}

test('metadata, health and what is not there', { skip }, async () => {
  assert.equal((await ask('GET', '/v2')).json.extensions[0], 'binary_tensor_data')
  assert.equal((await ask('GET', '/v2/health/ready')).status, 200)
  const { json } = await ask('GET', '/v2/models/cifar/versions/3')
  assert.deepEqual([json.versions, json.inputs[0].datatype, json.inputs[0].shape.slice(1)], [['3'], 'FP32', [3, 32, 32]])
  assert.equal((await ask('GET', '/v2/models/other')).status, 404)
  assert.equal((await ask('GET', '/v2', undefined, { origin: 'http://evil.example' })).status, 403)
})

test('binary and JSON tensors give the same answer', { skip }, async () => {
  const { json: { inputs: [input] } } = await ask('GET', '/v2/models/cifar')
  const values = Float32Array.from({ length: 3072 }, (_, i) => Math.sin(i / 7))
  const binary = await infer(values, { input: input.name })
  assert.equal(binary.status, 200)
  const scores = new Float32Array(binary.binary.buffer.slice(binary.binary.byteOffset, binary.binary.byteOffset + binary.binary.length))
  assert.deepEqual([scores.length, binary.json.id, binary.json.outputs[0].parameters.binary_data_size], [10, 'a', 40])
  const nested = [Array.from({ length: 3 }, (_, c) => Array.from({ length: 32 }, (_, y) => Array.from(values.subarray(c * 1024 + y * 32, c * 1024 + y * 32 + 32))))]
  const text = await ask('POST', '/v2/models/cifar/infer', Buffer.from(JSON.stringify({ inputs: [{ name: input.name, datatype: 'FP32', shape: [1, 3, 32, 32], data: nested }] })))
  text.json.outputs[0].data.forEach((score, i) => assert.ok(Math.abs(score - scores[i]) < 1e-5))
})

test('wrong requests are named and the sidecar goes on', { skip }, async () => {
  const { json: { inputs: [input] } } = await ask('GET', '/v2/models/cifar')
  const post = (value, headers) => ask('POST', '/v2/models/cifar/infer', Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)), headers)
  const item = { name: input.name, datatype: 'FP32', shape: [1, 3, 32, 32], data: [1] }
  for (const [body, message] of [['{', 'no JSON'], [{}, 'inputs is a list'], [{ inputs: [{ ...item, name: 'z' }] }, "no input 'z'"], [{ inputs: [{ ...item, datatype: 'INT8' }] }, 'takes FP32'],
    [{ inputs: [{ ...item, shape: [1, 2] }] }, 'has the shape'], [{ inputs: [item] }, '1 values'], [{ inputs: [] }, 'is missing'], [{ inputs: [{ ...item, parameters: { binary_data_size: 8 } }] }, 'announces 8']]) {
    const answer = await post(body)
    assert.deepEqual([answer.status, answer.json.error.includes(message)], [400, true], `${message}: ${answer.json.error}`)
  }
  assert.equal((await post('{}', { 'inference-header-content-length': '99' })).status, 400)
  assert.equal((await infer(new Float32Array(6144), { input: input.name, shape: [2, 3, 32, 32] })).status === 200 || input.shape[0] === 1, true)
})

test('many calls at once, nothing written home, and SIGTERM ends it with 0', { skip }, async () => {
  const { json: { inputs: [input] } } = await ask('GET', '/v2/models/cifar')
  const first = await infer(new Float32Array(3072), { input: input.name })
  const answers = await Promise.all(Array.from({ length: 64 }, () => infer(new Float32Array(3072), { input: input.name })))
  assert.ok(answers.every((answer) => answer.binary.equals(first.binary)))
  assert.equal(existsSync(join(process.env.HOME ?? '/', '.cache', 'Microsoft')), false)
  agent.destroy()
  sidecar.kill('SIGTERM')
  assert.equal(await exited, 0)
})
