// Serves model.onnx with the official onnxruntime-node over the Open Inference Protocol v2, with plain node:http.
// Where to listen and what to load come from the supervisor: MYELIN_SIDECAR_LISTEN, MYELIN_REVISION_FOLDER.
import { createServer } from 'node:http'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

process.env.ORT_DISABLE_TELEMETRY = '1' // before the native library is loaded: it reads the environment then
const { default: ort } = await import('onnxruntime-node')

const HEAD = 'inference-header-content-length'
const MAX_BODY = 1 << 30
const MAX_HEAD = 1 << 20

// The protocol's datatypes as ONNX Runtime calls them, and the array that holds them. BYTES (strings) are left out.
const TYPES = {
  BOOL: ['bool', Uint8Array], UINT8: ['uint8', Uint8Array], UINT16: ['uint16', Uint16Array], UINT32: ['uint32', Uint32Array],
  UINT64: ['uint64', BigUint64Array], INT8: ['int8', Int8Array], INT16: ['int16', Int16Array], INT32: ['int32', Int32Array],
  INT64: ['int64', BigInt64Array], FP16: ['float16', globalThis.Float16Array ?? Uint16Array], FP32: ['float32', Float32Array], FP64: ['float64', Float64Array],
}
const DATATYPES = Object.fromEntries(Object.entries(TYPES).map(([datatype, [type]]) => [type, datatype]))

class Refused extends Error {
  constructor(status, message, code) {
    super(message)
    Object.assign(this, { status, code })
  }
}

/** Loads a network and returns an HTTP server for it that does not listen yet. */
export async function createSidecar({ file, name = 'model', version = '1', threads = 1 }) {
  const session = await ort.InferenceSession.create(file, { intraOpNumThreads: threads, interOpNumThreads: 1 })
  const describe = (tensor) => ({
    name: tensor.name, datatype: DATATYPES[tensor.type] ?? 'BYTES',
    shape: tensor.shape.map((n) => (Number.isInteger(n) && n >= 0 ? n : -1)), // a name stands for a dimension that varies
  })
  const inputs = session.inputMetadata.map(describe)
  const outputs = session.outputMetadata.map(describe)
  const metadata = { name, versions: [version], platform: 'onnxruntime_node', inputs, outputs, parameters: { myelin_concurrency: 4, myelin_progress: false } }

  /** The protocol's tensor, whose bytes may follow the JSON at `at`, as ONNX Runtime's. */
  function readTensor(item, binary, at) {
    const spec = inputs.find((input) => input.name === item?.name)
    if (!spec) throw new Refused(400, `there is no input '${item?.name}'; there are ${inputs.map((i) => i.name).join(', ')}`, 'bad-input')
    const [type, array] = TYPES[item.datatype] ?? []
    if (!array || item.datatype !== spec.datatype) throw new Refused(400, `input '${spec.name}' is ${item.datatype}, but the network takes ${spec.datatype}`, 'bad-input')
    const { shape } = item
    if (!Array.isArray(shape) || shape.length !== spec.shape.length || !shape.every((n, i) => Number.isSafeInteger(n) && n >= 0 && (spec.shape[i] < 0 || n === spec.shape[i]))) {
      throw new Refused(400, `input '${spec.name}' has the shape [${shape}], but the network takes [${spec.shape}]`, 'bad-input')
    }
    const count = shape.reduce((product, n) => product * n, 1)
    const size = item.parameters?.binary_data_size
    let data
    if (size === undefined) {
      const flat = Array.isArray(item.data) ? item.data.flat(Infinity) : []
      if (flat.length !== count) throw new Refused(400, `input '${spec.name}' has ${flat.length} values for the shape [${shape}]`, 'bad-input')
      if (!flat.every((v) => typeof v === 'number' || (typeof v === 'boolean' && type === 'bool'))) throw new Refused(400, `input '${spec.name}' holds values that are no ${item.datatype}`, 'bad-input')
      try {
        data = array === BigInt64Array || array === BigUint64Array ? array.from(flat, BigInt) : array.from(flat)
      } catch (fault) {
        throw new Refused(400, `input '${spec.name}' holds values that are no ${item.datatype}: ${fault.message}`, 'bad-input')
      }
    } else {
      if (size !== count * array.BYTES_PER_ELEMENT || size > binary.length - at) {
        throw new Refused(400, `input '${spec.name}' announces ${size} bytes; its shape has ${count * array.BYTES_PER_ELEMENT}, and ${binary.length - at} follow`, 'bad-input')
      }
      const begin = binary.byteOffset + at
      data = begin % array.BYTES_PER_ELEMENT === 0
        ? new array(binary.buffer, begin, count)
        : new array(binary.buffer.slice(begin, begin + size)) // an odd tensor came before it
    }
    return [new ort.Tensor(type, data, shape), size ?? 0]
  }

  async function infer(request, response) {
    const length = request.headers[HEAD]
    const body = await readBody(request, Number(length ?? 0))
    const headBytes = length === undefined ? body.length : Number(length)
    if (!Number.isSafeInteger(headBytes) || headBytes < 0 || headBytes > body.length) throw new Refused(400, `Inference-Header-Content-Length is ${length}, but the body has ${body.length} bytes`)
    let asked
    try {
      asked = JSON.parse(body.toString('utf8', 0, headBytes))
    } catch (fault) {
      throw new Refused(400, `the request is no JSON: ${fault.message}`, 'bad-input')
    }
    if (!Array.isArray(asked?.inputs)) throw new Refused(400, 'inputs is a list', 'bad-input')
    const feeds = {}
    const binary = body.subarray(headBytes)
    let at = 0
    for (const item of asked.inputs) {
      const [tensor, size] = readTensor(item, binary, at)
      feeds[item.name] = tensor
      at += size
    }
    if (at !== binary.length) throw new Refused(400, `the inputs announce ${at} binary bytes, but ${binary.length} came`, 'bad-input')
    const missing = inputs.find((input) => !(input.name in feeds))
    if (missing) throw new Refused(400, `the input '${missing.name}' is missing`, 'bad-input')

    const began = process.hrtime.bigint()
    let results
    try {
      results = await session.run(feeds) // on a thread of libuv's pool
    } catch (fault) {
      throw new Refused(500, fault.message, 'failed')
    }
    const compute = Number(process.hrtime.bigint() - began)

    const chosen = asked.outputs?.length ? asked.outputs : outputs
    const parts = []
    const described = chosen.map(({ name: output, parameters }) => {
      const tensor = results[output]
      if (!tensor) throw new Refused(400, `there is no output '${output}'; there are ${outputs.map((o) => o.name).join(', ')}`, 'bad-input')
      const item = { name: output, datatype: DATATYPES[tensor.type], shape: tensor.dims }
      if (!item.datatype) throw new Refused(501, `output '${output}' is ${tensor.type}, which this example does not send`)
      if (parameters?.binary_data ?? asked.parameters?.binary_data_output ?? false) {
        parts.push(Buffer.from(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength))
        return { ...item, parameters: { binary_data_size: tensor.data.byteLength } }
      }
      const values = Array.from(tensor.data, Number)
      if (!values.every(Number.isFinite)) throw new Refused(500, `output '${output}' holds NaN or infinity, which JSON cannot carry; ask for it with binary_data`)
      return { ...item, data: values }
    })
    const head = Buffer.from(JSON.stringify({
      model_name: name, model_version: version, id: asked.id, parameters: { myelin_compute_ns: compute }, outputs: described,
    }))
    const total = parts.reduce((sum, part) => sum + part.length, head.length)
    response.writeHead(200, parts.length
      ? { 'content-type': 'application/octet-stream', 'content-length': total, [HEAD]: head.length }
      : { 'content-type': 'application/json', 'content-length': total })
    response.cork()
    for (const part of [head, ...parts]) response.write(part)
    response.end()
  }

  async function route(request, response) {
    if (request.headers.origin) throw new Refused(403, 'browsers are not served')
    const path = request.url.split('?')[0]
    const model = `/v2/models/${encodeURIComponent(name)}`
    const call = `${request.method} ${path.replace(`${model}/versions/${version}`, model)}`
    if (call === `POST ${model}/infer`) return infer(request, response)
    request.resume()
    switch (call) {
      case 'GET /v2': return json(response, 200, { name: 'myelin-onnxruntime-node', version: '0.1.0', extensions: ['binary_tensor_data', 'model_repository'] })
      case 'GET /v2/health/live':
      case 'GET /v2/health/ready':
      case `GET ${model}/ready`: return response.writeHead(200, { 'content-length': 0 }).end()
      case `GET ${model}`: return json(response, 200, metadata)
      case 'POST /v2/repository/index': return json(response, 200, [{ name, version, state: 'READY', reason: '' }])
      default: throw new Refused(404, `there is no ${request.method} ${path}`)
    }
  }

  return createServer({ requestTimeout: 120_000, keepAliveTimeout: 130_000, maxHeaderSize: 32_768 }, (request, response) => {
    route(request, response).catch((fault) => {
      if (response.headersSent || !fault.status) console.error(fault)
      if (response.headersSent || response.destroyed) return response.destroy()
      json(response, fault.status ?? 500, { error: fault.message, code: fault.code })
    })
  })
}

