// The Generate section: words, parameters, a picture that comes into being, a gallery of those made before.

import * as api from './api.js';
import { bringIntoView, byId, copyFrom, h } from './dom.js';
import { curl } from './curl.js';
import { JobView } from './jobview.js';
import { fillModels } from './modelselect.js';
import { parameterForm } from './parameters.js';

const galleryLimit = 24;
const shown = new Set();

let models = [];
let model;
let parameters;
let view;

export function start() {
  view = new JobView(byId('generate-stage'), empty('The picture comes into being here.', 'Try “red apple” or “cat and heart”.'));
  byId('generate-model').addEventListener('change', choose);
  byId('generate-form').addEventListener('submit', (e) => { e.preventDefault(); run(); });
  byId('prompt').addEventListener('input', refresh);
  byId('prompt').addEventListener('keydown', (e) => {
    if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) run();
  });
}

export function update(all) {
  models = all.filter((m) => m.task === 'text-to-image');
  const before = model?.name;
  fillModels(byId('generate-model'), models, 'generate-model');
  byId('generate-model-field').classList.toggle('single', models.length === 1);
  if (before === undefined || before !== byId('generate-model').value) choose();
}

function choose() {
  model = models.find((m) => m.name === byId('generate-model').value);
  byId('generate-model-about').textContent = model
    ? model.description ?? ''
    : 'No model on this server makes pictures from words yet.';
  parameters = parameterForm(byId('generate-parameters'), (model?.parameters ?? []).filter((p) => p.name !== 'prompt'), refresh);
  const files = (model?.inputs ?? []).filter((i) => i.kind === 'image');
  byId('generate-files').replaceChildren(...(files.length > 0 ? [h('details', {}, h('summary', {}, 'Begin from a picture'), files.map(fileField))] : []));
  if (model) localStorage.setItem('generate-model', model.name);
  refresh();
  if (model) loadGallery();
}

const fileField = (input) => h('div', { class: 'field' },
  h('label', { for: `part-${input.name}` }, input.name),
  h('input', { type: 'file', accept: 'image/*', id: `part-${input.name}`, onchange: refresh }),
  h('p', { class: 'hint' }, input.description));

const parts = () => (model?.inputs ?? [])
  .map((i) => ({ name: i.name, chosen: byId(`part-${i.name}`)?.files[0] }))
  .filter((p) => p.chosen);

const values = () => ({ prompt: byId('prompt').value.trim(), ...parameters.values() });

function refresh() {
  byId('generate-run').disabled = !model || byId('prompt').value.trim() === '';
  byId('generate-curl').textContent = model
    ? curl({ model: model.name, parameters: values(), files: parts().map((p) => ({ name: p.name, file: p.chosen.name })) })
    : '';
}

async function run() {
  if (byId('generate-run').disabled) return;
  const form = new FormData();
  form.append('model', model.name);
  form.append('parameters', JSON.stringify(values()));
  for (const part of parts()) form.append(part.name, part.chosen, part.chosen.name);
  try {
    parameters.showErrors();
    const answer = view.run(form);
    bringIntoView(byId('generate-stage'));
    const job = await answer;
    if (job?.state === 'succeeded') await addToGallery(job, true);
  } catch (error) {
    parameters.showErrors(error.fields);
  }
}

async function loadGallery() {
  try {
    const page = await api.jobs({ model: model.name, state: 'succeeded' });
    for (const job of page.data.slice(0, galleryLimit)) await addToGallery(job, false);
  } catch { /* The gallery is a memory; without it everything else works. */ }
}

async function addToGallery(job, first) {
  if (shown.has(job.id)) return;
  shown.add(job.id);
  const whole = job.result ? job : await api.job(job.id);
  const items = [];
  for (const image of whole.result?.images ?? []) {
    const artifact = whole.artifacts.find((a) => a.name === image.artifact);
    if (artifact?.url) items.push(await card(whole, image, await api.blobUrl(artifact.url)));
  }
  if (first) byId('gallery').prepend(...items);
  else byId('gallery').append(...items);
  byId('gallery-empty').hidden = byId('gallery').childElementCount > 0;
}

function card(job, image, url) {
  const prompt = job.parameters?.prompt ?? job.result?.parameters?.prompt ?? '';
  const name = `${prompt.toLowerCase().replace(/[^a-z0-9]+/g, '-').slice(0, 40) || 'picture'}-${image.seed}.png`;
  const seed = h('button', { type: 'button', class: 'quiet', title: 'Use this seed and prompt again' }, `seed ${image.seed}`);
  seed.addEventListener('click', () => {
    byId('prompt').value = prompt;
    parameters.set('seed', image.seed);
    copyFrom(seed, String(image.seed));
    byId('prompt').focus();
  });
  return h('li', {},
    h('a', { href: `#job/${job.id}`, 'aria-label': `Details of “${prompt}”` }, h('img', { src: url, alt: prompt, width: image.width, height: image.height })),
    h('p', { title: prompt }, prompt),
    h('div', { class: 'row' }, seed, h('a', { href: url, download: name }, 'Download')));
}

const empty = (text, hint) => h('div', { class: 'panel blank' }, h('p', {}, text), h('p', { class: 'hint' }, hint));
