// The Models section: what is here, and the catalogue with its installs.

import * as api from './api.js';
import { announce, byId, errorBox, h } from './dom.js';
import { bytes, taskName } from './format.js';
import { errorList } from './modelselect.js';
import { sidecar } from './sidecar.js';

let changed;
let next;

/** @param onchange called after an install, so that the other sections learn of the new model */
export function start(onchange) {
  changed = onchange;
}

export function update(models) {
  byId('installed').replaceChildren(...models.map((m) => h('li', { class: `card ${m.state === 'broken' ? 'is-broken' : ''}` },
    h('div', { class: 'row' }, h('h3', {}, m.name), h('span', { class: 'chip', 'data-state': m.state }, m.state)),
    h('p', { class: 'task' }, [taskName(m.task), onWorkers(m.workers)].filter(Boolean).join(' · ')),
    m.description && h('p', {}, m.description),
    m.errors?.length > 0 && errorList(m),
    sidecar(m, () => startAgain(m.name)),
    h('p', { class: 'hint' }, [m.licence, m.statistics && used(m.statistics)].filter(Boolean).join(' · ')),
    source(m.source))));
  if (models.some((m) => m.workers !== undefined)) showWorkers();
  clearTimeout(next);
  if (models.some((m) => m.runtime?.kind === 'sidecar')) next = setTimeout(refresh, 2000);
}

/** Processes change by themselves: looked at again while somebody looks. */
async function refresh() {
  clearTimeout(next);
  next = setTimeout(refresh, 2000); // also after a server that is away for a while
  if (byId('view-models').hidden || document.hidden) return;
  try {
    const models = await api.models();
    const restore = remember();
    update(models);
    restore();
  } catch {
    // Said by the next thing that somebody does.
  }
}

/** What is unfolded and where the keyboard is, so that a fresh list takes neither away. */
function remember() {
  const detailsOf = (name) => byId('installed').querySelector(`details[data-model="${CSS.escape(name)}"]`);
  const open = [...byId('installed').querySelectorAll('details[open]')].map((details) => details.dataset.model);
  const focused = document.activeElement;
  const owner = focused?.closest('#installed details')?.dataset.model;
  return () => {
    for (const name of open) detailsOf(name)?.setAttribute('open', '');
    if (owner) detailsOf(owner)?.querySelector(focused.tagName)?.focus();
  };
}

async function startAgain(name) {
  try {
    await api.reload(name);
    announce(`${name} is loaded again; calls go on meanwhile.`);
    byId('models-notice').replaceChildren();
  } catch (error) {
    byId('models-notice').replaceChildren(errorBox(error));
  }
  await refresh();
}

/** Only where several processes share the work; and only for those who may see it. */
async function showWorkers() {
  const box = byId('workers-box');
  try {
    const workers = await api.workers();
    box.hidden = workers.length === 0;
    byId('workers').replaceChildren(...workers.map((w) => h('li', { class: `card ${w.state === 'silent' ? 'is-broken' : ''}` },
      h('div', { class: 'row' }, h('h3', {}, w.host), h('span', { class: 'chip', 'data-state': w.state === 'live' ? 'ready' : w.state }, w.state)),
      h('p', { class: 'task' }, `${w.running} of ${w.capacity} jobs`),
      h('p', { class: 'hint' }, w.models.map((m) => m.name).join(', ')))));
  } catch {
    box.hidden = true;
  }
}

const onWorkers = (count) => (count === undefined ? null : count === 0 ? 'no worker has it now' : `on ${count} ${count === 1 ? 'worker' : 'workers'}`);

export async function showCatalogue() {
  try {
    const entries = await api.catalogue();
    byId('catalogue').replaceChildren(...entries.map(card));
    byId('catalogue-notice').replaceChildren();
  } catch (error) {
    byId('catalogue-notice').replaceChildren(errorBox(error));
  }
}

function card(entry) {
  const state = h('div', { class: 'install' });
  const element = h('li', { class: 'card' },
    h('div', { class: 'row' }, h('h3', {}, entry.name), !entry.verified && h('span', { class: 'chip', 'data-state': 'unverified', title: 'Nobody has run it here yet' }, 'unverified')),
    h('p', { class: 'task' }, taskName(entry.task)),
    entry.description && h('p', {}, entry.description),
    h('p', { class: 'hint' }, [entry.licence, bytes(entry.size)].filter(Boolean).join(' · ')),
    source(entry.source),
    state);
  state.replaceChildren(entry.installed ? h('span', { class: 'chip', 'data-state': 'ready' }, 'installed') : installButton(entry, state));
  return element;
}

const installButton = (entry, state) => h('button', { type: 'button', onclick: () => install(entry, state), 'aria-label': `Install ${entry.name}` }, 'Install');

async function install(entry, state) {
  const bar = h('progress', { max: 1, 'aria-label': `Installing ${entry.name}` });
  const cancel = h('button', { type: 'button', class: 'quiet' }, 'Cancel');
  state.replaceChildren(bar, cancel);
  try {
    const job = await api.install(entry.name);
    cancel.addEventListener('click', () => api.cancel(job.id).catch(() => {}));
    for await (const event of api.events(job.id)) {
      if (event.job.progress) bar.value = event.job.progress.fraction;
    }
    const ended = await api.job(job.id);
    if (ended.state !== 'succeeded') {
      const problem = ended.error ?? { title: `The install was ${ended.state}.` };
      throw Object.assign(new Error(problem.detail ?? ''), { title: problem.title });
    }
    announce(`${entry.name} is installed.`);
    state.replaceChildren(h('span', { class: 'chip', 'data-state': 'ready' }, 'installed'));
    await changed();
  } catch (error) {
    state.replaceChildren(installButton(entry, state), errorBox(error));
  }
}

const used = (s) => (s.succeeded + s.failed === 0 ? null : `${s.succeeded} done${s.failed > 0 ? `, ${s.failed} failed` : ''}${s.meanSeconds ? `, ${(s.meanSeconds * 1000).toFixed(0)} ms each` : ''}`);

/** Only http(s) becomes a link: a source is somebody's text. */
const source = (text) => (/^https?:\/\//.test(text ?? '')
  ? h('p', { class: 'hint' }, h('a', { href: text, rel: 'noreferrer noopener', target: '_blank' }, 'Source'))
  : null);