function json(response, status, value) {
  const body = JSON.stringify(value)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }).end(body)
}

/** The whole body in one buffer, whose byte `aligned` lies at a multiple of 8 so that tensors are used in place. */
async function readBody(request, aligned) {
  const length = Number(request.headers['content-length'])
  if (!Number.isSafeInteger(length) || length > MAX_BODY || !(aligned >= 0 && aligned <= MAX_HEAD)) {
    request.resume()
    throw new Refused(length > MAX_BODY ? 413 : 400, `Content-Length is ${request.headers['content-length']}; a number up to ${MAX_BODY} is taken`)
  }
  const lead = (8 - (aligned % 8)) % 8
  const body = Buffer.from(new ArrayBuffer(lead + length), lead)
  let at = 0
  for await (const chunk of request) at += chunk.copy(body, at)
  if (at !== length) throw new Refused(400, 'the body ended early')
  return body
}

/** Listens at `http+unix:/path` or `http://host:port`; resolves once it does. */
export function listen(server, address) {
  const where = address.startsWith('http+unix:/') ? { path: address.slice(10) } : (({ hostname, port }) => ({ host: hostname, port: Number(port) }))(new URL(address))
  if (where.path) rmSync(where.path, { force: true })
  return new Promise((resolve, reject) => server.once('error', reject).listen(where, resolve))
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { MYELIN_SIDECAR_LISTEN: address, MYELIN_REVISION_FOLDER: folder = '.', MYELIN_MODEL_NAME: name, MYELIN_MODEL_REVISION: version } = process.env
  if (!address) {
    console.error('Where to listen? Set MYELIN_SIDECAR_LISTEN to http+unix:/path.sock or http://127.0.0.1:9000.')
    process.exit(2)
  }
  const server = await createSidecar({ file: join(folder, 'model.onnx'), name, version })
  await listen(server, address)
  const end = () => server.close(() => process.exit(0)) || server.closeIdleConnections()
  process.once('SIGTERM', end).once('SIGINT', end)
  const parent = process.ppid
  setInterval(() => process.ppid !== parent && end(), 500).unref() // the supervisor is gone
}
