// A model's sidecar on its card: how it is, each process, the last error with its log, and a fresh start.

import { h } from './dom.js';

/** Null for a model that the server executes itself. */
export function sidecar(model, onrestart) {
  const { runtime } = model;
  if (runtime?.kind !== 'sidecar') return null;
  const state = runtime.state ?? 'not running';
  return h('details', { class: 'sidecar', 'data-model': model.name },
    h('summary', {}, 'Sidecar ', h('span', { class: 'chip', 'data-state': state }, state), ' ',
      h('span', { class: 'hint' }, [`over ${runtime.transport}`, restarts(runtime.restarts)].filter(Boolean).join(', '))),
    (runtime.product || runtime.version) && h('p', { class: 'hint' }, [runtime.product, runtime.version && `version ${runtime.version}`].filter(Boolean).join(', ')),
    h('ul', {}, runtime.processes.map(process)),
    h('button', { type: 'button', class: 'quiet', onclick: onrestart, title: 'A fresh one starts beside it and takes over; no call fails' }, 'Start again'));
}

const restarts = (count) => count > 0 && `${count} ${count === 1 ? 'restart' : 'restarts'}`;

const process = (p) => h('li', {},
  h('span', {}, [p.pid ? `process ${p.pid}` : p.address, p.state, restarts(p.restarts), `${p.calls} ${p.calls === 1 ? 'call' : 'calls'}`, p.limits && `limits: ${p.limits}`].filter(Boolean).join(' · ')),
  p.error && h('pre', {}, p.log ? `${p.error}; its log ends with:\n${p.log}` : p.error));
