// The server's API as this page uses it. No address but this server's is ever asked.

import { byId } from './dom.js';

const keySlot = 'myelin-key';
const ended = new Set(['succeeded', 'failed', 'cancelled', 'expired']);

export const isEnd = (job) => ended.has(job.state);

/** What the server refused, or why it could not be asked; the message tells the cure. */
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem?.detail ?? problem?.title ?? `The server answered ${status}.`);
    this.status = status;
    this.title = problem?.detail ? problem.title : undefined;
    this.fields = problem?.errors;
  }
}

const unreachable = () => new ApiError(0, {
  title: 'No answer from the server.',
  detail: 'Is it still running? Start it with ./dev run, then try again.',
});

function headers(extra = {}) {
  const key = sessionStorage.getItem(keySlot);
  return key ? { ...extra, Authorization: `Bearer ${key}` } : extra;
}

async function problemOf(response) {
  try {
    return await response.json();
  } catch {
    return undefined;
  }
}

/** fetch that throws ApiError, and asks for a key once where the server wants one. */
async function call(path, options = {}) {
  for (let attempt = 0; ; attempt += 1) {
    let response;
    try {
      response = await fetch(path, { ...options, headers: headers(options.headers) });
    } catch (e) {
      if (e.name === 'AbortError') throw e;
      throw unreachable();
    }
    if (response.ok) return response;
    const problem = await problemOf(response);
    if (response.status === 401 && attempt === 0 && await askForKey(problem)) continue;
    throw new ApiError(response.status, problem);
  }
}

let asking;

function askForKey(problem) {
  asking ??= new Promise((resolve) => {
    const dialog = byId('key-dialog');
    byId('key-why').textContent = problem?.detail ?? '';
    dialog.addEventListener('close', () => {
      const key = byId('key').value.trim();
      byId('key').value = '';
      const given = dialog.returnValue === 'ok' && key.length > 0;
      if (given) sessionStorage.setItem(keySlot, key);
      asking = undefined;
      resolve(given);
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}

const json = async (path, options) => (await call(path, options)).json();

export const models = async () => (await json('/v1/models')).data;
export const reload = (name) => json(`/v1/models/${encodeURIComponent(name)}/reload`, { method: 'POST' });
export const workers = async () => (await json('/v1/workers')).data;
export const catalogue = async () => (await json('/v1/catalogue')).data;
export const install = (name) => json(`/v1/catalogue/${encodeURIComponent(name)}/install`, { method: 'POST' });
export const job = (id) => json(`/v1/jobs/${encodeURIComponent(id)}`);
export const cancel = (id) => json(`/v1/jobs/${encodeURIComponent(id)}`, { method: 'DELETE' });

export function jobs({ model, state, cursor, limit } = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries({ model, state, cursor, limit })) if (value) query.set(name, value);
  return json(`/v1/jobs?${query}`);
}

/** A stored blob as an object URL, because an <img> cannot send a key. The caller revokes it. */
export async function blobUrl(path) {
  return URL.createObjectURL(await (await call(path)).blob());
}

/** Submits multipart and reports the sent fraction; XMLHttpRequest, because fetch does not tell. */
export function submit(form, onSent) {
  const once = () => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('POST', '/v1/jobs');
    request.responseType = 'json';
    for (const [name, value] of Object.entries(headers({ 'Idempotency-Key': crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}` }))) {
      request.setRequestHeader(name, value);
    }
    request.upload.onprogress = (e) => onSent?.(e.loaded / Math.max(1, e.total));
    request.onload = () => (request.status < 300 ? resolve(request.response) : reject(new ApiError(request.status, request.response)));
    request.onerror = () => reject(unreachable());
    request.send(form);
  });
  return once().catch(async (error) => {
    if (error.status === 401 && await askForKey({ detail: error.message })) return once();
    throw error;
  });
}

/**
 * Every change of a job up to its end: {kind, job}. A dropped connection is taken up again after the last event seen.
 * EventSource would do, but cannot send a key.
 */
export async function* events(id, signal) {
  let last = '';
  for (let fruitless = 0; fruitless < 6; fruitless += 1) {
    try {
      const extra = { Accept: 'text/event-stream', ...(last && { 'Last-Event-ID': last }) };
      const response = await call(`/v1/jobs/${encodeURIComponent(id)}/events`, { headers: extra, signal });
      if (response.status === 204) return;
      for await (const event of parse(response.body)) {
        fruitless = 0;
        last = event.id;
        yield event;
        if (event.kind === 'end') return;
      }
    } catch (e) {
      if (signal?.aborted || (e instanceof ApiError && e.status >= 400 && e.status < 500)) throw e;
    }
    await new Promise((resolve) => { setTimeout(resolve, 300 * 2 ** fruitless); });
  }
  throw unreachable();
}

async function* parse(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      for (let cut = text.search(/\r?\n\r?\n/); cut >= 0; cut = text.search(/\r?\n\r?\n/)) {
        const block = text.slice(0, cut);
        text = text.slice(cut).replace(/^\r?\n\r?\n/, '');
        const data = block.split(/\r?\n/).filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trim()).join('\n');
        if (data) {
          const event = JSON.parse(data);
          yield { id: String(event.id), kind: event.kind, job: event.job };
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
